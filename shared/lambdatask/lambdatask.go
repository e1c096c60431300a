// Package lambdatask runs a function that is not behind the API as a Lambda function: a task of a
// workflow, or a function that AWS starts on a schedule or for a batch of messages.
package lambdatask

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/krosai/telephony/shared/deadline"
)

// Start runs a task until Lambda stops the process. The task is a function with a signature
// that lambda.Start takes, most often func(context.Context, Input) (Output, error).
func Start(task any) { lambda.Start(Handler(task)) }

// Handler is the task as Lambda invokes it. Its context ends deadline.Margin before Lambda ends the
// function, so that the task can still return its error.
func Handler(task any) lambda.Handler { return early{lambda.NewHandler(task)} }

type early struct{ next lambda.Handler }

// Invoke runs the task once.
func (e early) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	ctx, cancel := deadline.Leave(ctx, deadline.Margin)
	defer cancel()
	return e.next.Invoke(ctx, payload)
}
