package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/krosai/telephony/local/platform"
)

// inboundCall calls a number of the platform that runs on this machine: kros inbound-call
// -from +14155550100.
func inboundCall(ctx context.Context, c platform.Config, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("kros inbound-call", flag.ContinueOnError)
	from := flags.String("from", "+14155550100", "the caller's number, as their carrier gives it")
	to := flags.String("to", "", "the number to call (default the demo user's)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("inbound-call takes no argument %q", flags.Arg(0))
	}
	return platform.InboundCall(ctx, c, *from, *to, out)
}
