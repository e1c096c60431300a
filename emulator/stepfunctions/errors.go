package stepfunctions

import (
	"errors"
	"fmt"
	"slices"
)

// Error names of the language (specification, appendix A, and the Developer
// Guide, "Handling errors").
const (
	errAll             = "States.ALL"
	errTaskFailed      = "States.TaskFailed"
	errTimeout         = "States.Timeout"
	errHeartbeat       = "States.HeartbeatTimeout"
	errRuntime         = "States.Runtime"
	errDataLimit       = "States.DataLimitExceeded"
	errResultPath      = "States.ResultPathMatchFailure"
	errIntrinsic       = "States.IntrinsicFailure"
	errNoChoiceMatched = "States.NoChoiceMatched"
	errLambdaUnknown   = "Lambda.Unknown"
)

func knownError(name string) bool {
	return slices.Contains([]string{
		errAll, errTaskFailed, errTimeout, errHeartbeat, errRuntime, errDataLimit, errResultPath, errIntrinsic,
		errNoChoiceMatched, "States.ParameterPathFailure", "States.Permissions", "States.BranchFailed",
		"States.ExceedToleratedFailureThreshold", "States.ItemReaderFailed", "States.ResultWriterFailed",
		"States.QueryEvaluationError", "States.Http.Socket",
	}, name)
}

// FunctionError is an error that a Lambda function returned: Type becomes the
// name of the error in Retry and Catch, Message its text.
type FunctionError struct {
	Type    string
	Message string
}

func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

// A failure is the error of a state as Retry and Catch see it.
type failure struct {
	Error string `json:",omitempty"`
	Cause string `json:",omitempty"`
}

// matches says whether an ErrorEquals covers the failure. Runtime errors are
// never covered, exceeded data limits only by their own name; States.TaskFailed
// covers everything but time-outs, and States.Timeout covers missed heartbeats
// too (Developer Guide, "Handling errors").
func (f *failure) matches(names []string) bool {
	if f.Error == errRuntime {
		return false
	}
	terminal := f.Error == errDataLimit
	late := f.Error == errTimeout || f.Error == errHeartbeat
	return slices.ContainsFunc(names, func(name string) bool {
		switch name {
		case errAll:
			return !terminal
		case errTaskFailed:
			return !terminal && !late
		case errTimeout:
			return late
		}
		return name == f.Error
	})
}

// failureOf turns an error of an expression into the failure of the state.
func failureOf(b *branch, err error) *failure {
	name := errRuntime
	var intrinsic *intrinsicError
	var result *resultPathError
	switch {
	case errors.As(err, &intrinsic):
		name = errIntrinsic
	case errors.As(err, &result):
		name = errResultPath
	}
	return &failure{name, fmt.Sprintf("An error occurred while executing the state '%s' (entered at the event id #%d). %s", b.State, b.EnteredEvent, err)}
}

// A resultPathError says that a ResultPath does not fit the state's input.
type resultPathError struct{ err error }

func (e *resultPathError) Error() string { return "ResultPath: " + e.err.Error() }

// invokeFailure is the failure of a task whose function returned err.
func invokeFailure(err error) *failure {
	var fe *FunctionError
	if !errors.As(err, &fe) || fe.Type == "" {
		return &failure{errLambdaUnknown, err.Error()}
	}
	return &failure{fe.Type, string(encode(map[string]any{"errorMessage": fe.Message, "errorType": fe.Type}))}
}
