// Command lambda is the resumecall function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/resumecall"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/flow"
	"github.com/krosai/telephony/shared/lambdatask"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
)

type config struct {
	Tables store.Config
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	task := &resumecall.Task{Calls: store.Open(aws, cfg.Tables, time.Now), Flow: flow.Open(aws, flow.Config{}),
		Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	lambdatask.Start(task.Run)
}
