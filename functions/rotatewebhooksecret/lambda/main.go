// Command lambda is the rotatewebhooksecret function.
package main

import (
	"crypto/rand"
	"time"

	"github.com/krosai/telephony/functions/rotatewebhooksecret"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/store"
)

func main() {
	db := store.Open(env.AWS(), env.Must[store.Config](), time.Now)
	lambdahttp.Start(db, &rotatewebhooksecret.Endpoint{Endpoints: db, Now: time.Now, Random: rand.Reader})
}
