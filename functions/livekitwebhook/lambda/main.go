// Command lambda is the livekitwebhook function.
package main

import (
	"time"

	"github.com/krosai/telephony/functions/livekitwebhook"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/call/inbound"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/teardown"
	"github.com/krosai/telephony/shared/workflow"
)

type config struct {
	Tables  store.Config
	Flows   workflow.Config
	LiveKit livekit.Config
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	db, lk := store.Open(aws, cfg.Tables, time.Now), livekit.Open(cfg.LiveKit)
	flows := workflow.Open(aws, cfg.Flows)
	lambdahttp.Start(nil, &livekitwebhook.Endpoint{LiveKit: lk, Now: time.Now,
		Inbound:  &inbound.Adopter{Numbers: db, Calls: db, Rooms: lk, Workflow: flows},
		Teardown: &teardown.Ender{Calls: db, Rooms: lk, Now: time.Now}})
}
