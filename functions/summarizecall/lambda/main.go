// Command lambda is the summarizecall function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/summarizecall"
	"github.com/krosai/telephony/shared/call/summary"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
)

type config struct {
	Tables  store.Config
	Summary summary.Config
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	task := &summarizecall.Task{Details: store.Open(aws, cfg.Tables, time.Now), Summarizer: summary.Open(aws, cfg.Summary), Now: time.Now,
		Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	invocation.Start(task.Run)
}
