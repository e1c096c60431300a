package deliverwebhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/krosai/telephony/shared/webhook"
)

// attempt sends the event and classifies the answer. It returns an error only when the platform
// fails. A failure of the endpoint is part of the attempt.
func (t *Task) attempt(ctx context.Context, d webhook.Delivery, e webhook.Endpoint) (webhook.Attempt, error) {
	a := webhook.Attempt{At: t.Now(), Status: webhook.Pending}
	q, err := signed(ctx, d.Event, e, a.At)
	if err != nil {
		return a, err
	}
	a.Code, a.Answer, err = t.send(q)
	switch {
	case err != nil:
		a.Error = classOf(err)
	case a.Code/100 == 2:
		a.Status = webhook.Delivered
	case a.Code == http.StatusGone:
		a.Status, a.Error = webhook.Dead, "status"
	default:
		a.Error = "status"
	}
	if a.Status != webhook.Pending {
		return a, nil
	}
	if pause, more := webhook.Pause(d.Attempts + 1); more {
		a.NextAt = t.Now().Add(pause)
	} else {
		a.Status = webhook.Dead
	}
	return a, nil
}

// signed returns the request that delivers an event to an endpoint. It is signed according to
// Standard Webhooks with each secret of the endpoint: https://www.standardwebhooks.com
func signed(ctx context.Context, v webhook.Event, e webhook.Endpoint, at time.Time) (*http.Request, error) {
	var signatures []string
	for _, s := range e.Secrets(at) {
		signer, err := standardwebhooks.NewWebhook(s.Reveal())
		if err != nil {
			return nil, fmt.Errorf("a signing secret of %s is not one", e.ID)
		}
		signature, err := signer.Sign(v.ID, at, v.Body)
		if err != nil {
			return nil, fmt.Errorf("sign %s: %w", v.ID, err)
		}
		signatures = append(signatures, signature)
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(v.Body))
	if err != nil {
		return nil, fmt.Errorf("the address of %s is not one", e.ID)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("User-Agent", "KrosAI-Telephony")
	q.Header.Set(standardwebhooks.HeaderWebhookID, v.ID)
	q.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	q.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return q, nil
}

// maxAnswer is how many bytes of an answer are read. They are read for servers that expect the
// client to read the answer.
const maxAnswer = 4 << 10

// send returns the status code of the answer and the beginning of its body.
func (t *Task) send(q *http.Request) (status int, answer string, err error) {
	resp, err := t.Client.Do(q)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	// The status has arrived. An error while reading the body does not matter.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, beginning(body), nil
}

// beginning returns the first bytes of an answer as printable text, at most webhook.MaxAnswer
// bytes. Bytes that are not UTF-8, control characters and format characters are replaced by U+FFFD.
func beginning(body []byte) string {
	var b strings.Builder
	for _, c := range string(body[:min(len(body), webhook.MaxAnswer)]) {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) {
			c = unicode.ReplacementChar
		}
		if b.Len()+len(string(c)) > webhook.MaxAnswer {
			break
		}
		b.WriteRune(c)
	}
	return b.String()
}
