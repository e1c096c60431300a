// Package dynamodb is DynamoDB in one process: the part of the DynamoDB API that the
// product uses, for tests and for the laptop, stored in one bbolt file.
//
// Its truth is Amazon's documentation (the API Reference and the Developer Guide); the
// texts of its errors are those of Amazon's own DynamoDB Local, which anyone can run
// beside it. What it does not support it refuses, naming it: it never ignores a member
// of a request and never guesses.
package dynamodb
