package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/caarlos0/env/v11"

	"github.com/krosai/telephony/local/platform"
)

// settings reads the environment. An error names the variable with the invalid value.
func settings() (platform.Config, error) {
	c, err := env.ParseAs[platform.Config]()
	if wrong, ok := errors.AsType[env.ParseError](err); ok {
		for _, s := range []struct{ field, variable, must string }{
			{"Port", "PORT", "a port, 0 to 65535"},
			{"MaxCalls", "MAX_CALLS", "a whole number"},
			{"SweepEvery", "SWEEP_EVERY", "a duration, such as 15s"},
		} {
			if wrong.Name == s.field {
				return c, invalid(s.variable, s.must)
			}
		}
	}
	switch {
	case err != nil:
		return c, err
	case c.Port < 0 || c.Port > 65535:
		return c, invalid("PORT", "a port, 0 to 65535")
	case c.MaxCalls < 0:
		return c, invalid("MAX_CALLS", "0 or more")
	case c.SweepEvery <= 0:
		return c, invalid("SWEEP_EVERY", "more than 0s")
	}
	return c, nil
}

func invalid(variable, must string) error {
	return fmt.Errorf("%s is %q and must be %s", variable, os.Getenv(variable), must)
}
