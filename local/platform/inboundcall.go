package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/krosai/telephony/local/carrier"
)

// How long a caller of InboundCall talks and lets it ring, and how long the call
// may take to show in the history.
const (
	callerTalks = 8 * time.Second
	callerRings = 40 * time.Second
	callShows   = 5 * time.Second
)

// InboundCall calls from a number to another as a telephone out there would, on
// the platform that runs in the folder c.Dir, prints the call's timeline as it
// grows, and hangs up after a while. From may be anything a carrier might say.
func InboundCall(ctx context.Context, c Config, from, to string, w io.Writer) error {
	env, err := readEnv(filepath.Join(c.Dir, "env"))
	if err != nil {
		return err
	}
	if env["KROS_SIP"] == "" {
		return errors.New("no platform with a SIP side of its own has run in " + c.Dir + ": make run")
	}
	network, err := carrier.Start(carrier.Options{Addr: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	defer network.Close()
	began := time.Now()
	phone, err := network.Call(ctx, env["KROS_SIP"], carrier.CallOptions{From: from, To: to, RingTimeout: callerRings,
		Script: carrier.Script{HangUpAfter: callerTalks}})
	if err != nil {
		return err
	}
	p := &Platform{Config: c, Access: Access{URL: env["KROS_URL"], APIKey: env["KROS_API_KEY"]}}
	came, err := p.latestInbound(ctx, began)
	if err != nil {
		return fmt.Errorf("%w: the phone is %s; is %s configured to take calls in?", err, phone.Info().State, to)
	}
	fmt.Fprintf(w, "An inbound call, %s to %s (%s)\n", from, to, came.CallID)
	return p.follow(ctx, came, w, callerRings+callerTalks, func() error { return nil })
}

// latestInbound waits until the history shows a call that came in after a moment.
func (p *Platform) latestInbound(ctx context.Context, after time.Time) (story, error) {
	// LiveKit may stamp a room a little before our clock's moment.
	query := url.Values{"direction": {"inbound"}, "limit": {"1"}, "from": {after.Add(-100 * time.Millisecond).UTC().Format(time.RFC3339Nano)}}
	for until := time.Now().Add(callShows); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		var history struct {
			Data []story `json:"data"`
		}
		if err := p.call(ctx, http.MethodGet, "/outbound-calls?"+query.Encode(), nil, &history); err != nil {
			return story{}, err
		}
		if len(history.Data) > 0 {
			return history.Data[0], nil
		}
	}
	return story{}, fmt.Errorf("no call has come in after %s", callShows)
}
