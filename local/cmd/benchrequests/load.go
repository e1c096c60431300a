package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is the number of requests of a kind in one round, and of connections.
type load struct{ requests, connections int }

// kind is a kind of measured request. Its path may contain {call_id}.
type kind struct {
	name, method, path string
	credential         string // name of its variable in the platform's file env
	body               string
	status             int
}

var (
	kinds = []kind{
		{name: "details, API key", method: http.MethodGet, path: "/outbound-calls/{call_id}/details", credential: "KROS_API_KEY", status: 200},
		{name: "details, token", method: http.MethodGet, path: "/outbound-calls/{call_id}/details", credential: "KROS_USER_JWT", status: 200},
		{name: "list, API key", method: http.MethodGet, path: "/outbound-calls?limit=25", credential: "KROS_API_KEY", status: 200},
	}
	create = kind{name: "create, API key", method: http.MethodPost, path: "/outbound-calls/create", credential: "KROS_API_KEY",
		body: `{"phone_number":"+14155550102","system_prompt":"You confirm deliveries."}`, status: 201}
)

// result is the measurement of one kind on one side.
type result struct {
	requests int
	took     time.Duration   // of all rounds
	cpu      time.Duration   // of the platform's process in that time; 0 without /proc
	waits    []time.Duration // of each request
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}, Timeout: 30 * time.Second}

// prepare places a call to a busy number, waits for its end and warms up every kind.
func (s *side) prepare(ctx context.Context) error {
	var made struct {
		CallID string `json:"call_id"`
	}
	if err := s.send(ctx, create, &made); err != nil {
		return err
	}
	s.call = made.CallID
	for {
		var c struct {
			Status string `json:"status"`
		}
		if err := s.send(ctx, kinds[0], &c); err != nil {
			return err
		}
		if c.Status == "busy" || c.Status == "failed" {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, k := range kinds {
		for range 100 {
			if err := s.send(ctx, k, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// send sends one request and decodes its answer into out, unless out is nil.
func (s *side) send(ctx context.Context, k kind, out any) error {
	r, err := http.NewRequestWithContext(ctx, k.method, s.env["KROS_URL"]+strings.ReplaceAll(k.path, "{call_id}", s.call), strings.NewReader(k.body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+s.env[k.credential])
	if k.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != k.status:
		return fmt.Errorf("%s %s: %s: %s", k.method, k.path, resp.Status, text)
	case out == nil:
		return nil
	}
	return json.Unmarshal(text, out)
}

// round sends the requests of a kind over several connections and adds the measurement to the
// side's results. It ends at the first request that fails.
func (s *side) round(ctx context.Context, k kind, l load) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	waits := make([]time.Duration, l.requests)
	var next atomic.Int64
	var sending sync.WaitGroup
	cpu, began := processorTime(s.process.Process.Pid), time.Now()
	for range l.connections {
		sending.Go(func() {
			for i := int(next.Add(1)) - 1; i < l.requests; i = int(next.Add(1)) - 1 {
				sent := time.Now()
				if err := s.send(ctx, k, nil); err != nil {
					stop(err)
					return
				}
				waits[i] = time.Since(sent)
			}
		})
	}
	sending.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	r := s.results[k.name]
	if r == nil {
		r = &result{}
		s.results[k.name] = r
	}
	r.requests += l.requests
	r.took += time.Since(began)
	r.cpu += processorTime(s.process.Process.Pid) - cpu
	r.waits = append(r.waits, waits...)
	return nil
}
