// Command lambda is the getconfiguration function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/getconfiguration"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
)

type config struct{ Tables store.Config }

func main() {
	cfg := env.Must[config]()
	db := store.Open(env.AWS(), cfg.Tables, time.Now)
	edge := &api.Edge{Keys: db, Now: time.Now, Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	lambdahttp.Start(edge, &getconfiguration.Endpoint{Numbers: db})
}
