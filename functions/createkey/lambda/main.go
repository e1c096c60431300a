// Command lambda is the createkey function.
package main

import (
	"crypto/rand"
	"time"

	"github.com/krosai/telephony/functions/createkey"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/store"
)

func main() {
	db := store.Open(env.AWS(), env.Must[store.Config](), time.Now)
	lambdahttp.Start(db, &createkey.Endpoint{Keys: db, Now: time.Now, Random: rand.Reader})
}
