package platform

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestForeignHosts checks that a web page whose name resolves to this machine reaches nothing.
func TestForeignHosts(t *testing.T) {
	t.Parallel()
	p := &Platform{Config: Config{ListenAlso: "172.17.0.1", AllowedHosts: []string{"Tunnel.example.net"}}}
	served := p.hostsOnly(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for host, want := range map[string]int{
		"127.0.0.1:8080":              204,
		"127.0.0.1":                   204,
		"127.1.2.3:1":                 204,
		"[::1]:8080":                  204,
		"[::1]":                       204,
		"localhost:8080":              204,
		"LOCALHOST":                   204,
		"localhost.:8080":             204,
		"kros.localhost:8080":         204,
		"172.17.0.1:8081":             204, // LISTEN_ALSO
		"host.docker.internal:8081":   204,
		"tunnel.example.net":          204, // KROS_ALLOWED_HOSTS
		"tunnel.example.net:443":      204,
		"":                            204,
		"evil.example":                421,
		"evil.example:8080":           421,
		"172.17.0.2:8081":             421,
		"169.254.169.254":             421,
		"localhost.evil.example:8080": 421,
		"127.0.0.1.evil.example":      421,
		"notlocalhost":                421,
		"0.0.0.0:8080":                421,
		"a.tunnel.example.net":        421,
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
			r.Host = host
			w := httptest.NewRecorder()
			served.ServeHTTP(w, r)
			if w.Code != want {
				t.Fatalf("answered %d, want %d", w.Code, want)
			}
			if want == http.StatusNoContent {
				return
			}
			var body struct{ Code, Message string }
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			detail := `the Host header names "` + host + `", which is not this machine: use 127.0.0.1 or localhost, or set KROS_ALLOWED_HOSTS`
			if diff := cmp.Diff(struct{ Code, Message string }{"FOREIGN_HOST", detail}, body); diff != "" {
				t.Error(diff)
			}
		})
	}
}
