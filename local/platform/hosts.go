package platform

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// hostsOnly refuses requests that name a host that is not this machine. A web page may have
// its own name lead to 127.0.0.1 (DNS rebinding); its requests then come from a browser here
// and carry that name in Host.
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
// Only HTTP/1.0 may have none, and no browser sends that.
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
