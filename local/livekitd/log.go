package livekitd

import (
	"context"
	"log/slog"

	"github.com/go-logr/logr"
	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"
)

// setLogger sends the errors of LiveKit's server and of its SDK to log.
func setLogger(log *slog.Logger) {
	var h slog.Handler = slog.DiscardHandler
	if log != nil {
		h = errorsOnly{log.Handler()}
	}
	l := logger.LogRLogger(logr.FromSlogHandler(h))
	logger.SetLogger(l, "livekit")
	lksdk.SetLogger(l)
}

// errorsOnly passes errors on, and of their attributes plain values only: LiveKit attaches whole requests,
// which hold passwords and prompts.
type errorsOnly struct{ slog.Handler }

func (h errorsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && h.Handler.Enabled(ctx, level)
}

func (h errorsOnly) Handle(ctx context.Context, r slog.Record) error {
	plain := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if isPlain(a.Value) {
			plain.AddAttrs(a)
		}
		return true
	})
	return h.Handler.Handle(ctx, plain)
}

func (h errorsOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	var plain []slog.Attr
	for _, a := range attrs {
		if isPlain(a.Value) {
			plain = append(plain, a)
		}
	}
	return errorsOnly{h.Handler.WithAttrs(plain)}
}

func (h errorsOnly) WithGroup(name string) slog.Handler { return errorsOnly{h.Handler.WithGroup(name)} }

func isPlain(v slog.Value) bool {
	if v.Kind() == slog.KindAny {
		_, isError := v.Any().(error)
		return isError
	}
	return v.Kind() != slog.KindGroup && v.Kind() != slog.KindLogValuer
}
