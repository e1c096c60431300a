// Command lambda is the updatewebhook function.
package main

import (
	"net"
	"time"

	"github.com/krosai/telephony/functions/updatewebhook"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/store"
)

func main() {
	db := store.Open(env.AWS(), env.Must[store.Config](), time.Now)
	lambdahttp.Start(db, &updatewebhook.Endpoint{Endpoints: db, Resolver: net.DefaultResolver})
}
