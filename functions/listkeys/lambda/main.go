// Command lambda is the listkeys function.
package main

import (
	"time"

	"github.com/krosai/telephony/functions/listkeys"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/store"
)

func main() {
	db := store.Open(env.AWS(), env.Must[store.Config](), time.Now)
	lambdahttp.Start(db, &listkeys.Endpoint{Keys: db})
}
