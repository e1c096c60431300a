// Package stepfunctions runs AWS Step Functions Standard workflows in-process:
// the part of the Amazon States Language and of the API that this project uses,
// with the names, error codes, history events and limits of the real service.
//
// A definition that uses anything else is refused when it is loaded, with the
// path of the field (`States.Dial.Foo: unsupported field`), and so is a request
// with a member the emulator does not know. It never guesses.
//
// # What it runs
//
// Query language JSONPath. States Task, Choice, Wait, Pass, Map (inline),
// Succeed and Fail; tasks are arn:aws:states:::lambda:invoke and
// arn:aws:states:::lambda:invoke.waitForTaskToken. Paths are reference paths
// ($.a.b[0], $['a']): no filters, wildcards, slices or negative indexes. The
// intrinsic functions are listed in intrinsic.go. JSONata, Parallel,
// distributed Map, activities, other integrations, versions, aliases and
// redrive are refused.
//
// # Durability
//
// Every transition is written in a bbolt transaction before it is acted on. Transitions that
// follow each other without a wait share one transaction. So executions, their data, absolute
// deadlines, task tokens and history survive the process being killed. An invocation
// that was in flight when the process died is not run again by itself: that attempt fails
// with Lambda.Unknown and the state's own Retry and Catch decide. A task that waits for
// its token keeps waiting; a Wait state keeps its deadline.
//
// # Where it differs from the service
//
// A task whose token is answered before its function has returned completes at once, and
// the function runs on to its end (not compared with the service). Tokens are remembered for
// good, so that a late answer gets TaskTimedOut rather than TaskDoesNotExist.
// Nothing is throttled and nothing expires.
//
// The sources leave open whether States.Timeout and States.TaskFailed cover a
// missed heartbeat; here the first does and the second does not. A definition
// that names States.HeartbeatTimeout and States.Timeout depends on neither.
//
// TestMoto compares it with moto's interpreter (make test-aws); motoDiffers lists the
// intended differences.
//
// Sources: the Amazon States Language specification (states-language.net), the
// AWS Step Functions Developer Guide and its API reference.
package stepfunctions
