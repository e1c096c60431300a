// Package env reads a function's configuration from its environment.
package env

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/caarlos0/env/v11"
)

// Must reads a T by its env tags (github.com/caarlos0/env). If the value of a variable is the ARN
// of a secret in AWS Secrets Manager, the secret takes its place. If a variable is missing or
// invalid, or a secret cannot be read, Must names it on standard error and ends the process with
// status 1. It never prints a value.
func Must[T any]() T {
	values, err := resolved()
	if err != nil {
		explain(os.Stderr, err)
		os.Exit(1)
	}
	cfg, err := env.ParseAsWithOptions[T](env.Options{Environment: values})
	if err != nil {
		explain(os.Stderr, err)
		os.Exit(1)
	}
	return cfg
}

func explain(w io.Writer, err error) {
	problems := []error{err}
	if all, ok := errors.AsType[env.AggregateError](err); ok {
		problems = all.Errors
	}
	for _, p := range problems {
		if e, ok := errors.AsType[env.ParseError](p); ok { // its text holds the value
			fmt.Fprintf(w, "configuration: field %s is not a valid %s\n", e.Name, e.Type)
		} else {
			fmt.Fprintf(w, "configuration: %v\n", p)
		}
	}
}
