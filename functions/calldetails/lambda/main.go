// Command lambda is the calldetails function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/calldetails"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
)

func main() {
	db := store.Open(env.AWS(), env.Must[store.Config](), time.Now)
	edge := &api.Edge{Keys: db, Now: time.Now, Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	lambdahttp.Start(edge, &calldetails.Endpoint{Calls: db})
}
