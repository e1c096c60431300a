// Command lambda is the retirenumber function.
package main

import (
	"time"

	"github.com/krosai/telephony/functions/retirenumber"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/store"
)

func main() {
	db := store.Open(env.AWS(), env.Must[store.Config](), time.Now)
	lambdahttp.Start(db, &retirenumber.Endpoint{Numbers: db})
}
