package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
)

// Refusals lists, by the names that Refuse takes, the ways in which a request of an operation may
// fail and then succeed when it is sent again.
func Refusals(operation string) []string {
	names := []string{"ThrottlingException", "ThrottlingError", "ProvisionedThroughputExceededException",
		"RequestLimitExceeded", "InternalServerError", "ServiceUnavailable", "reset", "lost reply", "half a reply"}
	switch {
	case strings.HasPrefix(operation, "Transact"):
		for _, reason := range []string{"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"} {
			names = append(names, "canceled: "+reason)
		}
		if operation == "TransactWriteItems" {
			names = append(names, "TransactionInProgressException")
		}
	case strings.HasSuffix(operation, "Item") && operation != "GetItem":
		names = append(names, "TransactionConflictException")
	case operation == "BatchGetItem":
		names = append(names, "unprocessed keys")
	}
	return names
}

// Operation is the operation of a request to DynamoDB, such as GetItem.
func Operation(r *http.Request) string {
	_, name, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return name
}

// Refuse answers a request to DynamoDB with one of its Refusals. next carries out a request whose
// reply gets lost. Other requests are not carried out.
func Refuse(refusal string, r *http.Request, next http.RoundTripper) (*http.Response, error) {
	switch refusal {
	case "reset":
		return nil, syscall.ECONNRESET
	case "lost reply", "half a reply":
		resp, err := next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		return cut(resp, refusal == "half a reply")
	case "unprocessed keys":
		asked, err := io.ReadAll(r.Body)
		return reply(r, http.StatusOK, `{"Responses":{},"UnprocessedKeys":`+requestItems(asked)+`}`), err
	case "InternalServerError":
		return reply(r, http.StatusInternalServerError, failure(refusal, "")), nil
	case "ServiceUnavailable":
		return reply(r, http.StatusServiceUnavailable, "<html>Service Unavailable</html>"), nil
	}
	if reason, ok := strings.CutPrefix(refusal, "canceled: "); ok {
		return reply(r, http.StatusBadRequest, failure("TransactionCanceledException",
			fmt.Sprintf(`,"CancellationReasons":[{"Code":"None"},{"Code":%q,"Message":"try again"}]`, reason))), nil
	}
	return reply(r, http.StatusBadRequest, failure(refusal, "")), nil
}

// cut drops a reply, or the second half of its body.
func cut(resp *http.Response, half bool) (*http.Response, error) {
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if !half {
		return nil, errLost
	}
	unavailable := io.MultiReader(bytes.NewReader(body[:len(body)/2]), endless{})
	resp.Body = io.NopCloser(unavailable)
	return resp, nil
}

// endless is the end of a body whose connection breaks off.
type endless struct{}

func (endless) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// requestItems are the keys that a BatchGetItem asks for.
func requestItems(body []byte) string {
	_, rest, _ := bytes.Cut(body, []byte(`"RequestItems":`))
	return string(bytes.TrimSuffix(rest, []byte("}")))
}

func failure(name, more string) string {
	return fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"try again"%s}`, name, more)
}

func reply(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

// Between puts a step between the store and DynamoDB. It must be called before the store is used.
func (d *Database) Between(step func(next http.RoundTripper) http.RoundTripper) {
	d.wire.next = step(d.wire.next)
}

// RoundTrip is a step as a function.
type RoundTrip func(*http.Request) (*http.Response, error)

// RoundTrip calls f.
func (f RoundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
