// Command lambda is the awaitcall function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/awaitcall"
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
	LiveKit livekit.Config
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	db, lk := store.Open(aws, cfg.Tables, time.Now), livekit.Open(cfg.LiveKit)
	end := &teardown.Ender{Calls: db, Rooms: lk, Now: time.Now}
	task := &awaitcall.Task{Calls: db, Teardown: end, Workflow: workflow.Open(aws, workflow.Config{}), Now: time.Now, Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	invocation.Start(task.Run)
}
