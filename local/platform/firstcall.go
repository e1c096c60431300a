package platform

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// firstNumber is a callee who answers after a second and stays on the line.
const firstNumber = "+14155550100"

// story is what the first call needs of a call's details.
type story struct {
	CallID      string    `json:"call_id"`
	Status      string    `json:"status"`
	HangupCause string    `json:"hangup_cause"`
	CreatedAt   time.Time `json:"created_at"`
	Timeline    []struct {
		At     time.Time `json:"at"`
		Event  string    `json:"event"`
		Detail string    `json:"detail"`
	} `json:"timeline"`
}

// FirstCall places a call through the API, prints its timeline as it grows,
// hangs up when it has been answered, and returns its id.
func (p *Platform) FirstCall(ctx context.Context, w io.Writer) (string, error) {
	var c story
	err := p.call(ctx, http.MethodPost, "/outbound-calls/create", map[string]any{"phone_number": firstNumber,
		"system_prompt": "You confirm deliveries.", "welcome_message": "Hello, this is Ada from Acme."}, &c)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(w, "\nThe first call, %s to %s (%s)\n", demoNumber, firstNumber, c.CallID)
	start, shown, hungUp := c.CreatedAt, 0, false
	for c.Status == "initiated" || shown < len(c.Timeline) || c.HangupCause == "" {
		if err := p.call(ctx, http.MethodGet, "/outbound-calls/"+c.CallID+"/details", nil, &c); err != nil {
			return c.CallID, err
		}
		for ; shown < len(c.Timeline); shown++ {
			e := c.Timeline[shown]
			fmt.Fprintf(w, "  %6.2f s  %-9s %s\n", e.At.Sub(start).Seconds(), e.Event, e.Detail)
		}
		if c.Status == "in_progress" && !hungUp {
			hungUp = true
			if err := p.call(ctx, http.MethodPost, "/outbound-calls/"+c.CallID+"/hangup", nil, nil); err != nil {
				return c.CallID, err
			}
			continue
		}
		if time.Since(start) > 30*time.Second {
			return c.CallID, fmt.Errorf("the call is still %s after 30 s", c.Status)
		}
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Fprintf(w, "  %s, %s\n", c.Status, c.HangupCause)
	return c.CallID, nil
}
