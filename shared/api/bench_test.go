package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkStart measures the work of a cold start: building the handler.
func BenchmarkStart(b *testing.B) {
	bench := newBench(b)
	for b.Loop() {
		bench.edge.Handler(things{})
	}
}

// BenchmarkRequest measures an authenticated POST through the whole edge.
func BenchmarkRequest(b *testing.B) {
	bench := newBench(b)
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/things/"+thingID+"/make", strings.NewReader(good(`"metadata":{"order":"A-1001"}`)))
		r.Header.Set("Authorization", "Bearer "+bench.writer)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		bench.handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
		bench.log.Reset()
	}
}
