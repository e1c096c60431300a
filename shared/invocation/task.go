// Package invocation is what functions have in common when Lambda invokes them: how much time they
// have (Leave, Finish), how a function that is not behind the API starts (Start), and how it
// answers a batch of messages (BatchAnswer).
package invocation

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"
)

// Start runs a function that is not behind the API: a task of a workflow, or a function that AWS
// starts on a schedule or for a batch of messages. It returns when Lambda stops the process. task
// is a function with a signature that lambda.Start takes, most often func(context.Context, Input)
// (Output, error).
func Start(task any) { lambda.Start(Handler(task)) }

// Handler is the task as Lambda invokes it. Its context ends Margin before Lambda ends the
// function, so that the task can still return its error.
func Handler(task any) lambda.Handler { return early{lambda.NewHandler(task)} }

type early struct{ next lambda.Handler }

// Invoke runs the task once.
func (e early) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	ctx, cancel := Leave(ctx, Margin)
	defer cancel()
	return e.next.Invoke(ctx, payload)
}
