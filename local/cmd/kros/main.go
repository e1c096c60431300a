// Command kros runs the whole platform on a laptop. kros token issues JWTs for
// it, kros inbound-call calls one of its numbers, kros invoke runs one of its
// functions, kros listen receives its webhooks: see docs/local.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/krosai/telephony/local/platform"
)

const usage = `kros runs the whole platform on this machine.

  kros                run it and place a first call; Ctrl-C stops it
  kros token          print a JWT of any user
  kros inbound-call   call a number of the platform that runs
  kros invoke NAME    run one function on it, as Lambda would; without a name, list them
  kros listen         receive webhooks of it
  kros help           print this

kros COMMAND -help lists a command's flags. The environment has the settings, PORT and
KROS_DIR among them: docs/local.md.
`

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "kros:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 && slices.Contains([]string{"help", "--help", "-help", "-h"}, args[0]) {
		_, err := io.WriteString(os.Stdout, usage)
		return err
	}
	c, err := settings()
	switch {
	case err != nil:
		return err
	case len(args) > 0 && args[0] == "token":
		return token(c, args[1:], os.Stdout)
	case len(args) > 0 && args[0] == "inbound-call":
		return inboundCall(context.Background(), c, args[1:], os.Stdout)
	case len(args) > 0 && args[0] == "invoke":
		return invoke(context.Background(), c, args[1:], os.Stdout)
	case len(args) > 0 && args[0] == "listen":
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return listen(ctx, args[1:], os.Stdout)
	case len(args) > 0:
		return fmt.Errorf("unknown command %q: kros takes none, token, inbound-call, invoke, listen or help", args[0])
	}
	return serve(c)
}

// serve runs the platform until SIGINT or SIGTERM.
func serve(c platform.Config) error {
	start := time.Now()
	platform.TuneMemory(c)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(c.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	c.Log = platform.Log(logFile)
	p, err := platform.Start(ctx, c)
	if err != nil {
		return err
	}
	defer p.Close()
	printUp(p, time.Since(start))
	callID := "CALL_ID"
	if os.Getenv("FIRST_CALL") != "0" {
		if callID, err = p.FirstCall(ctx, os.Stdout); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "the first call:", err)
		}
	}
	printUse(p, callID)
	<-ctx.Done()
	stop() // a second Ctrl-C kills
	fmt.Println("\nStopping; data stays in", c.Dir)
	return p.Close()
}

func printUp(p *platform.Platform, took time.Duration) {
	a, database := p.Access, "DynamoDB (emulated)"
	if p.Config.DynamoDB != "" {
		database = "DynamoDB"
	}
	fmt.Printf("Up in %.1f s\n", took.Seconds())
	if a.Number != platform.DemoNumber {
		fmt.Printf("  %s was taken from the demo user, who has %s now\n", platform.DemoNumber, a.Number)
	}
	for _, line := range [][2]string{{"console", a.Console}, {"API", a.URL}, {"LiveKit", a.LiveKitURL}, {"SIP", a.SIP}, {"carrier (simulated)", a.Carrier},
		{database, a.DynamoDB}, {"Step Functions (emulated)", a.StepFunctions}, {"SQS (emulated)", a.SQS},
		{"log", filepath.Join(p.Config.Dir, "log")}, {"addresses and keys", filepath.Join(p.Config.Dir, "env")}} {
		fmt.Printf("  %-26s %s\n", line[0], line[1])
	}
}

func printUse(p *platform.Platform, callID string) {
	a := p.Access
	fmt.Printf("\nURL  %s\nKey  %s\n\nTry, in another terminal:\n", a.URL, a.APIKey)
	auth := fmt.Sprintf("-H 'Authorization: Bearer %s'", a.APIKey)
	fmt.Printf("  curl -s %s/outbound-calls/create %s -H 'Content-Type: application/json' -d '{\"phone_number\":\"+14155550101\",\"welcome_message\":\"Hello!\"}'\n", a.URL, auth)
	fmt.Printf("  curl -s %s/outbound-calls/%s/details %s\n", a.URL, callID, auth)
	fmt.Printf("  curl -s %s/outbound-calls/phone-numbers %s\n", a.URL, auth)
	fmt.Printf("\nOr open %s and continue as demo or as ada.admin.\n", a.Console)
	fmt.Printf("Who answers at which number: docs/local.md. Ctrl-C stops.\n")
}
