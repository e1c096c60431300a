// Command lambda is the setconfiguration function.
package main

import (
	"net"
	"time"

	"github.com/krosai/telephony/functions/setconfiguration"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/numberconfig"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/validate/carrier"
)

type config struct {
	Tables  store.Config
	LiveKit livekit.Config
	Carrier carrier.Config
}

func main() {
	cfg := env.Must[config]()
	db, lk := store.Open(env.AWS(), cfg.Tables, time.Now), livekit.Open(cfg.LiveKit)
	lambdahttp.Start(db, &setconfiguration.Endpoint{Numbers: db, Limits: db, Now: time.Now,
		Configurer:    &numberconfig.Configurer{Numbers: db, LiveKit: lk, Now: time.Now},
		AllowLoopback: cfg.Carrier.AllowLoopback,
		Carriers:      &carrier.Checker{Config: cfg.Carrier, Resolver: net.DefaultResolver}})
}
