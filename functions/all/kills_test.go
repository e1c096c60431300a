package all_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/krosai/telephony/functions/all"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/store"
)

// TestNoEndIsUntold checks that the end of a call has exactly one event, whichever function ends
// the call and after whichever of its writes the function dies. If the call has not ended then, the
// sample event is sent again. If that does not end it either, the test ends it.
// TestKilledAfterEachWrite shows how an event is delivered after such a death.
func TestNoEndIsUntold(t *testing.T) {
	t.Parallel()
	for function, prepare := range map[string]func(*stage){
		"hangupcall":     (*stage).talk,
		"livekitwebhook": prepare["livekitwebhook"],
		"sweepcalls":     func(s *stage) { s.talkSince(15 * time.Minute) },
		"finishcall":     func(s *stage) { s.talkSince(11 * time.Minute) },
		"awaitcall":      func(s *stage) { s.talk(); s.livekit.Leave(sampleCall, call.CalleeIdentity) },
		"transfercall":   (*stage).talk,
	} {
		for n := range 4 {
			t.Run(fmt.Sprintf("%s/%d", function, n), func(t *testing.T) {
				t.Parallel()
				s := openStage(t, function)
				prepare(s)
				sample := s.event()
				s.dieAfter(n, sample)
				ended := func() bool { c, err := s.DB.Call(t.Context(), sampleCall); s.Must(err); return c.Status.Ended() }
				if !ended() {
					s.send(sample)
				}
				if !ended() { // such as a transferred call, whose phone has left
					s.livekit.Leave(sampleCall, call.CalleeIdentity)
					c, err := s.DB.Call(t.Context(), sampleCall)
					s.Must(err)
					_, err = s.deps.DB.EndCall(t.Context(), c, call.End{Status: call.Completed, Cause: call.CalleeHangup, At: sampleTime})
					s.Must(err)
				}
				events, _, err := s.EventsOf(t.Context(), sampleUser, store.Log{}, 100, "")
				s.Must(err)
				ends := 0
				for _, e := range events {
					if e.Type == event.CallEnded {
						ends++
					}
				}
				if ends != 1 {
					t.Errorf("%d events tell of the end: %+v", ends, events)
				}
			})
		}
	}
}

// dieAfter runs the function with a database that refuses all writes after the first n.
func (s *stage) dieAfter(n int, sample []byte) {
	s.Helper()
	wire := &dying{writes: n}
	mortal := s.deps
	mortal.DB = s.Through(func(next http.RoundTripper) http.RoundTripper { return wire.to(next) })
	if ep, route := all.HTTP(mortal)[s.function]; route {
		s.Serve(ep)
		s.Invoke(sample)
		s.Serve(all.HTTP(s.deps)[s.function])
		return
	}
	_, _ = lambda.NewHandler(all.Tasks(mortal)[s.function]).Invoke(as(s.Context(), s.function), sample) // it dies
}
