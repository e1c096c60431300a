// Package awaitrequest is the task of an approval workflow that stores the task token. The workflow
// is notified of a decision or of an available number with that token.
package awaitrequest

import (
	"context"
	"fmt"

	"github.com/krosai/telephony/shared/numberrequest"
)

// Requests keeps the token with the request and knows whether a number is available for it. waiting
// is false when there is nothing to wait for.
type Requests interface {
	AwaitRequest(ctx context.Context, id, token, what string) (r numberrequest.Request, waiting bool, err error)
	HasAvailable(ctx context.Context, r numberrequest.Request) (bool, error)
}

// Workflow notifies the workflow that waits with a token.
type Workflow interface {
	RequestDecided(ctx context.Context, token string) error
	NumberAvailable(ctx context.Context, token string) error
}

// Task waits for what requests need.
type Task struct {
	Requests Requests
	Workflow Workflow
}

// Input names the request, says what it waits for ("decision" or "number") and
// carries the task token.
type Input struct {
	RequestID string `json:"request_id"`
	What      string `json:"what"`
	TaskToken string `json:"task_token"`
}

// Run stores the token and then checks whether the decision or the number is there already. Nothing
// else notifies the workflow of what happened before the token was stored.
func (t *Task) Run(ctx context.Context, in Input) error {
	tell := t.Workflow.RequestDecided
	switch in.What {
	case numberrequest.AwaitsDecision:
	case numberrequest.AwaitsNumber:
		tell = t.Workflow.NumberAvailable
	default:
		return fmt.Errorf("a request does not wait for %q", in.What)
	}
	r, waiting, err := t.Requests.AwaitRequest(ctx, in.RequestID, in.TaskToken, in.What)
	there := !waiting
	if err == nil && waiting && in.What == numberrequest.AwaitsNumber {
		there, err = t.Requests.HasAvailable(ctx, r)
	}
	if err != nil || !there {
		return err
	}
	return tell(ctx, in.TaskToken)
}
