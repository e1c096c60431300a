package account

// Once is a request that is to be carried out once: whose it is, the operation
// and the Idempotency-Key it came with, and the hash of what it asks for. Owner
// is a random token of this attempt at it.
type Once struct {
	UserID, Route, Key, Hash, Owner string
}
