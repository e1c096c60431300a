// Command lambda is the createwebhook function.
package main

import (
	"crypto/rand"
	"net"
	"time"

	"github.com/krosai/telephony/functions/createwebhook"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/store"
)

func main() {
	db := store.Open(env.AWS(), env.Must[store.Config](), time.Now)
	lambdahttp.Start(db, &createwebhook.Endpoint{Endpoints: db, Resolver: net.DefaultResolver, Now: time.Now, Random: rand.Reader})
}
