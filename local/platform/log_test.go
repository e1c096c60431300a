package platform

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLogMasks checks that the log shows the failure without the number or address.
func TestLogMasks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, message string
		attrs         []any
		want          string
	}{
		{name: "nothing to mask", message: "task failed",
			attrs: []any{"function", "dialcall", "attempt", 3, "err", errors.New("sip 486, at 127.0.0.1:5060")},
			want:  `"msg":"task failed","function":"dialcall","attempt":3,"err":"sip 486, at 127.0.0.1:5060"`},
		{name: "a number in an attribute", message: "m", attrs: []any{"transferTo", "tel:+14155550177"},
			want: `"msg":"m","transferTo":"(masked)"`},
		{name: "a number in an error", message: "m", attrs: []any{"err", errors.New("REFER to <sip:+14155550177@carrier:5070>: 603, for +14155550177.")},
			want: `"msg":"m","err":"REFER to <(masked)>: 603, for (masked)."`},
		{name: "a number in the message", message: "call to +14155550177 lost", want: `"msg":"call to (masked) lost"`},
		{name: "a line of JSON", message: "livekit-sip", attrs: []any{"line", `{"transferTo":"tel:+14155550177","callID":"SCL_1"}`},
			want: `"msg":"livekit-sip","line":"{\"transferTo\":\"(masked)\",\"callID\":\"SCL_1\"}"`},
		{name: "in a group", message: "m", attrs: []any{slog.Group("g", "to", "sips:ada@example.com")}, want: `"msg":"m","g":{"to":"(masked)"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			Log(&out).Error(c.message, c.attrs...)
			_, got, _ := strings.Cut(strings.TrimSuffix(out.String(), "}\n"), `"level":"ERROR",`)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
