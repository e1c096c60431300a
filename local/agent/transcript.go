package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A post is tried up to attempts times. The wait between two attempts doubles, starting
// at retryWait.
const (
	attempts  = 5
	retryWait = 250 * time.Millisecond
)

// turn is one entry of the transcript, in the format of POST …/transcript.
type turn struct {
	ID      string    `json:"turn_id"` // fixed for a turn of a call, so that a repeated post changes nothing
	Role    string    `json:"role"`
	Content string    `json:"content"`
	At      time.Time `json:"at"`
}

// transcript posts the turns of one call in order, several in one request if they have piled up.
type transcript struct {
	agent      *Agent
	url, token string
	key        string // identifies the call in turn ids
	count      int
	done       sync.WaitGroup

	mu      sync.Mutex
	pending []turn
	ended   bool
	more    chan struct{}
}

// newTranscript begins a transcript. It posts nothing before sendTo.
func (a *Agent) newTranscript(key string) *transcript {
	return &transcript{agent: a, key: key, more: make(chan struct{}, 1)}
}

// sendTo sends all turns, earlier and later ones, to a URL. Only the first URL counts. Without a
// URL and a token nothing is sent.
func (t *transcript) sendTo(url, token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if url == "" || token == "" || t.url != "" || t.ended {
		return
	}
	t.url, t.token = url, token
	t.done.Go(t.run)
}

func (t *transcript) add(line Line) {
	t.count++
	t.mu.Lock()
	t.pending = append(t.pending, turn{
		ID: t.key + "-" + strconv.Itoa(t.count), Role: line.Role, Content: line.Text, At: time.Now().UTC(),
	})
	t.mu.Unlock()
	t.wake()
}

// finish waits until the pending turns are posted or given up.
func (t *transcript) finish() {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	t.wake()
	t.done.Wait()
}

func (t *transcript) wake() {
	select {
	case t.more <- struct{}{}:
	default:
	}
}

func (t *transcript) run() {
	for range t.more {
		t.mu.Lock()
		turns, ended := t.pending, t.ended
		t.pending = nil
		t.mu.Unlock()
		if len(turns) > 0 {
			t.post(turns)
		}
		if ended {
			return
		}
	}
}

// post sends turns. It tries again after network errors, 429 and 5xx. Any other answer is final.
// After the agent has begun to close there is only one attempt.
func (t *transcript) post(turns []turn) {
	body, err := json.Marshal(map[string]any{"turns": turns})
	if err != nil {
		t.agent.log.Error("transcript", "error", err)
		return
	}
	wait := retryWait
	for attempt := 1; ; attempt++ {
		again, err := t.try(body)
		if err == nil {
			return
		}
		if !again || attempt == attempts || t.agent.ctx.Err() != nil {
			t.agent.log.Error("transcript turns lost", "turns", len(turns), "attempts", attempt, "error", err)
			return
		}
		sleep(t.agent.ctx, wait)
		wait *= 2
	}
}

// try posts once. again reports whether another attempt may help.
func (t *transcript) try(body []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+t.token)
	res, err := t.agent.http.Do(req)
	if err != nil {
		return true, err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)); err != nil {
		return true, err
	}
	if res.StatusCode/100 == 2 {
		return false, nil
	}
	again = res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500
	return again, fmt.Errorf("transcript answered %s", res.Status)
}
