// Command lambda is the resumecall function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/resumecall"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/workflow"
)

type config struct {
	Tables store.Config
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	task := &resumecall.Task{Calls: store.Open(aws, cfg.Tables, time.Now), Workflow: workflow.Open(aws, workflow.Config{}),
		Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	invocation.Start(task.Run)
}
