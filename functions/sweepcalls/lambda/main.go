// Command lambda is the sweepcalls function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/sweepcalls"
	"github.com/krosai/telephony/shared/call/inbound"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/obs"
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
	task := &sweepcalls.Task{Calls: db, Rooms: lk, Workflow: flows, Now: time.Now, Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL")),
		Inbound:  &inbound.Adopter{Numbers: db, Calls: db, Rooms: lk, Workflow: flows},
		Teardown: &teardown.Ender{Calls: db, Rooms: lk, Now: time.Now}}
	invocation.Start(task.Run)
}
