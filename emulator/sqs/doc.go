// Package sqs is Amazon SQS in one process: the part of its API that the product uses,
// for tests and for the laptop, stored in one bbolt file.
//
// # Supported
//
//   - Standard queues: CreateQueue, SetQueueAttributes, GetQueueUrl, GetQueueAttributes,
//     PurgeQueue.
//   - SendMessage, SendMessageBatch, ReceiveMessage with long polling, DeleteMessage,
//     DeleteMessageBatch, ChangeMessageVisibility.
//   - Delays, visibility timeouts, retention and dead-letter queues. The encryption
//     attributes are stored and have no effect.
//
// # Refused
//
// FIFO queues, message attributes, tags, policies and every operation and parameter that
// is not listed. The answer is UnsupportedOperation and names the parameter; nothing is
// ignored.
//
// # Durability
//
// Each answered request is on disk, visibility timeouts included: a message that was in
// flight when the process was killed comes back when its timeout is over.
//
// # Known differences
//
//   - Messages are received in the order in which they become visible, and each receive
//     sees the whole queue, where the service samples it.
//   - ApproximateNumberOfMessages and its siblings are exact counts. Messages in flight are
//     not limited.
//   - A message is at most 262,144 bytes, as the service had it until August 2025.
//   - A request must have an Authorization header, but its signature is not verified.
//
// Sources: the Amazon SQS API Reference and Developer Guide. The texts of errors are those of
// the real service's answers.
package sqs
