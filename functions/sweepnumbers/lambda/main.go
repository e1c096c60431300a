// Command lambda is the sweepnumbers function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/sweepnumbers"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/flow"
	"github.com/krosai/telephony/shared/lambdatask"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
)

type config struct {
	Tables store.Config
	Flows  flow.Config
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	db := store.Open(aws, cfg.Tables, time.Now)
	task := &sweepnumbers.Task{Requests: db, Numbers: db, Flow: flow.Open(aws, cfg.Flows), Now: time.Now,
		Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	lambdatask.Start(task.Run)
}
