// Command lambda is the releasenumber function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/releasenumber"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/numberconfig"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/workflow"
)

type config struct {
	Tables  store.Config
	Flows   workflow.Config
	LiveKit livekit.Config
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	db, flows, lk := store.Open(aws, cfg.Tables, time.Now), workflow.Open(aws, cfg.Flows), livekit.Open(cfg.LiveKit)
	log := obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))
	lambdahttp.Start(db, &releasenumber.Endpoint{Numbers: db, Requests: db, Workflow: flows, Log: log,
		Configurer: &numberconfig.Configurer{Numbers: db, LiveKit: lk, Now: time.Now}})
}
