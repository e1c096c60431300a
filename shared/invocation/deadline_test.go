package invocation_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/krosai/telephony/shared/invocation"
)

// TestTime checks when the context for a part of the work ends. The whole ends after tt.whole, or
// never if that is 0.
func TestTime(t *testing.T) {
	t.Parallel()
	type part = func(context.Context, time.Duration) (context.Context, context.CancelFunc)
	for name, tt := range map[string]struct {
		part        part
		whole, d    time.Duration
		clientGoes  bool
		want        time.Duration // 0: it does not end in the first minute
		wantedCause error
	}{
		"three are left":               {invocation.Leave, 10 * time.Second, 3 * time.Second, false, 7 * time.Second, context.DeadlineExceeded},
		"more is left than there is":   {invocation.Leave, 10 * time.Second, time.Minute, false, -1, context.DeadlineExceeded},
		"left of no deadline":          {invocation.Leave, 0, 3 * time.Second, false, 0, nil},
		"left, and the client goes":    {invocation.Leave, 10 * time.Second, 3 * time.Second, true, -1, context.Canceled},
		"finish in three":              {invocation.Finish, 10 * time.Second, 3 * time.Second, false, 3 * time.Second, context.DeadlineExceeded},
		"finish in the whole":          {invocation.Finish, 10 * time.Second, time.Minute, false, 10 * time.Second, context.DeadlineExceeded},
		"finish without a deadline":    {invocation.Finish, 0, 3 * time.Second, false, 3 * time.Second, context.DeadlineExceeded},
		"finish after the client went": {invocation.Finish, 10 * time.Second, 3 * time.Second, true, 3 * time.Second, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				whole, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.whole > 0 {
					whole, cancel = context.WithTimeout(whole, tt.whole)
					defer cancel()
				}
				ctx, stop := tt.part(whole, tt.d)
				defer stop()
				if tt.clientGoes {
					cancel()
				}
				began := time.Now()
				select {
				case <-ctx.Done():
				case <-time.After(time.Minute):
				}
				if took := time.Since(began); tt.want == 0 && ctx.Err() != nil || tt.want != 0 && took != max(0, tt.want) || !errors.Is(ctx.Err(), tt.wantedCause) {
					t.Errorf("it ended after %s with %v", took, ctx.Err())
				}
			})
		})
	}
}
