package platform

import (
	"io"
	"log/slog"
	"regexp"
)

// Log writes JSON lines to w. It masks the numbers and addresses of calls and transfers, because
// libraries and other servers put them into their error messages.
func Log(w io.Writer) *slog.Logger {
	// A phone number of 7 digits or more, or the target of a call. Ids, times and ports have no
	// plus sign.
	dialable := regexp.MustCompile(`(?i)\b(tel|sips?):[^\s"\\<>;,]+|\+[0-9]{7,}`)
	mask := func(_ []string, a slog.Attr) slog.Attr {
		text := a.Value.String()
		if _, isError := a.Value.Any().(error); a.Value.Kind() != slog.KindString && !isError {
			return a
		}
		if masked := dialable.ReplaceAllString(text, "(masked)"); masked != text {
			return slog.String(a.Key, masked)
		}
		return a
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: mask}))
}
