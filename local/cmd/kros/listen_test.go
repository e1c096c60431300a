package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const webhookSecret = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5"

func TestListen(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- listen(ctx, []string{"-secret", webhookSecret, "--port", "0"}, out) }()
	lines := bufio.NewScanner(in)
	next := func() string {
		t.Helper()
		if !lines.Scan() {
			t.Fatal("nothing is printed")
		}
		return lines.Text()
	}
	url, ok := strings.CutPrefix(next(), "Listening at ")
	if !ok {
		t.Fatalf("it says %q", lines.Text())
	}
	signer, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"type":"call.ended","timestamp":"2026-11-22T09:30:00.000Z","data":{"call_id":"call_1"}}`
	for _, tt := range []struct {
		name, sent string
		at         time.Time
		status     int
		want       string
	}{
		{"an event", body, time.Now(), 204, `verified call.ended evt_1 {"call_id":"call_1"}`},
		{"it again", body, time.Now(), 204, `again call.ended evt_1 {"call_id":"call_1"}`},
		{"a forged one", strings.Replace(body, "call_1", "call_2", 1), time.Now(), 401, "refused: it does not verify"},
		{"an old one", body, time.Now().Add(-time.Hour), 401, "refused: it does not verify"},
		{"a huge one", body + strings.Repeat(" ", 2<<20), time.Now(), 401, "refused: it does not verify"},
	} {
		signature, err := signer.Sign("evt_1", tt.at, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(tt.sent))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("webhook-id", "evt_1")
		q.Header.Set("webhook-timestamp", fmt.Sprint(tt.at.Unix()))
		q.Header.Set("webhook-signature", signature)
		answers := make(chan int, 1)
		go func() {
			resp, err := http.DefaultClient.Do(q)
			if err != nil {
				answers <- 0
				return
			}
			resp.Body.Close()
			answers <- resp.StatusCode
		}()
		if got := next(); got != tt.want {
			t.Errorf("%s: %q", tt.name, got)
		}
		if status := <-answers; status != tt.status {
			t.Errorf("%s: answered %d", tt.name, status)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestListenRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"", "-secret !", "-port 0", "-secret " + webhookSecret + " more", "-secret " + webhookSecret + " -port 99999", "-nope"} {
		var out bytes.Buffer
		if err := listen(t.Context(), strings.Fields(args), &out); err == nil || out.Len() > 0 {
			t.Errorf("kros listen %s: %v, printed %q", args, err, &out)
		}
	}
}
