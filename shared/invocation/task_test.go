package invocation_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/krosai/telephony/shared/invocation"
)

// TestDeadline: a task that waits until its context ends still has time to return an error.
func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		task := invocation.Handler(func(ctx context.Context, in string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		_, err := task.Invoke(ctx, []byte(`"go"`))
		if end, _ := ctx.Deadline(); err == nil || time.Until(end) != invocation.Margin {
			t.Errorf("%s before its deadline: %v", time.Until(end), err)
		}
	})
}
