// Command lambda is the removeconfiguration function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/removeconfiguration"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
)

type config struct {
	Tables  store.Config
	LiveKit livekit.Config
}

func main() {
	cfg := env.Must[config]()
	db, lk := store.Open(env.AWS(), cfg.Tables, time.Now), livekit.Open(cfg.LiveKit)
	edge := &api.Edge{Keys: db, Now: time.Now, Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	lambdahttp.Start(edge, &removeconfiguration.Endpoint{Numbers: db, LiveKit: lk, Now: time.Now})
}
