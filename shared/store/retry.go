package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/krosai/telephony/shared/fault"
)

// The wait between attempts at one request doubles from firstWait to longestWait, minus a random
// part of up to a half. The attempts go on until the context's deadline. Without a deadline they go
// on for retryTime.
const (
	firstWait   = 5 * time.Millisecond
	longestWait = time.Second
	retryTime   = 5 * time.Second
)

// refusals are the error codes that DynamoDB documents as temporary and that the SDK does not know.
var refusals = []string{"ThrottlingError", "TransactionConflictException"}

// retried makes a DynamoDB client send a request again when it fails for the moment: the request is
// throttled, another transaction is working on the same row, the service fails, or the answer is
// lost. It replaces the SDK's own retries, which stop after a number of attempts and know half of
// these failures. The SDK signs each attempt anew, but sends one ClientRequestToken in all attempts
// of a transaction, so a transaction whose answer was lost is not applied twice.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
func retried(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		_, err := stack.Finalize.Swap("Retry", retry.NewAttemptMiddleware(&attempts{}, smithyhttp.RequestCloner))
		return errors.Join(err, stack.Initialize.Add(middleware.InitializeMiddlewareFunc("WholeBatch", wholeBatch), middleware.After))
	})
}

// attempts is the aws.RetryerV2 of one request. Unlike the SDK's own retryer, it does not
// count the retries of the whole process, because one busy row would use up the retries of all
// other requests.
type attempts struct {
	aws.NopRetryer
	backoff
}

var _ aws.RetryerV2 = (*attempts)(nil)

// MaxAttempts is 0, which means no limit. The deadline limits the attempts.
func (*attempts) MaxAttempts() int { return 0 }

// GetRetryToken refuses a retry when there is no time left for it.
func (a *attempts) GetRetryToken(ctx context.Context, _ error) (func(error) error, error) {
	return func(error) error { return nil }, a.next(ctx)
}

// RetryDelay is the wait that GetRetryToken has found time for.
func (a *attempts) RetryDelay(int, error) (time.Duration, error) { return a.wait, nil }

// IsErrorRetryable reports whether the same request may succeed in a moment.
func (*attempts) IsErrorRetryable(err error) bool {
	if e, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		return passing(e.CancellationReasons)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return true // the answer broke off
	}
	if e, ok := errors.AsType[smithy.APIError](err); ok && slices.Contains(refusals, e.ErrorCode()) {
		return true
	}
	return retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}

// passing reports whether every reason for which a transaction was canceled is temporary. A failed
// condition is not, whatever the other reasons are.
func passing(reasons []types.CancellationReason) bool {
	met := false
	for _, r := range reasons {
		switch aws.ToString(r.Code) {
		case "", "None":
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
			met = true
		default:
			return false
		}
	}
	return met
}

// backoff is the time between the attempts at one request.
type backoff struct {
	wait  time.Duration // before the next attempt
	limit time.Duration // upper bound of the next wait; 0 before the first
	until time.Time     // the deadline for the start of an attempt
}

var errNoTime = errors.New("there is no time for another attempt")

// next sets the wait before the next attempt. The error is errNoTime if that attempt could not
// begin before the deadline.
func (b *backoff) next(ctx context.Context) error {
	if b.limit == 0 {
		b.limit = firstWait
		deadline, ok := ctx.Deadline()
		if b.until = deadline; !ok {
			b.until = time.Now().Add(retryTime)
		}
	}
	b.wait = b.limit/2 + rand.N(b.limit/2)
	b.limit = min(2*b.limit, longestWait)
	if !time.Now().Add(b.wait).Before(b.until) {
		return errNoTime
	}
	return nil
}

// wholeBatch completes the answer of a BatchGetItem. It requests again the keys for which DynamoDB
// had no capacity or no room in the answer.
func wholeBatch(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
	middleware.InitializeOutput, middleware.Metadata, error) {
	batch, ok := in.Parameters.(*dynamodb.BatchGetItemInput)
	if !ok {
		return next.HandleInitialize(ctx, in)
	}
	rest, rows, pause := *batch, map[string][]row{}, backoff{}
	for {
		answer, metadata, err := next.HandleInitialize(ctx, middleware.InitializeInput{Parameters: &rest})
		out, ok := answer.Result.(*dynamodb.BatchGetItemOutput)
		if err != nil || !ok {
			return answer, metadata, err
		}
		for table, found := range out.Responses {
			rows[table] = append(rows[table], found...)
		}
		if len(out.UnprocessedKeys) == 0 {
			out.Responses = rows
			return answer, metadata, nil
		}
		rest.RequestItems = out.UnprocessedKeys
		if err := pause.sleep(ctx); err != nil {
			return answer, metadata, fmt.Errorf("dynamodb left keys unprocessed: %w", err)
		}
	}
}

// sleep waits until the next attempt.
func (b *backoff) sleep(ctx context.Context) error {
	if err := b.next(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.wait):
		return nil
	}
}

// longestTransaction is the maximum time of the attempts at a transaction. The events in it carry a
// time from before its first attempt, so event.Overlap must be longer.
const longestTransaction = 10 * time.Second

// transact sends a transaction. It is applied as a whole or not at all, and at most once. If
// conditions failed, conditionsFailed finds them in the error.
func (db *DB) transact(ctx context.Context, writes ...types.TransactWriteItem) error {
	ctx, cancel := context.WithTimeout(ctx, longestTransaction)
	defer cancel()
	_, err := db.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	if err != nil {
		return &transactionError{err, writes}
	}
	return nil
}

// transactionError is DynamoDB's error for a transaction, with the writes of the transaction.
type transactionError struct {
	err    error
	writes []types.TransactWriteItem
}

func (e *transactionError) Error() string { return e.err.Error() }
func (e *transactionError) Unwrap() error { return e.err }

// conditionFailed reports whether err says that a condition failed, and returns the row that was
// found. The row is nil if it does not exist or if the request did not ask for it.
func conditionFailed(err error) (row, bool) {
	if e, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return e.Item, true
	}
	return nil, false
}

// failure is a write of a transaction whose condition failed, with the row that it found.
type failure struct {
	write types.TransactWriteItem
	row   row
}

// failures are the writes of a transaction whose conditions failed.
type failures []failure

// of returns the row that a write found whose condition failed. The row is empty if there was none,
// or if the write does not ask for it. For a write whose condition did not fail, of returns nil.
func (f failures) of(write types.TransactWriteItem) row {
	for _, x := range f {
		if x.write == write { // the same write, because its members are pointers
			return x.row
		}
	}
	return nil
}

// conditionsFailed reports whether conditions of a transaction failed, and which.
func conditionsFailed(err error) (failed failures, any bool) {
	sent, ours := errors.AsType[*transactionError](err)
	e, canceled := errors.AsType[*types.TransactionCanceledException](err)
	if !ours || !canceled || len(e.CancellationReasons) != len(sent.writes) {
		return nil, false
	}
	for i, r := range e.CancellationReasons {
		if aws.ToString(r.Code) == "ConditionalCheckFailed" {
			failed = append(failed, failure{sent.writes[i], row{}})
			maps.Copy(failed[len(failed)-1].row, r.Item)
		}
	}
	return failed, failed != nil
}

// unavailable wraps a failure of DynamoDB itself in a fault.Upstream, after which the client may
// try again. A canceled context stays as it is.
func unavailable(op string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return &fault.Error{Kind: fault.Upstream, Code: "TELEPHONY_UNAVAILABLE", RetryAfter: 2 * time.Second,
		Detail: "the platform's database is unavailable, try again shortly", Err: fmt.Errorf("%s: %w", op, err)}
}
