package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/krosai/telephony/shared/fault"
)

const (
	freshFor  = time.Hour       // after that the next token causes another reading
	keptFor   = 24 * time.Hour  // how long keys are used while they cannot be read again
	pause     = time.Minute     // between two readings, whatever key ids tokens name
	retry     = 5 * time.Second // between two readings while there are no keys
	maxAnswer = 256 << 10       // bytes
)

// keySet is the issuer's keys as last read. The address that they are read from does not depend on
// any token.
type keySet struct {
	issuer, url string
	client      *http.Client
	timeout     time.Duration // of one reading
	now         func() time.Time

	mu      sync.Mutex
	keys    map[string]key // by kid
	read    int            // number of successful readings
	fetched time.Time      // when the last successful reading began
	tried   time.Time      // when the last reading began
	err     error          // of the last reading
	reading chan struct{}  // closed at the end of the reading in progress; nil without one
}

// find returns the key with that id. It fails with fault.Upstream if there are no usable keys and
// none can be read.
func (s *keySet) find(ctx context.Context, kid string) (key, error) {
	if done := s.refresh(kid); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return key{}, fault.Unavailable("the issuer of tokens", ctx.Err())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.usable() {
		return key{}, fault.Unavailable("the issuer of tokens", s.err)
	}
	k, ok := s.keys[kid]
	if !ok {
		return key{}, errors.New("kid is none of the issuer's")
	}
	return k, nil
}

func (s *keySet) usable() bool { return s.keys != nil && s.now().Sub(s.fetched) < keptFor }

// refresh starts to read the keys if they are old or kid is unknown, unless that was tried a moment
// ago. It returns a channel to wait for, or nil if there is no reason to wait. The request that
// starts a reading waits for it, because Lambda stops a process that has answered.
func (s *keySet) refresh(kid string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, usable := s.now(), s.usable()
	_, known := s.keys[kid]
	known = known && usable
	if known && (now.Sub(s.fetched) < freshFor || s.reading != nil) {
		return nil
	}
	if s.reading != nil {
		return s.reading
	}
	wait := retry
	if usable {
		wait = pause
	}
	if !s.tried.IsZero() && now.Sub(s.tried) < wait {
		return nil
	}
	s.tried, s.reading = now, make(chan struct{})
	go s.readKeys(now, s.reading)
	return s.reading
}

// readKeys reads the keys, even if no request waits for them any more.
func (s *keySet) readKeys(began time.Time, done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	keys, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err == nil {
		s.read++
		for kid, k := range keys {
			k.reading = s.read
			keys[kid] = k
		}
		s.keys, s.fetched = keys, began
	}
	s.reading = nil
	close(done)
}

func (s *keySet) fetch(ctx context.Context) (map[string]key, error) {
	from := s.url
	if from == "" {
		var err error
		if from, err = s.discover(ctx); err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
	}
	text, err := s.get(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	return parseKeys(text)
}

// discover asks the issuer where its keys are (OpenID Connect Discovery 1.0,
// section 4).
func (s *keySet) discover(ctx context.Context) (string, error) {
	text, err := s.get(ctx, strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", err
	}
	document, err := members(text)
	if err != nil {
		return "", err
	}
	if issuer, _ := unquote(document["issuer"]); issuer != s.issuer {
		return "", errors.New("the document is of another issuer")
	}
	from, _ := unquote(document["jwks_uri"])
	if err := checkURL(from); err != nil {
		return "", fmt.Errorf("jwks_uri: %w", err)
	}
	return from, nil
}

func (s *keySet) get(ctx context.Context, from string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, errors.New(answer.Status)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxAnswer {
		return nil, errors.New("the answer is too large")
	}
	return text, nil
}
