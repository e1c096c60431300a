// Package deadline divides the time of an invocation. Lambda ends a function without a
// word when its time is over, so each part of the work must end early enough for what
// follows it: the undoing, the record, the answer.
package deadline

import (
	"context"
	"time"
)

// Margin is how long before Lambda's own deadline the context of an invocation ends. The
// answer leaves in that time.
const Margin = time.Second

// Leave is ctx with a deadline that is d earlier, which leaves d of ctx for what follows. A
// ctx without a deadline stays without.
func Leave(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-d))
}

// Finish is for what must be done although the client may have gone: it lasts for d, but
// not beyond the deadline of ctx, and ctx being canceled does not end it.
func Finish(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), d)
	end, ok := ctx.Deadline()
	if !ok {
		return finish, cancel
	}
	finish, also := context.WithDeadline(finish, end)
	return finish, func() { also(); cancel() }
}
