package livekitd

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/redis/go-redis/v9"
)

// LiveKit's server, its SDK and the Redis client have one logger each per process.
var (
	setLoggers sync.Once
	errorLog   atomic.Pointer[slog.Logger] // of the server started last
)

// setLogger sends the errors of LiveKit's server and SDK to log.
func setLogger(log *slog.Logger) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	errorLog.Store(log)
	setLoggers.Do(func() {
		l := logger.LogRLogger(logr.FromSlogHandler(errorsOnly{}))
		logger.SetLogger(l, "livekit")
		lksdk.SetLogger(l)
		redis.SetLogger(noRedisLog{})
	})
}

// errorsOnly passes only errors to errorLog, with only the attributes in shown. LiveKit attaches
// whole requests, which contain passwords, prompts and the called numbers.
type errorsOnly struct{ attrs []slog.Attr }

func (h errorsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && errorLog.Load().Enabled(ctx, level)
}

func (h errorsOnly) Handle(ctx context.Context, r slog.Record) error {
	plain := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	add := func(a slog.Attr) bool {
		if slices.Contains(shown, a.Key) && isPlain(a.Value) {
			plain.AddAttrs(a)
		}
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	return errorLog.Load().Handler().Handle(ctx, plain)
}

func (h errorsOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return errorsOnly{append(slices.Clip(h.attrs), attrs...)}
}

// WithGroup is not used by LiveKit.
func (h errorsOnly) WithGroup(string) slog.Handler { return h }

// shown are the attributes that identify a failure and its place.
var shown = []string{"error", "err", "code", "status", "service", "method", "component", "duration", "reason", "state", "kind",
	"reqID", "requestID", "nodeID", "room", "roomID", "roomName", "participant", "participantID", "pID", "identity", "trackID",
	"agentName", "jobID", "dispatchID", "workerID", "callID", "sipCallID", "trunkID", "sipTrunk", "ruleID", "webhook", "event", "url",
	"attempt", "retries"}

func isPlain(v slog.Value) bool {
	if v.Kind() == slog.KindAny {
		_, isError := v.Any().(error)
		return isError
	}
	return v.Kind() != slog.KindGroup && v.Kind() != slog.KindLogValuer
}

// noRedisLog drops the Redis client's output. After Close the server's clients still try to reach
// their Redis.
type noRedisLog struct{}

func (noRedisLog) Printf(context.Context, string, ...any) {}
