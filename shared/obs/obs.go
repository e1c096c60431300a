// Package obs writes the functions' structured logs and CloudWatch metrics.
package obs

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Logger writes JSON lines to w. level is debug, info, warn or error in any letter case, as in
// LOG_LEVEL. Any other value means info.
func Logger(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l}))
}

// namespace is the CloudWatch namespace of every metric. METRICS_NAMESPACE sets it and keeps the
// stacks of one account apart.
func namespace() string {
	return cmp.Or(os.Getenv("METRICS_NAMESPACE"), "KrosTelephony")
}

type outputKey struct{}

// WithOutput makes Count write to w under ctx, line by line, instead of to standard output, where
// Lambda collects it.
func WithOutput(ctx context.Context, w io.Writer) context.Context {
	return context.WithValue(ctx, outputKey{}, &lines{w: w})
}

// lines is a writer that is safe for concurrent use, as os.Stdout is.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(line)
}

// Count adds value to a metric by writing one line in CloudWatch's embedded metric format. dims are
// name, value, name, value …. They must take few values, because each combination is a metric that
// costs money.
func Count(ctx context.Context, name string, value float64, dims ...string) {
	var w io.Writer = os.Stdout
	if l, ok := ctx.Value(outputKey{}).(*lines); ok {
		w = l
	}
	_, _ = w.Write(countLine(time.Now(), name, value, dims)) // a metric is not worth failing for
}

func countLine(now time.Time, name string, value float64, dims []string) []byte {
	type metric struct{ Name, Unit string }
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []metric
	}
	line := map[string]any{name: value}
	names := []string{}
	for i := 0; i+1 < len(dims); i += 2 {
		names = append(names, dims[i])
		line[dims[i]] = dims[i+1]
	}
	line["_aws"] = map[string]any{
		"Timestamp":         now.UnixMilli(),
		"CloudWatchMetrics": []directive{{namespace(), [][]string{names}, []metric{{name, "Count"}}}},
	}
	text, err := json.Marshal(line)
	if err != nil {
		return nil // the value is not finite, and CloudWatch does not accept it
	}
	return append(text, '\n')
}
