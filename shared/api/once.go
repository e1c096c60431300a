package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/invocation"
)

// Answers stores the answers to requests with an Idempotency-Key. BeginOnce lets one attempt at a
// time carry a request out (then answer is nil, and seed is the source of the ids it creates), or
// returns the stored answer. It fails with fault.Unprocessable if the key was used for another
// request, and with fault.Conflict while another attempt is running. FinishOnce stores the answer
// for 24 hours. ForgetOnce allows another attempt.
type Answers interface {
	BeginOnce(ctx context.Context, o account.Once) (answer []byte, seed account.Seed, err error)
	FinishOnce(ctx context.Context, o account.Once, answer []byte) error
	ForgetOnce(ctx context.Context, o account.Once) error
}

// OwnIdempotency in an operation's Metadata says that the operation itself carries out a request at
// most once, using OnceOf. For every other POST with a credential, the edge does so.
const OwnIdempotency = "own idempotency"

const idempotencyKey = "Idempotency-Key"

// takesKey reports whether an operation accepts an Idempotency-Key.
func takesKey(op *huma.Operation) bool {
	credential, _ := required(op)
	return op.Method == http.MethodPost && credential
}

// OnceOf identifies the current request by its Idempotency-Key. It is the zero value if the request
// has none.
func OnceOf(ctx context.Context) account.Once {
	if rq := requestOf(ctx); rq != nil {
		return rq.asked
	}
	return account.Once{}
}

// NewID generates the id of a new thing. If the request has an Idempotency-Key that the edge
// handles, each attempt at the same request gets the same id.
func NewID(ctx context.Context, kind id.Kind, now time.Time) string {
	rq := requestOf(ctx)
	if rq == nil || rq.seed.Text == "" {
		return kind.New(now)
	}
	return kind.Derived(rq.seed.At, rq.seed.Text, rq.asked.Hash)
}

// keptAnswer is an answer as it is stored. It is sealed, because it may contain a secret.
type keptAnswer struct {
	Status int
	Header http.Header
	Body   []byte
}

// keepTime is the part of a request's time that is reserved for storing its answer.
const keepTime = 2 * time.Second

// once carries the request out with serve, unless a request with the same Idempotency-Key has a
// stored answer. In that case it sends the stored answer.
func (rq *request) once(r *http.Request, in *input, own bool, serve func()) {
	if r.Header[idempotencyKey] == nil {
		serve()
		return
	}
	o, err := rq.onceOf(r, in)
	if err != nil {
		rq.fail(err)
		return
	}
	rq.asked = o
	if own || rq.edge.Answers == nil {
		serve()
		return
	}
	kept, seed, err := rq.edge.Answers.BeginOnce(r.Context(), o)
	if err == nil && kept != nil {
		err = rq.replay(o, kept)
	}
	if err != nil {
		rq.fail(err)
	}
	if err != nil || kept != nil {
		return
	}
	rq.seed = seed
	rq.carryOut(r, o, serve)
}

// carryOut serves the request and stores its answer.
func (rq *request) carryOut(r *http.Request, o account.Once, serve func()) {
	finished := false
	defer func() { // also if serve panics
		ctx, cancel := invocation.Finish(r.Context(), keepTime)
		defer cancel()
		if err := rq.finish(ctx, o, finished); err != nil {
			rq.edge.Log.LogAttrs(ctx, slog.LevelError, "answer not kept", slog.String("http_request_id", rq.id), slog.String("error", err.Error()))
		}
	}()
	serve()
	finished = true
}

// onceOf reads the Idempotency-Key and hashes the request: the path and the body.
func (rq *request) onceOf(r *http.Request, in *input) (account.Once, error) {
	o := account.Once{UserID: rq.caller.UserID, Credential: cmp.Or(rq.caller.KeyID, account.Token), Route: rq.route, Owner: rand.Text()}
	keys := r.Header[idempotencyKey]
	if len(keys) != 1 || !visible(keys[0]) {
		return o, fault.InvalidField(idempotencyKey, "pattern",
			"must be given once and be 1 to 255 visible ASCII characters without commas")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return o, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if body, err = in.canonical(body); err != nil {
		return o, err
	}
	sum := sha256.Sum256(append([]byte(r.URL.Path+"\n"), body...))
	o.Key, o.Hash = keys[0], hex.EncodeToString(sum[:])
	return o, nil
}

// visible reports whether key is 1 to 255 visible ASCII characters. A comma is refused because API
// Gateway joins the values of a repeated header with commas.
func visible(key string) bool {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' || key[i] == ',' {
			return false
		}
	}
	return 1 <= len(key) && len(key) <= 255
}

// finish stores a successful answer. After any other answer, the client may correct the request and
// send it again with its key.
func (rq *request) finish(ctx context.Context, o account.Once, finished bool) error {
	a := rq.answer
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if !finished || a.status >= http.StatusMultipleChoices {
		return rq.edge.Answers.ForgetOnce(ctx, o)
	}
	plain, err := json.Marshal(keptAnswer{a.status, a.header, a.body.Bytes()})
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	aead, err := newCipher("krosai answer", rq.edge.CursorKey)
	if err != nil {
		return err
	}
	return rq.edge.Answers.FinishOnce(ctx, o, aead.Seal(nil, nil, plain, boundTo(o)))
}

// replay sends a stored answer again.
func (rq *request) replay(o account.Once, sealed []byte) error {
	aead, err := newCipher("krosai answer", rq.edge.CursorKey)
	if err != nil {
		return err
	}
	plain, err := aead.Open(nil, nil, sealed, boundTo(o))
	if err != nil {
		return fmt.Errorf("open kept answer: %w", err)
	}
	var kept keptAnswer
	if err := json.Unmarshal(plain, &kept); err != nil {
		return fmt.Errorf("decode kept answer: %w", err)
	}
	maps.Copy(rq.answer.header, kept.Header)
	rq.answer.header.Set("Idempotency-Replayed", "true")
	rq.answer.WriteHeader(kept.Status)
	rq.answer.body.Write(kept.Body)
	return nil
}

// boundTo is the data that a stored answer is bound to. The answer opens for no other request.
func boundTo(o account.Once) []byte {
	return []byte(o.UserID + "\x00" + o.Credential + "\x00" + o.Route + "\x00" + o.Key + "\x00" + o.Hash)
}
