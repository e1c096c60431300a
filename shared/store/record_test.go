package store_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/store/storetest"
)

// ordinary is a call with ids as long as real ones, and a prompt.
func ordinary() call.Call {
	c := newCall("01KAMPJ5V0SAMPMECA00000000")
	c.UserID, c.NumberID, c.TrunkID, c.AgentName = "auth0|65f1b0c2a7d3e4f5a6b7c8d9", "pn_AAAAAAAAAAAAAAAAAAAAAAAAAA", "ST_aBcDeFgHiJkL", "order-follow-up"
	c.SystemPrompt, c.WelcomeMessage = strings.Repeat("p", 1000), strings.Repeat("w", 200)
	c.Metadata = map[string]string{"order": strings.Repeat("m", 500), "customer": "c-1"}
	return c
}

// sizeOf is the size of a row as DynamoDB counts it.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func sizeOf(t *testing.T, raw storetest.Row) int {
	t.Helper()
	size := 0
	for name, v := range raw {
		size += len(name) + sizeOfValue(t, v)
	}
	return size
}

func sizeOfValue(t *testing.T, v types.AttributeValue) int {
	t.Helper()
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		return len(v.Value)/2 + 2
	case *types.AttributeValueMemberBOOL, *types.AttributeValueMemberNULL:
		return 1
	case *types.AttributeValueMemberL:
		size := 3
		for _, one := range v.Value {
			size += 1 + sizeOfValue(t, one)
		}
		return size
	}
	t.Fatalf("a record holds a %T", v)
	return 0
}

// TestRecordIsOneWriteUnit: the record of an ordinary call stays below 1 KB in every state, because
// the prompt, the metadata and the workflow's token have rows of their own.
func TestRecordIsOneWriteUnit(t *testing.T) {
	t.Parallel()
	db, ctx, c := open(t), t.Context(), ordinary()
	id, at := c.ID, func(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }
	moved := func(_ call.Call, err error) error { return err }
	claimed := func(_ call.Call, _ bool, err error) error { return err }
	tr := pending("01KAMPJ5V0SAMPMETR00000000", at(5))
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"created", func() error { create(t, db, c); return nil }},
		{"waiting", func() error { return claimed(db.AwaitEnd(ctx, id, strings.Repeat("t", 1000))) }},
		{"dialing", func() error { return claimed(db.ClaimDial(ctx, id, "0123456789abcdef0123456789abcdef", at(1))) }},
		{"ringing", func() error { return moved(db.Advance(ctx, id, call.Ringing, at(2))) }},
		{"answered", func() error { return moved(db.Advance(ctx, id, call.InProgress, at(3))) }},
		{"transferring", func() error { return moved(begin(t, db, id, tr)) }},
		{"not transferred", func() error { return moved(db.FinishTransfer(ctx, id, outcome(tr, call.TransferFailed, 603, at(6)))) }},
		{"hung up", func() error { return claimed(db.RequestHangup(ctx, c.UserID, id, at(7))) }},
		{"ended", func() error {
			now, err := db.Call(ctx, id)
			if err != nil {
				return err
			}
			return moved(db.EndCall(ctx, now, call.End{Status: call.Completed, Cause: call.TrunkUnreachable, SIPStatus: 503, At: at(8)}))
		}},
	} {
		if err := step.do(); err != nil {
			t.Fatal(step.name, err)
		}
		raw := db.Rows(t, "calls", id, "call")[0]
		if size := sizeOf(t, raw); size > 1024 {
			t.Errorf("%s: the record has %d bytes", step.name, size)
		}
	}
	got, err := db.CallWithDetails(ctx, id)
	if err != nil || len(got.Timeline) != 5 {
		t.Fatal(len(got.Timeline), err)
	}
	want, err := db.Call(ctx, id)
	want.SystemPrompt, want.WelcomeMessage, want.Voice, want.Metadata = c.SystemPrompt, c.WelcomeMessage, c.Voice, c.Metadata
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("with details: %v (-want +got):\n%s", err, d)
	}
}

// TestDetails: a call without details has no row for them, and does not get those of another call.
func TestDetails(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	bare := newCall("bare")
	bare.SystemPrompt, bare.Voice, bare.Metadata = "", nil, nil
	create(t, db, bare)
	create(t, db, newCall("full"))
	for id, want := range map[string]call.Call{"call_bare": bare, "call_full": newCall("full")} {
		want.HasMetadata = want.Metadata != nil
		got, err := db.CallWithDetails(ctx, id)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", id, err, d)
		}
		if s, err := db.DetailsWithoutTurns(ctx, id); err != nil || !cmp.Equal(want, s.Call) {
			t.Errorf("story of %s: %v %s", id, err, cmp.Diff(want, s.Call))
		}
	}
	if rows := len(db.Rows(t, "calls", "call_bare")); rows != 1 {
		t.Errorf("%d rows, want the record", rows)
	}
	if _, err := db.CallWithDetails(ctx, "call_none"); !fault.Is(err, fault.NotFound) {
		t.Errorf("no call: %v", err)
	}
}

// TestAwaitEndMissesNoEnd: whenever the call ends, either AwaitEnd reports the end or the end finds
// the token.
func TestAwaitEndMissesNoEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		before    int // the request of AwaitEnd before which the call ends
		wantOpen  bool
		wantToken string
	}{
		{"before the token is written", 0, false, ""},
		{"between the token and the reading", 1, false, "token"},
		{"after the reading", 2, true, "token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db, ctx := open(t), t.Context()
			c := talking(t, db, "1")
			var token string
			sent, ending := 0, false
			end := func() {
				ending = true
				if _, err := db.EndCall(ctx, c, call.End{Status: call.Completed, Cause: call.CalleeHangup, At: t0}); err != nil {
					t.Error(err)
				}
				var err error
				if token, err = db.EndToken(ctx, c.ID); err != nil {
					t.Error(err)
				}
				ending = false
			}
			db.Watch(func([]byte) {
				if ending {
					return
				}
				if sent == tt.before {
					end()
				}
				sent++
			})
			seen, open, err := db.AwaitEnd(ctx, c.ID, "token")
			if err != nil || open != tt.wantOpen || seen.Status.Ended() == open {
				t.Errorf("open %t and %s, want %t; %v", open, seen.Status, tt.wantOpen, err)
			}
			if sent == tt.before {
				end()
			}
			if token != tt.wantToken {
				t.Errorf("the end finds the token %q, want %q", token, tt.wantToken)
			}
		})
	}
}

// TestAwaitEndRaces is TestAwaitEndMissesNoEnd with an end at a random moment.
func TestAwaitEndRaces(t *testing.T) {
	t.Parallel()
	db, ctx := open(t), t.Context()
	for i := range rounds {
		c := newCall(fmt.Sprint(i))
		c.UserID, c.Metadata, c.SystemPrompt = fmt.Sprint("user", i), nil, ""
		create(t, db, c)
		var both sync.WaitGroup
		var open bool
		var token string
		both.Go(func() {
			var err error
			if _, open, err = db.AwaitEnd(ctx, c.ID, "token"); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			_, err := db.EndCall(ctx, c, call.End{Status: call.Failed, Cause: call.Unknown, At: t0})
			if err == nil {
				token, err = db.EndToken(ctx, c.ID)
			}
			if err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		if open && token == "" {
			t.Fatalf("round %d: the workflow waits and the end has no token", i)
		}
	}
}
