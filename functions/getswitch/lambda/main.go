// Command lambda is the getswitch function.
package main

import (
	"time"

	"github.com/krosai/telephony/functions/getswitch"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/store"
)

func main() {
	db := store.Open(env.AWS(), env.Must[store.Config](), time.Now)
	lambdahttp.Start(db, &getswitch.Endpoint{Switch: db})
}
