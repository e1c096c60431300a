package invocation

// BatchAnswer is the response of a function that Lambda invokes with a batch from a stream or a
// queue (ReportBatchItemFailures). It names the items of the batch that failed. For a queue, Lambda
// delivers these messages again and deletes the others. For a stream, it delivers all records again
// from the first of these on.
type BatchAnswer struct {
	Failures []Item `json:"batchItemFailures"`
}

// Item is the id of a message, or the sequence number of a record.
type Item struct {
	ID string `json:"itemIdentifier"`
}

// Failed is the response that reports the items with these ids as failed.
func Failed(ids ...string) BatchAnswer {
	a := BatchAnswer{Failures: []Item{}}
	for _, id := range ids {
		a.Failures = append(a.Failures, Item{id})
	}
	return a
}
