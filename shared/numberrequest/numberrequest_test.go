package numberrequest

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/phonenumber"
)

func TestFits(t *testing.T) {
	t.Parallel()
	lagos := number.Number{E164: "+23412345678", Country: "NG", Type: "local", Capabilities: []string{"inbound", "outbound"}}
	lagos.ID = number.ID(lagos.E164)
	for _, tt := range []struct {
		name string
		r    Request
		want bool
	}{
		{"all the same", Request{Country: "NG", Type: "local", AreaCode: "1", Capabilities: []string{"outbound"}}, true},
		{"any type", Request{Country: "NG"}, true},
		{"both capabilities", Request{Country: "NG", Capabilities: []string{"outbound", "inbound"}}, true},
		{"another country", Request{Country: "GH", Type: "local"}, false},
		{"another type", Request{Country: "NG", Type: "mobile"}, false},
		{"another area", Request{Country: "NG", AreaCode: "9"}, false},
		{"the calling code is no area", Request{Country: "NG", AreaCode: "234"}, false},
		{"a capability it lacks", Request{Country: "NG", Capabilities: []string{"outbound", "sms"}}, false},
		{"the very number, of whatever kind", Request{PhoneNumber: lagos.E164, Country: "NG", Type: "mobile"}, true},
		{"another number", Request{PhoneNumber: "+23412345679", Country: "NG", Type: "local"}, false},
		{"chosen", Request{WantedNumberID: lagos.ID, Country: "GH"}, true},
		{"chosen over the one asked for", Request{WantedNumberID: lagos.ID, PhoneNumber: "+23412345679"}, true},
		{"another is chosen", Request{WantedNumberID: "pn_other", PhoneNumber: lagos.E164, Country: "NG"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.r.Fits(lagos); got != tt.want {
				t.Errorf("Fits = %t", got)
			}
		})
	}
}

// TestReview walks through the days of a review: when it is checked, how many reminders are due,
// and when it is over.
func TestReview(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	t0 := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	r := Request{Status: Pending, CreatedAt: t0}
	type look struct {
		Day, Due int
		Overdue  bool
	}
	var got []look
	for now := t0; ; now = now.Add(r.Patience(now)) {
		got = append(got, look{int(now.Sub(t0) / day), r.Due(now), r.Overdue(now)})
		if r.Overdue(now) {
			break
		}
	}
	want := []look{{0, 0, false}, {7, 1, false}, {14, 2, false}, {21, 3, false}, {28, 4, false}, {30, 4, true}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := r.Patience(t0.Add(90 * day)); d != time.Second {
		t.Errorf("long after the end: %s", d)
	}
	if d := r.Patience(t0.Add(-time.Minute)); d != 7*day+time.Minute {
		t.Errorf("by a clock that is behind: %s", d)
	}
	r.Status = Approved
	if r.Overdue(t0.Add(90 * day)) {
		t.Error("what is decided does not expire")
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	type says struct{ Decided, Final bool }
	got := map[Status]says{}
	for _, s := range []Status{Pending, Approved, Assigned, Rejected} {
		got[s] = says{s.Decided(), s.Final()}
	}
	want := map[Status]says{Pending: {false, false}, Approved: {true, false}, Assigned: {true, true}, Rejected: {true, true}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if (Decision{Approve: true}).Status() != Approved || (Decision{}).Status() != Rejected {
		t.Error("decisions lead elsewhere")
	}
}

// TestNational covers all calling codes: those of countries and of global networks.
func TestNational(t *testing.T) {
	t.Parallel()
	codes := []int{800, 808, 870, 878, 881, 882, 883, 888, 979}
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			if code := phonenumber.CallingCode(string([]rune{a, b})); code != 0 {
				codes = append(codes, code)
			}
		}
	}
	if len(codes) < 250 {
		t.Fatalf("%d countries", len(codes))
	}
	for _, code := range codes {
		if got := national("+" + strconv.Itoa(code) + "8012345"); got != "8012345" {
			t.Errorf("+%d: %q", code, got)
		}
	}
	if got := national("+4"); got != "" {
		t.Errorf("+4: %q", got)
	}
}
