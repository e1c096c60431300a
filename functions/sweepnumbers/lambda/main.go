// Command lambda is the sweepnumbers function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/sweepnumbers"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/workflow"
)

type config struct {
	Tables store.Config
	Flows  workflow.Config
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	db := store.Open(aws, cfg.Tables, time.Now)
	task := &sweepnumbers.Task{Requests: db, Numbers: db, Workflow: workflow.Open(aws, cfg.Flows), Now: time.Now,
		Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	invocation.Start(task.Run)
}
