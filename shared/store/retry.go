package store

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// Attempts of one request are apart by a wait that doubles from firstWait to longestWait,
// less a random part of up to a half. They go on until the context's deadline. Without a
// deadline they go on for retryTime.
const (
	firstWait   = 5 * time.Millisecond
	longestWait = time.Second
	retryTime   = 5 * time.Second
)

// refusals are the error codes that DynamoDB documents as passing and the SDK does not know.
var refusals = []string{"ThrottlingError", "TransactionConflictException"}

// retried makes every request of a DynamoDB client one that is sent again while DynamoDB
// refuses it for the moment: it is throttled, another transaction is at the same row, the
// service fails, or the answer is lost. It takes the place of the SDK's own retries, which
// stop after a number of attempts and know half of these refusals. The SDK signs each
// attempt anew, but sends one ClientRequestToken in all attempts of a transaction, so a
// transaction whose answer was lost is not applied twice.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
func retried(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		_, err := stack.Finalize.Swap("Retry", retry.NewAttemptMiddleware(&attempts{}, smithyhttp.RequestCloner))
		return errors.Join(err, stack.Initialize.Add(middleware.InitializeMiddlewareFunc("WholeBatch", wholeBatch), middleware.After))
	})
}

// attempts is the aws.RetryerV2 of one request. It keeps no account of the retries of the
// whole process, as the SDK's own does: one busy row would use up those of all the others.
type attempts struct {
	aws.NopRetryer
	backoff
}

var _ aws.RetryerV2 = (*attempts)(nil)

// MaxAttempts is 0, which is no limit: the deadline is.
func (*attempts) MaxAttempts() int { return 0 }

// GetRetryToken refuses a retry when there is no time left for it.
func (a *attempts) GetRetryToken(ctx context.Context, _ error) (func(error) error, error) {
	return func(error) error { return nil }, a.next(ctx)
}

// RetryDelay is the wait that GetRetryToken found time for.
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

// passing reports whether all that cancelled a transaction passes by itself. A condition
// that failed does not, whatever else there was.
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

// backoff is the time between the attempts of one request.
type backoff struct {
	wait  time.Duration // before the next attempt
	limit time.Duration // of the next wait; 0 before the first
	until time.Time     // the last moment of an attempt
}

var errNoTime = errors.New("there is no time for another attempt")

// next sets the wait before the next attempt. The error is errNoTime when that attempt
// could not begin before the deadline.
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

// wholeBatch completes the answer of a BatchGetItem: keys that DynamoDB had no capacity
// for, or no room in the answer, are asked for again.
func wholeBatch(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
	middleware.InitializeOutput, middleware.Metadata, error) {
	batch, ok := in.Parameters.(*dynamodb.BatchGetItemInput)
	if !ok {
		return next.HandleInitialize(ctx, in)
	}
	rest, rows, pause := *batch, map[string][]item{}, backoff{}
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

// longestTransaction is how long a transaction is attempted at most. The events in it
// carry the time before its first attempt: event.Overlap has to be longer.
const longestTransaction = 10 * time.Second

// transact sends a transaction, which is applied whole or not at all, and once.
func (db *DB) transact(ctx context.Context, writes ...types.TransactWriteItem) error {
	ctx, cancel := context.WithTimeout(ctx, longestTransaction)
	defer cancel()
	_, err := db.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return err
}

// refused reports whether err says that a condition was not met, and gives the
// row that did not meet it (nil when there is none).
func refused(err error) (item, bool) {
	if e, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return e.Item, true
	}
	return nil, false
}

// refusedIn reports which items of a transaction did not meet their condition:
// a row (empty if there was none) for each that failed, nil for the others.
func refusedIn(err error) ([]item, bool) {
	e, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		return nil, false
	}
	rows, found := make([]item, len(e.CancellationReasons)), false
	for i, r := range e.CancellationReasons {
		if aws.ToString(r.Code) != "ConditionalCheckFailed" {
			continue
		}
		found, rows[i] = true, r.Item
		if rows[i] == nil {
			rows[i] = item{}
		}
	}
	return rows, found
}

// broken wraps a failure of DynamoDB itself: the caller may try again.
func broken(op string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return &fault.Error{Kind: fault.Upstream, Code: "TELEPHONY_UNAVAILABLE", RetryAfter: 2 * time.Second,
		Detail: "the platform's database is unavailable, try again shortly", Err: fmt.Errorf("%s: %w", op, err)}
}
