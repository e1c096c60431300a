package account

import "time"

// Once is a request that is to be carried out once: the user and the credential
// it came with (the id of an API key, or Token), the operation, the
// Idempotency-Key, and the hash of what it asks for. Owner is a random token of
// this attempt at it. The zero value is a request without a key.
type Once struct {
	UserID, Credential, Route, Key, Hash, Owner string
}

// Token is the Credential of users who come with a JWT.
const Token = "jwt"

// Seed makes the ids of the things that a request with an Idempotency-Key
// makes. It is the same for all attempts at one request, so that a second
// attempt finds the things of the first. The zero value makes no ids.
type Seed struct {
	At   time.Time // when the first attempt began
	Text string    // random
}
