package dynamodb

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Error is an answer that is not a success, as the wire carries it.
type Error struct {
	Type    string // such as ValidationException
	Message string
	Status  int // HTTP status; 400 if 0

	item    item     // ConditionalCheckFailedException with ReturnValuesOnConditionCheckFailure
	late    bool     // does not fit the table: in a transaction, the reason of its item
	reasons []reason // TransactionCanceledException
}

// reason says what one item of a canceled transaction met.
type reason struct {
	Code    string
	Message string `json:",omitempty"`
	Item    item   `json:",omitempty"`
}

func (e *Error) Error() string { return e.Type + ": " + e.Message }

func invalid(format string, args ...any) *Error {
	return &Error{Type: "ValidationException", Message: fmt.Sprintf(format, args...)}
}

// unfit is an invalid key that the table's definition does not allow.
func unfit(format string, args ...any) *Error {
	e := invalid(format, args...)
	e.late = true
	return e
}

func serialization(format string, args ...any) *Error {
	return &Error{Type: "SerializationException", Message: fmt.Sprintf(format, args...)}
}

func noTable() *Error {
	return &Error{Type: "ResourceNotFoundException", Message: "Requested resource not found"}
}

// null refuses a request without a member that it needs.
func null(member string) *Error {
	return unsatisfied("null", member, "Member must not be null")
}

// unsatisfied refuses a member whose value breaks a constraint of the API's model.
func unsatisfied(value, member, constraint string) *Error {
	return invalid("1 validation error detected: Value %s at '%s' failed to satisfy constraint: %s", value, member, constraint)
}

// unsupported refuses what DynamoDB has and this emulator does not.
func unsupported(format string, args ...any) *Error {
	return invalid("not supported by this emulator: "+format, args...)
}

// decodeError turns a failure of encoding/json into an answer; an *Error stays as it is.
func decodeError(err error) error {
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	if name, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
		return unsupported("member %s", name)
	}
	if wrongType, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return serialization("%s cannot be converted to %s for %s", wrongType.Value, wrongType.Type, wrongType.Field)
	}
	return serialization("%s", err)
}

// namespace is the prefix that the service gives an error type on the wire.
func namespace(errorType string) string {
	switch errorType {
	case "ValidationException":
		return "com.amazon.coral.validate#"
	case "SerializationException", "UnknownOperationException", "MissingAuthenticationTokenException":
		return "com.amazon.coral.service#"
	}
	return "com.amazonaws.dynamodb.v20120810#"
}

// writeError answers with err; an error that is no *Error is an InternalServerError.
func writeError(w http.ResponseWriter, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Type: "InternalServerError", Message: err.Error(), Status: http.StatusInternalServerError}
	}
	body := map[string]any{"__type": namespace(e.Type) + e.Type, "message": e.Message}
	if e.item != nil {
		body["Item"] = e.item
	}
	if e.reasons != nil {
		body["CancellationReasons"] = e.reasons
		body["Message"] = e.Message
		delete(body, "message")
	}
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	writeJSON(w, status, body)
}
