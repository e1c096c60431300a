// Package flow starts the platform's workflows and tells them what they wait
// for. It is the only package that speaks to Step Functions.
package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/krosai/telephony/shared/fault"
)

// Config names the state machines.
type Config struct {
	CallMachine string `env:"CALL_STATE_MACHINE_ARN"`
}

// Client speaks to Step Functions.
type Client struct {
	sfn         *sfn.Client
	callMachine string
}

// Open makes a client. It does not touch the network.
func Open(cfg aws.Config, c Config) *Client {
	return &Client{callMachine: c.CallMachine, sfn: sfn.NewFromConfig(cfg)}
}

// StartCall starts the workflow of a call. The execution is named after the
// call, so that starting it again changes nothing. Its input is the id alone:
// history is kept for 90 days and must hold no prompt.
func (c *Client) StartCall(ctx context.Context, callID string) error {
	input, err := json.Marshal(map[string]string{"call_id": callID})
	if err != nil {
		return fmt.Errorf("encode workflow input: %w", err)
	}
	_, err = c.sfn.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &c.callMachine, Name: &callID,
		Input: aws.String(string(input))})
	if _, exists := errors.AsType[*types.ExecutionAlreadyExists](err); err == nil || exists {
		return nil
	}
	return fault.Unavailable("the call workflow", err)
}

// CallEnded tells the workflow that waits with this token that its call is
// over. A workflow that no longer waits needs no telling.
func (c *Client) CallEnded(ctx context.Context, token string) error {
	if token == "" {
		return nil
	}
	_, err := c.sfn.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: &token, Output: aws.String(`{"outcome":"ended"}`)})
	_, late := errors.AsType[*types.TaskTimedOut](err)
	_, gone := errors.AsType[*types.TaskDoesNotExist](err)
	if err == nil || late || gone {
		return nil
	}
	return fault.Unavailable("the call workflow", err)
}
