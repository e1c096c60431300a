// Package dynamodb is DynamoDB in one process: the part of the DynamoDB API that the
// product uses, for tests and for the laptop, stored in one bbolt file.
//
// # Truth
//
// Its truth is Amazon's documentation, the API Reference and the Developer Guide. The
// texts of its errors, and the order in which a request is checked, are recorded:
// testdata/answers.jsonl holds some thousand answers, and beside each that the emulator
// means to give otherwise, the reason. TestReferee sends generated operations to dynalite too
// (make test-aws); meantDifferences in referee_differences_test.go lists where they differ.
// The emulator refuses what it does not support and names it. It ignores no member of a request.
//
// # Supported
//
//   - CreateTable (on demand; global secondary indexes with any projection), DeleteTable,
//     DescribeTable, ListTables, UpdateTable (deletion protection only), UpdateTimeToLive,
//     DescribeTimeToLive. Tables are ACTIVE at once.
//   - PutItem, GetItem, UpdateItem, DeleteItem with expressions and every ReturnValues.
//   - Query and Scan of tables and indexes, BatchGetItem, BatchWriteItem.
//   - TransactGetItems, TransactWriteItems with reasons and ClientRequestToken.
//   - Exact decimals, sizes, limits, reserved words and consumed capacity. SSE settings,
//     tags and the table class are stored and have no effect.
//   - Sweep, which deletes what has expired; nothing is deleted without it.
//   - Streams of tables that are made with one: the API of DynamoDB Streams, with one shard
//     that is never closed and records that are kept for 24 hours. A record is stored in the
//     transaction of its change. Written tells readers in the process of new ones.
//
// # Refused
//
// Local secondary indexes, provisioned throughput, OLD_IMAGE streams, backups, PartiQL, tagging and
// changing indexes or streams after creation, and the parameters that expressions replaced
// (AttributesToGet, KeyConditions, Expected and their like).
//
// # Known differences
//
//   - Index entries are written with the item, so that a Query of an index is never behind.
//   - A Scan returns partitions in the order of their keys, not of a hash of them; entries
//     of an index with equal keys are in the order of the table's keys.
//   - Writes never meet throttling or TransactionConflict: they are carried out one after
//     another. Options.Hook answers such errors where a test needs them.
//   - Signatures are not verified; a request without any is refused.
package dynamodb
