package main

import (
	"strings"
	"testing"
)

// TestSettings checks that the error names the setting with the invalid value.
func TestSettings(t *testing.T) {
	for _, tt := range []struct{ variable, value, want string }{
		{"PORT", "abc", `PORT is "abc" and must be a port, 0 to 65535`},
		{"PORT", "8080 ", `PORT is "8080 " and must be a port, 0 to 65535`},
		{"PORT", "-1", `PORT is "-1" and must be a port, 0 to 65535`},
		{"PORT", "65536", `PORT is "65536" and must be a port, 0 to 65535`},
		{"PORT", "0", ""},
		{"PORT", "18080", ""},
		{"MAX_CALLS", "many", `MAX_CALLS is "many" and must be a whole number`},
		{"MAX_CALLS", "-1", `MAX_CALLS is "-1" and must be 0 or more`},
		{"SWEEP_EVERY", "15", `SWEEP_EVERY is "15" and must be a duration, such as 15s`},
		{"SWEEP_EVERY", "0s", `SWEEP_EVERY is "0s" and must be more than 0s`},
	} {
		t.Run(tt.variable+" "+tt.value, func(t *testing.T) {
			t.Setenv(tt.variable, tt.value)
			_, err := settings()
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if err := run([]string{"--help"}); err != nil {
				t.Errorf("help needs no settings: %v", err)
			}
		})
	}
}

func TestUnknownCommand(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"start", "--nope", "tokens"} {
		if err := run([]string{command}); err == nil || !strings.Contains(err.Error(), "help") {
			t.Errorf("kros %s: %v", command, err)
		}
	}
}
