// Package batch is how functions that Lambda feeds from a stream or a queue answer:
// ReportBatchItemFailures.
package batch

// Answer names the items of a batch that failed. Of a queue, these messages come
// again and the others are deleted; of a stream, all records from the first of
// these on come again.
type Answer struct {
	Failures []Item `json:"batchItemFailures"`
}

// Item is the id of a message, or the sequence number of a record.
type Item struct {
	ID string `json:"itemIdentifier"`
}

// Failed is the answer that these items failed.
func Failed(ids ...string) Answer {
	a := Answer{Failures: []Item{}}
	for _, id := range ids {
		a.Failures = append(a.Failures, Item{id})
	}
	return a
}
