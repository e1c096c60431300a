package teardown_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
	"github.com/krosai/telephony/shared/teardown"
)

var histories = flag.Int("histories", 250, "how many histories TestStatisticsEqualARecount plays")

// TestStatisticsEqualARecount plays histories of events of a user's calls: in any order, each once
// or twice, some at the same time, with lost answers and conflicting transactions. After each
// history, and again after the sweep has ended the remaining calls, the user's counters must equal
// a recount of their calls.
func TestStatisticsEqualARecount(t *testing.T) {
	t.Parallel()
	const databases = 4
	total := *histories
	if testing.Short() {
		total = 100
	}
	for n := range databases {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // retries wait a while
				db := storetest.Open(t, nil)
				for i := n; i < total; i += databases {
					newHistory(t, db, i).play()
				}
			})
		})
	}
}

// history is one user, the user's calls and the events of those calls.
type history struct {
	*testing.T
	db     *storetest.Database
	user   string
	random *rand.Rand
	events []event
	seen   []string // the events that were played
}

// event is an event of a call.
type event struct {
	name string
	do   func(a *actor) error
}

// actor plays events. It stands for a running function, with a clock of its own and a LiveKit that
// shows random rooms.
type actor struct {
	teardown.Ender
	random *rand.Rand
	now    time.Time
}

func (a *actor) ReadRoom(context.Context, string) (call.Room, error) {
	phone := &call.Phone{ID: "PA_1", Status: []call.PhoneStatus{"dialing", "ringing", "active", "hangup"}[a.random.IntN(4)]}
	return []call.Room{{}, {Agent: true}, {Callee: phone}, {Callee: phone, Agent: true}, {Others: true}}[a.random.IntN(5)], nil
}

func (a *actor) DeleteRoom(context.Context, string) error { return nil }

// leave is a random report of LiveKit about a phone that is gone.
func (a *actor) leave() call.Leave {
	return []call.Leave{{}, {Reason: "CLIENT_INITIATED", Status: "hangup"}, {Reason: "CLIENT_INITIATED", Status: "ringing"},
		{Reason: "ROOM_DELETED", Status: "active"}, {Reason: "CONNECTION_TIMEOUT", Status: "active"}}[a.random.IntN(5)]
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newHistory(t *testing.T, db *storetest.Database, seed int) *history {
	t.Helper()
	h := &history{T: t, db: db, user: fmt.Sprintf("user-%d", seed), random: rand.New(rand.NewPCG(2026, uint64(seed)))}
	for i := range 1 + h.random.IntN(2) {
		c := call.Call{ID: fmt.Sprintf("call_%d_%d", seed, i), UserID: h.user, Direction: call.Outbound, Remote: "+14155550100", Own: "+2348012345678",
			Country: []string{"US", "NG", ""}[h.random.IntN(3)], RingingTimeout: 30, MaxDuration: 10 + h.random.IntN(600), Status: call.Initiated,
			CreatedAt: noon.Add(time.Duration(h.random.IntN(48*3600)) * time.Second)}
		if h.random.IntN(3) == 0 {
			c.Direction = call.Inbound
		} else {
			place(t, db, c)
		}
		h.events = append(h.events, h.happens(c)...)
	}
	for _, e := range h.events {
		if h.random.IntN(2) == 0 {
			h.events = append(h.events, e)
		}
	}
	h.random.Shuffle(len(h.events), func(i, j int) { h.events[i], h.events[j] = h.events[j], h.events[i] })
	return h
}

// place places a call for its user from a number of the called country.
func place(t *testing.T, db *storetest.Database, c call.Call) {
	t.Helper()
	_, may, err := db.CallPermit(t.Context(), c.UserID, "")
	if err != nil {
		t.Fatal(err)
	}
	may.Home = c.Country
	if _, _, _, err := db.CreateCall(t.Context(), c, may, store.Once{}); err != nil {
		t.Fatal(err)
	}
}

// happens is a random choice of events of a call.
func (h *history) happens(c call.Call) (events []event) {
	ctx, id := h.Context(), c.ID
	// now reads the call and passes it to do. If the call does not exist yet, do is not called.
	now := func(do func(a *actor, c call.Call) error) func(a *actor) error {
		return func(a *actor) error {
			c, err := h.db.Call(ctx, id)
			if err != nil {
				return err
			}
			return do(a, c)
		}
	}
	advance := func(to call.Status) func(a *actor) error {
		return func(a *actor) error { _, err := h.db.Advance(ctx, id, to, a.now); return err }
	}
	var early call.Call // as a slow function has seen it
	var mu sync.Mutex
	all := []event{
		{"dialing", func(a *actor) error { _, _, err := h.db.ClaimDial(ctx, id, fmt.Sprint(a.now), a.now); return err }},
		{"ringing", advance(call.Ringing)},
		{"answered", advance(call.InProgress)},
		{"answered", advance(call.InProgress)},
		{"await", func(*actor) error { _, _, err := h.db.AwaitEnd(ctx, id, "token"); return err }},
		{"hang up", func(a *actor) error {
			c, _, err := h.db.RequestHangup(ctx, h.user, id, a.now)
			if err == nil && a.random.IntN(2) == 0 {
				_, err = a.TakeDown(ctx, c, a.HungUp)
			}
			return err
		}},
		{"refused", now(func(a *actor, c call.Call) error {
			attempt := call.Attempt{SIPStatus: []int{0, 404, 480, 486, 503}[a.random.IntN(5)], Rang: a.random.IntN(2) == 0, Certain: true}
			_, err := a.End(ctx, c, func(c call.Call) call.End { return c.DialRefused(attempt, a.now) })
			return err
		})},
		{"gone", now(func(a *actor, c call.Call) error { _, err := a.PhoneLeft(ctx, c, a.leave(), a.now); return err })},
		{"left", now(func(a *actor, c call.Call) error { _, err := a.PhoneGone(ctx, c, a.leave(), a.now); return err })},
		{"seen", now(func(_ *actor, c call.Call) error { mu.Lock(); defer mu.Unlock(); early = c; return nil })},
		{"ended as seen", func(a *actor) error {
			mu.Lock()
			c := early
			mu.Unlock()
			if c.ID == "" {
				return nil
			}
			_, err := h.db.EndCall(ctx, c, call.End{Status: call.Failed, Cause: call.Unknown, At: a.now})
			return err
		}},
		{"never started", func(a *actor) error {
			_, err := h.db.RefuseCall(ctx, c, call.End{Status: call.Failed, Cause: call.NetworkError, At: a.now}, store.Once{})
			return err
		}},
		{"transfer", now(func(a *actor, c call.Call) error {
			_, may, err := h.db.CallPermit(ctx, h.user, "")
			if err == nil {
				_, _, err = h.db.BeginTransfer(ctx, c, may, call.Transfer{ID: "tr_1", To: "+14155550101", Status: call.TransferPending, At: a.now})
			}
			return err
		})},
		{"transferred", func(a *actor) error {
			status := []call.TransferStatus{call.TransferCompleted, call.TransferFailed, call.TransferUnknown}[a.random.IntN(3)]
			_, err := h.db.FinishTransfer(ctx, id, call.Transfer{ID: "tr_1", To: "+14155550101", Status: status, At: a.now})
			return err
		}},
	}
	h.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	events = all[:2+h.random.IntN(8)]
	if c.Direction == call.Inbound {
		come := func(*actor) error { _, err := h.db.CreateInbound(ctx, c, 0); return err }
		events = append(events, event{"comes in", come}, event{"comes in", come})
	}
	for i := range events {
		events[i].name = strings.TrimPrefix(id, "call_") + " " + events[i].name
	}
	return events
}

func (h *history) play() {
	h.Helper()
	half := len(h.events)
	if h.random.IntN(4) == 0 {
		half /= 2 // two halves at the same time
	}
	var both sync.WaitGroup
	var mu sync.Mutex
	for _, events := range [][]event{h.events[:half], h.events[half:]} {
		a := h.actor()
		both.Go(func() {
			for _, e := range events {
				mu.Lock()
				h.seen = append(h.seen, e.name)
				mu.Unlock()
				h.one(a, e)
			}
		})
	}
	both.Wait()
	h.recount("played")
	sweep := h.actor()
	sweep.now = noon.Add(72 * time.Hour)
	for _, listed := range h.calls() { // a list does not contain how long a call may last
		c, err := h.db.Call(h.Context(), listed.ID)
		if err != nil {
			h.Fatal(err)
		}
		if _, err := sweep.TakeDown(h.Context(), c, sweep.HungUp); err != nil {
			h.Fatal(err)
		}
	}
	if active := h.recount("swept"); active != 0 {
		h.Fatalf("%s: %d calls are active", h.user, active)
	}
	h.recountSeconds()
}

// recountSeconds compares the seconds of talk that were counted against the user's limits with the
// actual seconds, after all calls have ended. A call counts for no more than it reserved.
func (h *history) recountSeconds() {
	h.Helper()
	want, got := map[string]string{}, map[string]string{}
	days := map[string]int{}
	for _, c := range h.calls() {
		c, err := h.db.Call(h.Context(), c.ID)
		if err != nil {
			h.Fatal(err)
		}
		if day := "day_" + c.CreatedAt.Format(time.DateOnly); c.Direction == call.Outbound {
			days[day] += min(c.Duration(), c.MaxDuration)
			want[day] = fmt.Sprint(days[day])
		}
	}
	if len(want) == 0 {
		return
	}
	for name, v := range h.db.Rows(h.T, "limits", "user#"+h.user)[0] {
		if n, ok := v.(*types.AttributeValueMemberN); ok && strings.HasPrefix(name, "day_") {
			got[name] = n.Value
		}
		if name == "active_calls" {
			h.Errorf("%s: calls are counted that have ended: %v", h.user, v)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		h.Fatalf("%s, %v: seconds of talk (-recount +counted):\n%s", h.user, h.seen, d)
	}
}

func (h *history) actor() *actor {
	a := &actor{random: rand.New(rand.NewPCG(h.random.Uint64(), 1)), now: noon.Add(24 * time.Hour)}
	a.Ender = teardown.Ender{Calls: h.db, Rooms: a, Now: func() time.Time { return a.now }}
	return a
}

// one plays an event. An event that the call's state does not allow is not a failure.
func (h *history) one(a *actor, e event) {
	a.now = a.now.Add(time.Duration(a.random.IntN(60_000)) * time.Millisecond)
	switch a.random.IntN(20) {
	case 0:
		h.db.LoseReplies(1)
	case 1:
		h.db.Collide(1)
	}
	if err := e.do(a); err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Conflict) {
		h.Errorf("%s: %v", e.name, err)
	}
}

func (h *history) calls() (all []call.Call) {
	h.Helper()
	for after, more := "", true; more; more = after != "" {
		page, next, err := h.db.CallsOf(h.Context(), h.user, store.History{}, 2, after)
		if err != nil {
			h.Fatal(err)
		}
		all, after = append(all, page...), next
	}
	return all
}

// recount compares the statistics with the calls and returns how many calls have not ended.
func (h *history) recount(when string) (active int) {
	h.Helper()
	days := map[string]*call.Day{}
	for _, c := range h.calls() {
		date := c.CreatedAt.Format(time.DateOnly)
		if days[date] == nil {
			days[date] = &call.Day{Date: date, Ended: map[call.Status]int{}, Countries: map[string]call.Country{}}
		}
		add(days[date], c)
	}
	var want []call.Day
	for _, d := range days {
		want = append(want, *d)
		active += d.Active()
	}
	slices.SortFunc(want, func(a, b call.Day) int { return strings.Compare(a.Date, b.Date) })
	got, err := h.db.StatsOf(h.Context(), h.user, noon.AddDate(0, 0, -1), noon.AddDate(0, 0, 5))
	if d := cmp.Diff(want, got); d != "" || err != nil {
		h.Fatalf("%s, %s %v: %v\n(-recount +statistics):\n%s", h.user, when, h.seen, err, d)
	}
	return active
}

func add(d *call.Day, c call.Call) {
	d.Started++
	if !c.Status.Ended() {
		return
	}
	d.Ended[c.Status]++
	country := d.Countries[orUnknown(c.Country)]
	country.Total++
	if c.Status == call.Completed {
		country.Completed++
		d.TalkSeconds += c.Duration()
		d.Durations[call.DurationBucket(c.Duration())]++
	}
	d.Countries[orUnknown(c.Country)] = country
}

func orUnknown(country string) string {
	if country == "" {
		return "ZZ"
	}
	return country
}
