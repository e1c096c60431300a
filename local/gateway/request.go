package gateway

import (
	"fmt"
	"hash/crc32"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/krosai/telephony/emulator/template"
)

// route is a template's route with its path split at the slashes.
type route struct {
	template.Route
	segments []string
}

// key is the route's key. It is $default for the route without a path.
func (r *route) key() string {
	if r.Path == "" {
		return "$default"
	}
	return r.Key()
}

func compile(routes []template.Route) []route {
	out := make([]route, len(routes))
	for i, r := range routes {
		out[i] = route{Route: r, segments: strings.Split(r.Path, "/")}
	}
	return out
}

// match finds the route of a request and its path parameters, or returns nil. The most specific
// matching route wins. Segment by segment, a literal beats a parameter and a parameter beats
// {proxy+}. After that, a method beats ANY.
func match(routes []route, method, path string) (*route, map[string]string) {
	var best *route
	var parameters map[string]string
	segments := strings.Split(path, "/")
	for i := range routes {
		r := &routes[i]
		if r.Method != method && r.Method != "ANY" {
			continue
		}
		found, ok := r.fit(segments)
		if ok && (best == nil || r.rank() > best.rank()) {
			best, parameters = r, found
		}
	}
	return best, parameters
}

// fit matches a path. A parameter takes one nonempty segment. {name+} takes the rest of the path,
// and below a literal also the slash at its end: API Gateway knows no route that ends in one.
func (r *route) fit(path []string) (map[string]string, bool) {
	parameters := map[string]string{}
	for i, s := range r.segments {
		name, isParameter := parameter(s)
		greedy, isGreedy := strings.CutSuffix(name, "+")
		switch {
		case i >= len(path):
			return nil, false
		case isParameter && isGreedy:
			rest := strings.Join(path[i:], "/")
			parameters[greedy] = rest
			return parameters, rest != "" || i > 1
		case isParameter && path[i] != "":
			parameters[name] = path[i]
		case s != path[i] || isParameter:
			return nil, false
		}
	}
	return parameters, len(path) == len(r.segments)
}

// rank orders routes by how specific they are. A greater string is more specific.
func (r *route) rank() string {
	var b strings.Builder
	for _, s := range r.segments {
		name, isParameter := parameter(s)
		switch {
		case !isParameter:
			b.WriteByte('3')
		case strings.HasSuffix(name, "+"):
			b.WriteByte('1')
		default:
			b.WriteByte('2')
		}
	}
	if r.Method != "ANY" {
		b.WriteByte('4')
	}
	return b.String()
}

func parameter(segment string) (string, bool) {
	if strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}") {
		return segment[1 : len(segment)-1], true
	}
	return "", false
}

// pathOf returns rawPath. An HTTP API passes the path percent-decoded, and cuts it at an encoded
// question mark. net/http has already decoded it.
func pathOf(decoded string) string {
	path, _, _ := strings.Cut(decoded, "?")
	return path
}

// headersOf returns the request's headers as an HTTP API forwards them: names in lower case,
// repeated values joined by a comma, without cookies, and with the headers that the gateway adds.
func headersOf(r *http.Request, now time.Time) map[string]string {
	h := map[string]string{"host": r.Host, "content-length": strconv.FormatInt(max(r.ContentLength, 0), 10)}
	for name, values := range r.Header {
		h[strings.ToLower(name)] = strings.Join(values, ",")
	}
	delete(h, "cookie")
	source := hostOf(r.RemoteAddr)
	if before := h["x-forwarded-for"]; before != "" {
		source = before + ", " + source
	}
	h["x-forwarded-for"] = source
	h["x-forwarded-proto"], h["x-forwarded-port"] = "http", portOf(r.Host, "80")
	if r.TLS != nil {
		h["x-forwarded-proto"], h["x-forwarded-port"] = "https", portOf(r.Host, "443")
	}
	if h["x-amzn-trace-id"] == "" {
		sum := crc32.ChecksumIEEE([]byte(r.RemoteAddr + r.URL.Path))
		h["x-amzn-trace-id"] = fmt.Sprintf("Root=1-%08x-%08x%016x", now.Unix(), sum, now.UnixNano())
	}
	return h
}

// cookiesOf returns the cookies as received, one string each.
func cookiesOf(r *http.Request) []string {
	var cookies []string
	for _, line := range r.Header.Values("Cookie") {
		for c := range strings.SplitSeq(line, ";") {
			if c = strings.TrimSpace(c); c != "" {
				cookies = append(cookies, c)
			}
		}
	}
	return cookies
}

// queryOf returns the decoded query parameters, repeated ones joined by a comma.
func queryOf(r *http.Request) map[string]string {
	values := r.URL.Query()
	if len(values) == 0 {
		return nil
	}
	q := make(map[string]string, len(values))
	for name, list := range values {
		q[name] = strings.Join(list, ",")
	}
	return q
}

// isText reports whether an HTTP API passes a body of this content type unchanged. It encodes every
// other body as base64, including a body without a content type. Therefore application/problem+json
// and LiveKit's application/webhook+json arrive in base64. AWS documents "binary" without a list of
// types. This is the observed behavior.
func isText(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media, _, _ = strings.Cut(contentType, ";")
		media = strings.ToLower(strings.TrimSpace(media))
	}
	switch media {
	case "application/json", "application/xml", "application/javascript":
		return true
	}
	return strings.HasPrefix(media, "text/")
}

func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

func portOf(address, otherwise string) string {
	if _, port, err := net.SplitHostPort(address); err == nil {
		return port
	}
	return otherwise
}

func prefixOf(domain string) string {
	prefix, _, _ := strings.Cut(domain, ".")
	return prefix
}
