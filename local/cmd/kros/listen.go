package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// listen receives webhooks: kros listen -secret whsec_…. It prints each verified event on one line,
// until ctx ends.
func listen(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("kros listen", flag.ContinueOnError)
	secret := flags.String("secret", "", "the signing_secret of the webhook endpoint")
	port := flags.Int("port", 8099, "the port of this machine to listen at")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("listen takes no argument %q", flags.Arg(0))
	}
	verifier, err := standardwebhooks.NewWebhook(*secret)
	if err != nil || *secret == "" {
		return errors.New("-secret is not a signing secret: POST /webhook-endpoints answers with one")
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(*port)))
	if err != nil {
		return fmt.Errorf("%w (-port takes another)", err)
	}
	fmt.Fprintf(out, "Listening at http://%s/\n", l.Addr())
	server := &http.Server{Handler: &receiver{verifier: verifier, out: out, seen: map[string]bool{}}, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// receiver verifies each webhook and prints it. It refuses a webhook that does not verify, and
// reports the refusal without the webhook's content.
type receiver struct {
	verifier *standardwebhooks.Webhook

	mu   sync.Mutex
	out  io.Writer
	seen map[string]bool // webhook-ids; an event may arrive more than once
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, 1<<20))
	if err == nil {
		err = r.verifier.Verify(body, q.Header)
	}
	var event struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintln(r.out, "refused: it does not verify")
		return
	}
	w.WriteHeader(http.StatusNoContent)
	id := q.Header.Get(standardwebhooks.HeaderWebhookID)
	word := "verified"
	if r.seen[id] {
		word = "again"
	}
	r.seen[id] = true
	fmt.Fprintf(r.out, "%s %s %s %s\n", word, event.Type, id, event.Data)
}
