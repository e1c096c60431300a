package platform

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// hostsOnly refuses requests whose Host header does not name this machine. A web page can make its
// own name resolve to 127.0.0.1 (DNS rebinding). Its requests then come from a browser on this
// machine and carry that name in Host.
func (p *Platform) hostsOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.knowsHost(r.Host) {
			next.ServeHTTP(w, r)
			return
		}
		detail := fmt.Sprintf("the Host header names %q, which is not this machine: use 127.0.0.1 or localhost, or set KROS_ALLOWED_HOSTS", r.Host)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusMisdirectedRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"title": "Misdirected Request", "status": http.StatusMisdirectedRequest,
			"code": "FOREIGN_HOST", "detail": detail,
			"__type": "AccessDeniedException", "message": detail}) // as AWS's clients read it
	})
}

// knowsHost reports whether a Host header names this machine: a loopback address, LISTEN_ALSO,
// localhost and the names below it, Docker's name for the machine, or one of KROS_ALLOWED_HOSTS.
// Only HTTP/1.0 allows a request without Host, and no browser sends such a request.
func (p *Platform) knowsHost(host string) bool {
	if host == "" {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback() || ip.Equal(net.ParseIP(p.Config.ListenAlso))
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || host == "host.docker.internal" ||
		slices.ContainsFunc(p.Config.AllowedHosts, func(allowed string) bool { return strings.EqualFold(allowed, host) })
}
