// Command lambda is the assignnumber function.
package main

import (
	"time"

	"github.com/krosai/telephony/functions/assignnumber"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/store"
)

func main() {
	db := store.Open(env.AWS(), env.Must[store.Config](), time.Now)
	lambdahttp.Start(db, &assignnumber.Endpoint{Numbers: db})
}
