package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/krosai/telephony/local/platform"
)

// invoke runs one function on the platform that runs on this machine, as Lambda would: kros invoke
// createcall. Without a name it lists the functions.
func invoke(ctx context.Context, c platform.Config, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("kros invoke", flag.ContinueOnError)
	event := flags.String("event", "", "the file with the event (default events/<function>.json)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 1 {
		return fmt.Errorf("invoke takes one function, not %q too", flags.Arg(1))
	}
	return platform.Invoke(ctx, c, flags.Arg(0), *event, out)
}
