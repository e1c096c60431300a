package account

import "time"

// Once identifies a request that is carried out at most once: the user and the credential it
// came with (the id of an API key, or Token), the operation, the Idempotency-Key and the hash
// of its content. Owner is a random token of this attempt. The zero value is a request without
// an Idempotency-Key.
type Once struct {
	UserID, Credential, Route, Key, Hash, Owner string
}

// Token is the Credential of users with a JWT.
const Token = "jwt"

// Seed is the source of the ids of the things that a request with an Idempotency-Key creates. It is
// the same for all attempts at one request, so that a second attempt finds the things of the first.
// The zero value generates no ids.
type Seed struct {
	At   time.Time // when the first attempt began
	Text string    // random
}
