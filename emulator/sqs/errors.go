package sqs

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is an answer that is not a success.
type Error struct {
	Type    string // of the JSON protocol, such as QueueDoesNotExist
	Message string
	Status  int // HTTP status; 400 if 0
}

func (e *Error) Error() string { return e.Type + ": " + e.Message }

func refuse(errorType, format string, args ...any) *Error {
	return &Error{Type: errorType, Message: fmt.Sprintf(format, args...)}
}

// invalid is InvalidParameterValue, as SDKs call it.
func invalid(format string, args ...any) *Error {
	return refuse("InvalidParameterValueException", format, args...)
}

func outside(value int, parameter, reason string) *Error {
	return invalid("Value %d for parameter %s is invalid. Reason: %s", value, parameter, reason)
}

func missing(parameter string) *Error {
	return refuse("MissingRequiredParameterException", "The request must contain the parameter %s.", parameter)
}

// unsupported refuses what SQS has and this emulator does not.
func unsupported(format string, args ...any) *Error {
	return refuse("UnsupportedOperation", "not supported by this emulator: "+format, args...)
}

func noQueue() *Error {
	return refuse("QueueDoesNotExist", "The specified queue does not exist.")
}

// namespace is the prefix that the service gives an error type on the wire.
func namespace(errorType string) string {
	switch errorType {
	case "InvalidParameterValueException", "MissingRequiredParameterException", "MissingAuthenticationTokenException",
		"UnknownOperationException", "SerializationException", "InternalFailure":
		return "com.amazon.coral.service#"
	}
	return "com.amazonaws.sqs#"
}

// queryCode is the name that the error had in the protocol before JSON. The service gives
// it in a header, from which SDKs take the error's code.
func queryCode(errorType string) string {
	switch errorType {
	case "InvalidParameterValueException":
		return "InvalidParameterValue"
	case "MissingRequiredParameterException":
		return "MissingParameter"
	case "QueueDoesNotExist":
		return "AWS.SimpleQueueService.NonExistentQueue"
	case "QueueNameExists":
		return "QueueAlreadyExists"
	case "MessageNotInflight", "EmptyBatchRequest", "TooManyEntriesInBatchRequest", "BatchEntryIdsNotDistinct",
		"BatchRequestTooLong", "InvalidBatchEntryId", "PurgeQueueInProgress", "UnsupportedOperation":
		return "AWS.SimpleQueueService." + errorType
	}
	return errorType
}

// writeError answers with err; an error that is no *Error is an InternalFailure.
func writeError(w http.ResponseWriter, err error) {
	e, known := errors.AsType[*Error](err)
	if !known {
		e = &Error{Type: "InternalFailure", Message: err.Error(), Status: http.StatusInternalServerError}
	}
	status, fault := e.Status, "Sender"
	if status == 0 {
		status = http.StatusBadRequest
	}
	if status >= http.StatusInternalServerError {
		fault = "Receiver"
	}
	w.Header().Set("X-Amzn-Query-Error", queryCode(e.Type)+";"+fault)
	writeJSON(w, status, map[string]string{"__type": namespace(e.Type) + e.Type, "message": e.Message})
}
