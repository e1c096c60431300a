package platform

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// firstNumber is the number of a callee that answers after one second and stays on the line.
const firstNumber = "+14155550100"

// story is the part of a call's details that the first call needs.
type story struct {
	CallID      string    `json:"call_id"`
	NumberID    string    `json:"phone_number_id"`
	Status      string    `json:"status"`
	HangupCause string    `json:"hangup_cause"`
	CreatedAt   time.Time `json:"created_at"`
	Timeline    []struct {
		At     time.Time `json:"at"`
		Event  string    `json:"event"`
		Detail string    `json:"detail"`
	} `json:"timeline"`
}

// FirstCall places a call through the API, prints its timeline as it grows, hangs up when the call
// is answered, and returns the call's id.
func (p *Platform) FirstCall(ctx context.Context, w io.Writer) (string, error) {
	var c story
	err := p.call(ctx, http.MethodPost, "/outbound-calls/create", map[string]any{"phone_number": firstNumber, "phone_number_id": p.Access.NumberID,
		"system_prompt": "You confirm deliveries.", "welcome_message": "Hello, this is Ada from Acme."}, &c)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(w, "\nThe first call, %s to %s (%s)\n", p.Access.Number, firstNumber, c.CallID)
	hangUp := func() error {
		return p.call(ctx, http.MethodPost, "/outbound-calls/"+c.CallID+"/hangup", nil, nil)
	}
	return c.CallID, p.follow(ctx, c, w, 30*time.Second, hangUp)
}

// follow prints a call's timeline as it grows, until the call ends. It calls answered once, when
// the call is answered. A call that has not ended after timeout is an error.
func (p *Platform) follow(ctx context.Context, c story, w io.Writer, timeout time.Duration, answered func() error) error {
	start, shown, told := c.CreatedAt, 0, false
	for until := time.Now().Add(timeout); c.HangupCause == "" || shown < len(c.Timeline); {
		if err := p.call(ctx, http.MethodGet, "/outbound-calls/"+c.CallID+"/details", nil, &c); err != nil {
			return err
		}
		for ; shown < len(c.Timeline); shown++ {
			e := c.Timeline[shown]
			fmt.Fprintf(w, "  %6.2f s  %-9s %s\n", e.At.Sub(start).Seconds(), e.Event, e.Detail)
		}
		if c.Status == "in_progress" && !told {
			told = true
			if err := answered(); err != nil {
				return err
			}
			continue
		}
		if time.Now().After(until) {
			return fmt.Errorf("the call is still %s after %s", c.Status, timeout)
		}
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Fprintf(w, "  %s, %s\n", c.Status, c.HangupCause)
	return nil
}
