package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/krosai/telephony/local/carrier"
	"github.com/krosai/telephony/shared/number"
)

// Time limits of InboundCall: how long the caller talks, how long the caller lets the phone ring,
// and how long the call may take to appear in the history.
const (
	callerTalks = 8 * time.Second
	callerRings = 40 * time.Second
	callShows   = 5 * time.Second
)

// InboundCall calls from one number to another, as an external telephone would. It uses the
// platform that runs in the folder c.Dir. It prints the call's timeline as it grows, and hangs up
// after callerTalks. from may be anything that a carrier might send. to may be any user's number.
func InboundCall(ctx context.Context, c Config, from, to string, w io.Writer) error {
	env, err := readEnv(filepath.Join(c.Dir, "env"))
	if err != nil {
		return err
	}
	if env["KROS_SIP"] == "" {
		return errors.New("no platform with a SIP side of its own has run in " + c.Dir + ": make run")
	}
	if to == "" {
		to = env["KROS_NUMBER"]
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
	p, err := asOwner(ctx, c, env, to)
	if err != nil {
		return err
	}
	came, err := p.latestInbound(ctx, number.ID(to), began)
	if err != nil {
		return fmt.Errorf("%w: the phone is %s; is %s configured to take calls in?", err, phone.Info().State, to)
	}
	fmt.Fprintf(w, "An inbound call, %s to %s (%s)\n", from, to, came.CallID)
	return p.follow(ctx, came, w, callerRings+callerTalks, func() error { return nil })
}

// asOwner returns the platform with access as the owner of a number. A number without an owner is
// an error.
func asOwner(ctx context.Context, c Config, env map[string]string, e164 string) (*Platform, error) {
	p := &Platform{Config: c, Access: Access{URL: env["KROS_URL"], APIKey: env["KROS_API_KEY"]}}
	if e164 == env["KROS_NUMBER"] {
		return p, nil
	}
	admin := &Platform{Config: c, Access: Access{URL: env["KROS_URL"], APIKey: env["KROS_ADMIN_JWT"]}}
	query := url.Values{"status": {"assigned"}, "limit": {"100"}}
	for {
		var page struct {
			Data []struct {
				PhoneNumber string `json:"phone_number"`
				UserID      string `json:"user_id"`
			} `json:"data"`
			NextCursor string `json:"next_cursor"`
		}
		if err := admin.call(ctx, http.MethodGet, "/admin/phone-numbers?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		for _, n := range page.Data {
			if n.PhoneNumber == e164 {
				var err error
				p.Access.APIKey, err = Token(c, n.UserID, nil, 10*time.Minute)
				return p, err
			}
		}
		if page.NextCursor == "" {
			return nil, fmt.Errorf("no call has come in: no user has the number %s", e164)
		}
		query.Set("cursor", page.NextCursor)
	}
}

// latestInbound waits until the history shows an inbound call for a number after a given time.
func (p *Platform) latestInbound(ctx context.Context, numberID string, after time.Time) (story, error) {
	// LiveKit's time stamp of a room may be slightly before our clock's time.
	query := url.Values{"direction": {"inbound"}, "limit": {"25"}, "from": {after.Add(-100 * time.Millisecond).UTC().Format(time.RFC3339Nano)}}
	for until := time.Now().Add(callShows); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		var history struct {
			Data []story `json:"data"`
		}
		if err := p.call(ctx, http.MethodGet, "/outbound-calls?"+query.Encode(), nil, &history); err != nil {
			return story{}, err
		}
		if i := slices.IndexFunc(history.Data, func(c story) bool { return c.NumberID == numberID }); i >= 0 {
			return history.Data[i], nil
		}
	}
	return story{}, fmt.Errorf("no call has come in after %s", callShows)
}
