package invocation

import (
	"context"
	"time"
)

// Lambda ends a function without notice when its time is over, so each part of the work must leave
// time for the steps after it: the rollback, the record, the answer.

// Margin is how long before Lambda's own deadline the context of an invocation ends. The answer is
// sent in that time.
const Margin = time.Second

// Leave is ctx with a deadline that is d earlier, so that d remains for the steps after it. A ctx
// without a deadline stays without one.
func Leave(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-d))
}

// Finish is the context for work that must be done even if the client is gone. It lasts for d, but
// not beyond the deadline of ctx. The cancellation of ctx does not end it.
func Finish(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), d)
	end, ok := ctx.Deadline()
	if !ok {
		return finish, cancel
	}
	finish, also := context.WithDeadline(finish, end)
	return finish, func() { also(); cancel() }
}
