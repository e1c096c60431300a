// Command lambda is the deleteconfiguration function.
package main

import (
	"time"

	"github.com/krosai/telephony/functions/deleteconfiguration"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/numberconfig"
	"github.com/krosai/telephony/shared/store"
)

type config struct {
	Tables  store.Config
	LiveKit livekit.Config
}

func main() {
	cfg := env.Must[config]()
	db, lk := store.Open(env.AWS(), cfg.Tables, time.Now), livekit.Open(cfg.LiveKit)
	lambdahttp.Start(db, &deleteconfiguration.Endpoint{Configurer: &numberconfig.Configurer{Numbers: db, LiveKit: lk, Now: time.Now}})
}
