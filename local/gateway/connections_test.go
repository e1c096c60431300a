package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/functions/listcalls"
	"github.com/krosai/telephony/local/gateway"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/api/apitest"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/oidc"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store/storetest"
)

// report is the measurement of a client process: latencies in milliseconds, and the answers of the
// slowest and the fastest connection.
type report struct {
	P50, P99      float64
	Least, Most   int
	Answers, Odds int // Odds have a status other than 200
}

// BenchmarkConnections makes another process list calls over 64 connections for two seconds, once
// with turns and once without. That process is this test's binary.
//
//	go test ./gateway -run '^$' -bench Connections -benchtime 1x -count 3
func BenchmarkConnections(b *testing.B) {
	if url := os.Getenv("ASK_URL"); url != "" {
		if err := json.NewEncoder(os.Stderr).Encode(ask(url, os.Getenv("ASK_TOKEN"))); err != nil {
			b.Fatal(err)
		}
		return
	}
	db, issuer := storetest.Open(b, time.Now), apitest.NewIssuer(b)
	users, err := oidc.Open(issuer.Config(), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	if err := db.PutKeyQuotas(b.Context(), "ada", 1<<30, 1); err != nil {
		b.Fatal(err)
	}
	edge := &api.Edge{Keys: db, Answers: db, Tokens: users, Now: time.Now, Log: slog.New(slog.DiscardHandler), CursorKey: secret.New("a cursor key")}
	served := edge.Handler(&listcalls.Endpoint{Calls: db})
	invoke := func(ctx context.Context, _ string, event []byte) ([]byte, error) {
		return lambdahttp.Handler(served).Invoke(ctx, event)
	}
	routes := []template.Route{{Method: http.MethodGet, Path: "/outbound-calls", Function: "listcalls"}}
	for name, turns := range map[string]int{"in turns": 0, "at once": 1 << 16} {
		b.Run(name, func(b *testing.B) {
			server := httptest.NewServer(gateway.New(routes, invoke, gateway.Options{Log: slog.New(slog.DiscardHandler), Turns: turns}))
			defer server.Close()
			for b.Loop() {
				r := askElsewhere(b, server.URL, issuer.Token("ada", time.Now()))
				b.ReportMetric(r.P50, "p50-ms")
				b.ReportMetric(r.P99, "p99-ms")
				b.ReportMetric(r.P99/r.P50, "p99/p50")
				b.ReportMetric(float64(r.Most)/float64(max(1, r.Least)), "most/least")
				b.ReportMetric(float64(r.Answers), "answers")
			}
		})
	}
}

func askElsewhere(b *testing.B, url, token string) (r report) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run", "^$", "-test.bench", "Connections", "-test.benchtime", "1x")
	cmd.Env = append(os.Environ(), "ASK_URL="+url, "ASK_TOKEN="+token)
	out, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if err := json.NewDecoder(out).Decode(&r); err != nil || r.Odds > 0 || r.Answers == 0 {
		b.Errorf("%+v %v", r, err)
	}
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		b.Error(err)
	}
	return r
}

// ask lists calls over 64 connections.
func ask(url, token string) (r report) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	var mu sync.Mutex
	var took []float64
	counts := make([]int, 64)
	stop := time.Now().Add(2 * time.Second)
	var all sync.WaitGroup
	for i := range counts {
		all.Go(func() {
			for time.Now().Before(stop) {
				began := time.Now()
				status := list(client, url, token)
				mu.Lock()
				took = append(took, float64(time.Since(began).Microseconds())/1000)
				if counts[i]++; status != http.StatusOK {
					r.Odds++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	r.P50, r.P99, r.Answers = took[len(took)/2], took[len(took)*99/100], len(took)
	r.Least, r.Most = slices.Min(counts), slices.Max(counts)
	return r
}

// list lists calls and returns the status, 0 if there is no answer.
func list(client *http.Client, url, token string) int {
	r, err := http.NewRequest(http.MethodGet, url+"/outbound-calls", nil)
	if err != nil {
		return 0
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := client.Do(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}
