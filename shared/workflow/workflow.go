// Package workflow starts the platform's workflows and notifies those that wait. It is the only
// package that calls Step Functions.
package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/krosai/telephony/shared/fault"
)

// Config names the state machines.
type Config struct {
	CallMachine     string `env:"CALL_STATE_MACHINE_ARN"`
	ApprovalMachine string `env:"APPROVAL_STATE_MACHINE_ARN"`
}

// Client calls Step Functions.
type Client struct {
	sfn      *sfn.Client
	machines Config
}

// Open creates a client. It does not use the network.
func Open(cfg aws.Config, c Config) *Client {
	return &Client{machines: c, sfn: sfn.NewFromConfig(cfg)}
}

// StartCall starts the workflow of a call. The execution is named after the call, so that a second
// start changes nothing.
func (c *Client) StartCall(ctx context.Context, callID string) error {
	return c.start(ctx, "the call workflow", c.machines.CallMachine, callID, map[string]string{"call_id": callID})
}

// RestartCall is StartCall for a call that may have no workflow. It returns when the workflow
// started, or the zero time if the workflow has already ended.
func (c *Client) RestartCall(ctx context.Context, callID string) (started time.Time, err error) {
	return c.begin(ctx, "the call workflow", c.machines.CallMachine, callID, map[string]string{"call_id": callID})
}

// StartApproval starts the workflow of a number request. The execution is named after the request,
// so that a second start changes nothing.
func (c *Client) StartApproval(ctx context.Context, requestID string) error {
	return c.start(ctx, "the approval workflow", c.machines.ApprovalMachine, requestID, map[string]string{"request_id": requestID})
}

// RestartApproval is StartApproval for a request whose workflow may have died. It changes nothing
// while a workflow of the request runs. Otherwise it starts one that is named after the request and
// a number, because Step Functions keeps the names of executions that ended. It returns when the
// workflow that runs now started.
func (c *Client) RestartApproval(ctx context.Context, requestID string) (started time.Time, err error) {
	for n, name := 1, requestID; n <= maxRestarts && started.IsZero() && err == nil; n++ {
		started, err = c.begin(ctx, "the approval workflow", c.machines.ApprovalMachine, name, map[string]string{"request_id": requestID})
		name = fmt.Sprintf("%s-%d", requestID, n)
	}
	if started.IsZero() && err == nil {
		err = fmt.Errorf("the workflow of %s died %d times", requestID, maxRestarts)
	}
	return started, err
}

// maxRestarts is how many workflows a request can have. Step Functions forgets names after 90 days.
const maxRestarts = 20

// start starts an execution that is named after its subject. Its input contains ids only: the
// history is kept for 90 days and must hold no prompt and no secret.
func (c *Client) start(ctx context.Context, what, machine, name string, ids map[string]string) error {
	_, err := c.begin(ctx, what, machine, name, ids)
	return err
}

func (c *Client) begin(ctx context.Context, what, machine, name string, ids map[string]string) (started time.Time, err error) {
	input, err := json.Marshal(ids)
	if err != nil {
		return started, fmt.Errorf("encode workflow input: %w", err)
	}
	out, err := c.sfn.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &machine, Name: &name, Input: aws.String(string(input))})
	if _, exists := errors.AsType[*types.ExecutionAlreadyExists](err); exists {
		return started, nil
	}
	if err != nil {
		return started, fault.Unavailable(what, err)
	}
	return aws.ToTime(out.StartDate), nil
}

// CallEnded notifies the workflow that waits with this token that its call is over. It does nothing
// if the token is empty or the workflow no longer waits.
func (c *Client) CallEnded(ctx context.Context, token string) error {
	return c.tell(ctx, "the call workflow", token, `{"outcome":"ended"}`)
}

// RequestDecided notifies the workflow that waits with this token that its number request has been
// decided. It handles tokens as CallEnded does.
func (c *Client) RequestDecided(ctx context.Context, token string) error {
	return c.tell(ctx, "the approval workflow", token, `{"outcome":"decided"}`)
}

// NumberAvailable notifies the workflow that waits with this token that a number may be available
// for its request. It handles tokens as CallEnded does.
func (c *Client) NumberAvailable(ctx context.Context, token string) error {
	return c.tell(ctx, "the approval workflow", token, `{"outcome":"available"}`)
}

func (c *Client) tell(ctx context.Context, what, token, news string) error {
	if token == "" {
		return nil
	}
	_, err := c.sfn.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: &token, Output: &news})
	_, late := errors.AsType[*types.TaskTimedOut](err)
	_, gone := errors.AsType[*types.TaskDoesNotExist](err)
	if err == nil || late || gone {
		return nil
	}
	return fault.Unavailable(what, err)
}
