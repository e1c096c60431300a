package api_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
)

// orders creates secrets, counts them, and fails on request.
type orders struct {
	made atomic.Int32
	wait chan struct{} // closed when orders may be answered; nil: at once
	fail atomic.Pointer[fault.Error]
}

type orderInput struct {
	Body struct {
		Name  string  `json:"name,omitempty"`
		Count float64 `json:"count,omitempty"`
	}
}

func (o *orders) Register(a huma.API) {
	order := func(context.Context, *orderInput) (*textOutput, error) {
		n := o.made.Add(1)
		if o.wait != nil {
			<-o.wait
		}
		if err := o.fail.Load(); err != nil {
			if err.Code == "PANIC" {
				panic("half way")
			}
			return nil, err
		}
		return text(fmt.Sprintf("canary-%d", n)), nil
	}
	for id, path := range map[string]string{"order": "/orders", "sell": "/sales", "order-for": "/orders/{whom}"} {
		huma.Register(a, huma.Operation{OperationID: id, Method: http.MethodPost, Path: path, DefaultStatus: http.StatusCreated}, order)
	}
	huma.Register(a, huma.Operation{OperationID: "own", Method: http.MethodPost, Path: "/own",
		Metadata: map[string]any{api.OwnIdempotency: true}}, order)
	huma.Register(a, huma.Operation{OperationID: "put", Method: http.MethodPut, Path: "/orders"}, order)
}

type shop struct {
	*orders
	db      *storetest.Database
	keys    *keys
	ada, by string
	second  string // another key of ada's
	handler http.Handler
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{orders: &orders{}, db: storetest.Open(t, func() time.Time { return now }), keys: &keys{byID: map[string]account.Key{}}}
	s.ada, s.by = s.keys.add(t, readerKeyID, "ada"), s.keys.add(t, otherKeyID, "bob")
	s.second = s.keys.add(t, writerKeyID, "ada")
	edge := &api.Edge{Keys: s.keys, Answers: s.db, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
		CursorKey: secret.New("the key of this test")}
	s.handler = edge.Handler(s.orders)
	return s
}

func (s *shop) post(t *testing.T, key, target, once, body string) reply {
	t.Helper()
	a := ask{method: "POST", target: target, key: key, body: body, header: http.Header{}}
	if once != "" {
		a.header.Set("Idempotency-Key", once)
	}
	return overHTTP(t, s.handler, a)
}

func TestOnceAtTheEdge(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	const body = `{"name":"a","count":1.50}`
	first := s.post(t, s.ada, "/orders", "k", body)
	if first.status != 201 || first.header.Get("Idempotency-Replayed") != "" || !strings.Contains(string(first.body), "canary-1") {
		t.Fatalf("%+v", first)
	}
	for _, again := range []string{body, ` {"count":1.50,` + "\n" + `"name":"\u0061"}`, `{"count":15e-1,"name":"a"}`} {
		s.db.LoseReplies(1)
		r := s.post(t, s.ada, "/orders", "k", again)
		if d := cmp.Diff(string(first.body), string(r.body)); d != "" || r.status != 201 || r.header.Get("Idempotency-Replayed") != "true" ||
			r.header.Get("Content-Type") != first.header.Get("Content-Type") {
			t.Errorf("again: %+v (-first +again):\n%s", r, d)
		}
	}
	for name, other := range map[string]reply{
		"body": s.post(t, s.ada, "/orders", "k", `{"name":"b","count":1.50}`), "no body's worth": s.post(t, s.ada, "/orders", "k", `{}`)} {
		if other.status != 422 || !strings.Contains(string(other.body), `"code":"IDEMPOTENCY_KEY_REUSED"`) {
			t.Errorf("another %s: %d %s", name, other.status, other.body)
		}
	}
	if n := s.made.Load(); n != 1 {
		t.Errorf("carried out %d times", n)
	}
	for name, other := range map[string]reply{
		"user": s.post(t, s.by, "/orders", "k", body), "credential": s.post(t, s.second, "/orders", "k", body), "route": s.post(t, s.ada, "/sales", "k", body), "key": s.post(t, s.ada, "/orders", "K", body),
		"without a key": s.post(t, s.ada, "/orders", "", body), "that looks itself": s.post(t, s.ada, "/own", "k", body),
		"looks itself again": s.post(t, s.ada, "/own", "k", body)} {
		if other.status/100 != 2 || other.header.Get("Idempotency-Replayed") != "" {
			t.Errorf("another %s: %+v", name, other)
		}
	}
	if n := s.made.Load(); n != 8 {
		t.Errorf("carried out %d times, want 8", n)
	}
	if s.post(t, s.ada, "/orders/x", "p", body); s.post(t, s.ada, "/orders/y", "p", body).status != 422 {
		t.Error("the key of one path is good for another")
	}
}

func TestOnceWithManyAtOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.wait = make(chan struct{})
	var all sync.WaitGroup
	var mu sync.Mutex
	got, refused := map[string]int{}, 0
	for range 50 {
		all.Go(func() {
			r := s.post(t, s.ada, "/orders", "k", `{"name":"a"}`)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case r.status == 201:
				got["done"]++
			case r.status == 409 && strings.Contains(string(r.body), "IDEMPOTENCY_IN_PROGRESS") && r.header.Get("Retry-After") != "":
				got["running"]++
			default:
				got[fmt.Sprint(r.status, r.header, string(r.body))]++
			}
			if refused++; refused == 49 {
				close(s.wait)
			}
		})
	}
	all.Wait()
	if d := cmp.Diff(map[string]int{"done": 1, "running": 49}, got); d != "" || s.made.Load() != 1 {
		t.Errorf("carried out %d times (-want +got):\n%s", s.made.Load(), d)
	}
	if r := s.post(t, s.ada, "/orders", "k", `{"name":"a"}`); r.status != 201 || r.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("later: %+v", r)
	}
}

// TestWhichAnswersAreKept checks that no error answer is stored. The request may be corrected and
// sent again with its key.
func TestWhichAnswersAreKept(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    fault.Error
		status int
		kept   bool
	}{
		{fault.Error{Kind: fault.Conflict, Code: "CONFLICT"}, 409, false},
		{fault.Error{Kind: fault.Invalid, Code: "INVALID_REQUEST"}, 400, false},
		{fault.Error{Kind: fault.Forbidden, Code: "FORBIDDEN"}, 403, false},
		{fault.Error{Kind: fault.NotFound, Code: "NOT_FOUND"}, 404, false},
		{fault.Error{Kind: fault.Limited, Code: "RATE_LIMIT_EXCEEDED", RetryAfter: time.Minute}, 429, false},
		{fault.Error{Kind: fault.Upstream, Code: "TELEPHONY_UNAVAILABLE"}, 503, false},
		{fault.Error{Kind: fault.Internal, Code: "INTERNAL"}, 500, false},
		{fault.Error{Kind: fault.Internal, Code: "PANIC"}, 500, false},
	} {
		t.Run(tt.err.Code, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.fail.Store(&tt.err)
			first := s.post(t, s.ada, "/orders", "k", `{}`)
			s.fail.Store(nil)
			again := s.post(t, s.ada, "/orders", "k", `{"name":"corrected"}`)
			if kept := again.header.Get("Idempotency-Replayed") == "true"; first.status != tt.status || kept != tt.kept ||
				kept != bytes.Equal(first.body, again.body) || !kept && again.status != 201 {
				t.Errorf("%d %s, then %d %s", first.status, first.body, again.status, again.body)
			}
		})
	}
}

func TestOnceRefusesKeys(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, key := range []string{"", " ", "a b", "a,b", "caf\u00e9", strings.Repeat("k", 256)} {
		for _, path := range []string{"/orders", "/own"} {
			for _, values := range [][]string{{key}, {"k", "k"}} {
				r := overHTTP(t, s.handler, ask{method: "POST", target: path, key: s.ada, body: `{}`, header: http.Header{"Idempotency-Key": values}})
				if r.status != 400 || !strings.Contains(string(r.body), `"field":"Idempotency-Key"`) {
					t.Errorf("%s %q: %d %s", path, values, r.status, r.body)
				}
			}
		}
	}
	if r := s.post(t, s.ada, "/orders", strings.Repeat("~", 255), `{}`); r.status != 201 {
		t.Errorf("255 characters: %d %s", r.status, r.body)
	}
	if n := s.made.Load(); n != 1 {
		t.Errorf("carried out %d times", n)
	}
}

// keeper creates things with ids from api.NewID, and panics before it answers if dies is set.
type keeper struct {
	mu   sync.Mutex
	ids  []string
	dies bool
}

func (k *keeper) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "keep", Method: http.MethodPost, Path: "/keep"},
		func(ctx context.Context, _ *orderInput) (*textOutput, error) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.ids = append(k.ids, api.NewID(ctx, "thing_", now))
			if k.dies {
				panic("half way")
			}
			return text(k.ids[len(k.ids)-1]), nil
		})
}

// TestNewID checks that all attempts at one request create a thing with the same id, and that other
// requests create other ids.
func TestNewID(t *testing.T) {
	t.Parallel()
	s, k := newShop(t), &keeper{dies: true}
	edge := &api.Edge{Keys: s.keys, Answers: s.db, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
		CursorKey: secret.New("the key of this test")}
	s.handler = edge.Handler(k)
	for _, ask := range []struct{ key, body string }{{"k", `{}`}, {"k", ` {}`}, {"k", `{"name":"a"}`}, {"K", `{}`}, {"", `{}`}, {"", `{}`}} {
		if r := s.post(t, s.ada, "/keep", ask.key, ask.body); r.status != 500 {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	groups, seen := []int{}, map[string]int{}
	for _, made := range k.ids {
		if _, ok := seen[made]; !ok {
			seen[made] = len(seen)
		}
		groups = append(groups, seen[made])
		if err := id.Kind("thing_").Check(made); err != nil {
			t.Error(err)
		}
	}
	if d := cmp.Diff([]int{0, 0, 1, 2, 3, 4}, groups); d != "" {
		t.Errorf("%s (-want +got):\n%s", k.ids, d)
	}
}
