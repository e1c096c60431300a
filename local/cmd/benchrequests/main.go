// Command benchrequests measures the requests of two platforms, before and after a change. They
// take turns on the same machine. It prints a table of both. See `make bench-requests`.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "benchrequests:", err)
		os.Exit(1)
	}
}

// run parses the flags and measures. -before and -after each contain a name, a kros binary, the
// folder of its repository, and variables for it.
func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("benchrequests", flag.ContinueOnError)
	before := flags.String("before", "", "NAME BINARY ROOT [VARIABLE=VALUE …]")
	after := flags.String("after", "", "as -before")
	load := load{}
	flags.IntVar(&load.requests, "requests", 3000, "requests of a kind in a round")
	flags.IntVar(&load.connections, "connections", 16, "requests at a time")
	rounds := flags.Int("rounds", 4, "how often each platform has its turn")
	creates := flags.Int("creates", 40, "calls that each platform places at the end")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var sides []*side
	for _, what := range []string{*before, *after} {
		s, err := start(ctx, strings.Fields(what))
		if err != nil {
			return err
		}
		defer s.stop()
		sides = append(sides, s)
	}
	if err := measure(ctx, sides, load, *rounds, *creates); err != nil {
		return err
	}
	fmt.Print(table(sides[0], sides[1]))
	return nil
}

// side is one of the two platforms, with its measurements.
type side struct {
	name    string
	process *exec.Cmd
	dir     string
	env     map[string]string // content of the platform's file env
	call    string            // the id of an ended call

	results map[string]*result // by kind of request
}

// start runs a platform on free ports, with its own data, until its API answers.
func start(ctx context.Context, what []string) (*side, error) {
	if len(what) < 3 {
		return nil, errors.New("-before and -after are NAME BINARY ROOT")
	}
	dir, err := os.MkdirTemp("", "kros-bench-")
	if err != nil {
		return nil, err
	}
	s := &side{name: what[0], dir: dir, results: map[string]*result{}}
	s.process = exec.CommandContext(ctx, what[1]) //nolint:gosec // the binary that the user names
	s.process.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir(),
		"PORT=0", "FIRST_CALL=0", "KROS_DIR=" + dir, "KROS_ROOT=" + what[2]}, what[3:]...)
	s.process.Cancel = func() error { return s.process.Process.Signal(syscall.SIGTERM) }
	s.process.Stderr = os.Stderr
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.process.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "Who answers") {
			go func() { // drains the rest of its output
				for lines.Scan() {
					continue
				}
			}()
			return s, s.read()
		}
	}
	s.stop()
	return nil, fmt.Errorf("%s did not come up", s.name)
}

func (s *side) read() error {
	text, err := os.ReadFile(filepath.Join(s.dir, "env"))
	if err != nil {
		return err
	}
	s.env = map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			s.env[name] = value
		}
	}
	return nil
}

func (s *side) stop() {
	_ = s.process.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = s.process.Wait()                          // the measurement is complete
	_ = os.RemoveAll(s.dir)                       // a temporary folder
}

// measure lets the platforms take turns in the order before, after, after, before.
func measure(ctx context.Context, sides []*side, l load, rounds, creates int) error {
	for _, s := range sides {
		if err := s.prepare(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for round := range rounds {
		for i := range sides {
			s := sides[i^round%2]
			for _, kind := range kinds {
				if err := s.round(ctx, kind, l); err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, kind.name, err)
				}
			}
		}
	}
	for _, s := range sides {
		if err := s.round(ctx, create, load{requests: creates, connections: 4}); err != nil {
			return fmt.Errorf("%s, %s: %w", s.name, create.name, err)
		}
		select { // lets the calls end; their callee is busy
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
