package api_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/fault"
)

// limited is an endpoint with its own limit, which may be used up.
type limited struct {
	hour account.Limit
	err  error
}

func (l limited) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "limited", Method: http.MethodGet, Path: "/limited"},
		func(ctx context.Context, _ *struct{}) (*textOutput, error) {
			api.SetLimit(ctx, account.Limit{Name: l.hour.Name, Quota: 1})
			api.SetLimit(ctx, l.hour)
			if l.err != nil && l.err.Error() == "panic" {
				panic("half way")
			}
			return text("done"), l.err
		})
}

var rateHeaders = []string{"Ratelimit-Policy", "Ratelimit", "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "Retry-After"}

func TestLimitHeaders(t *testing.T) {
	t.Parallel()
	ten := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	hour := func(used int) account.Limit {
		return account.Limit{Name: "calls", Quota: 100, Used: used, Resets: ten}
	}
	spent := &fault.Error{Kind: fault.Limited, Code: "RATE_LIMIT_EXCEEDED", RetryAfter: ten.Sub(now)}
	for _, tt := range []struct {
		name     string
		keyLimit int // per hour of the API key, 7 used; 0: no such limit
		keyErr   error
		hour     account.Limit
		err      error
		status   int
		want     []string
	}{
		{"a user's limit", 0, nil, hour(3), nil, 200, []string{`"calls";q=100;w=3600`, `"calls";r=97;t=1800`, "100", "97", "1795341600", ""}},
		{"the key's too", 1000, nil, hour(3), nil, 200, []string{`"requests";q=1000;w=3600, "calls";q=100;w=3600`, `"requests";r=993;t=1800, "calls";r=97;t=1800`, "100", "97", "1795341600", ""}},
		{"the key's is nearer its end", 10, nil, hour(3), nil, 200, []string{`"requests";q=10;w=3600, "calls";q=100;w=3600`, `"requests";r=3;t=1800, "calls";r=97;t=1800`, "10", "3", "1795341600", ""}},
		{"on a problem", 0, nil, hour(3), fault.Missing("call"), 404, []string{`"calls";q=100;w=3600`, `"calls";r=97;t=1800`, "100", "97", "1795341600", ""}},
		{"on a 500", 0, nil, hour(3), fault.New(fault.Internal, "panic", ""), 500, []string{`"calls";q=100;w=3600`, `"calls";r=97;t=1800`, "100", "97", "1795341600", ""}},
		{"spent", 0, nil, hour(101), spent, 429, []string{`"calls";q=100;w=3600`, `"calls";r=0;t=1800`, "100", "0", "1795341600", "1800"}},
		{"the key's hour is spent", 7, spent, hour(3), nil, 429, []string{`"requests";q=7;w=3600`, `"requests";r=0;t=1800`, "7", "0", "1795341600", "1800"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := &limitedKeys{keys: keys{byID: map[string]account.Key{}}, err: tt.keyErr}
			token := k.add(t, readerKeyID, "ada")
			key := k.byID[readerKeyID]
			key.HourLimit, key.HourUsed, key.HourResets = tt.keyLimit, 7, ten
			k.byID[readerKeyID] = key
			edge := &api.Edge{Keys: k, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
			r := overHTTP(t, edge.Handler(limited{tt.hour, tt.err}), ask{method: "GET", target: "/limited", key: token})
			var got []string
			for _, name := range rateHeaders {
				got = append(got, r.header.Get(name))
			}
			if d := cmp.Diff(tt.want, got); d != "" || r.status != tt.status {
				t.Errorf("%d %s (-want +got):\n%s", r.status, r.body, d)
			}
		})
	}
}

// limitedKeys returns an error together with the key it found.
type limitedKeys struct {
	keys
	err error
}

func (k *limitedKeys) UseKey(ctx context.Context, id string, sum [32]byte) (account.Key, error) {
	key, err := k.keys.UseKey(ctx, id, sum)
	if err == nil {
		err = k.err
	}
	return key, err
}
