// Command lambda is the queuedeliveries function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/queuedeliveries"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/webhook/queue"
)

type config struct {
	Tables store.Config
	Queue  queue.Config
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	task := &queuedeliveries.Task{Endpoints: store.Open(aws, cfg.Tables, time.Now), Queue: queue.Open(aws, cfg.Queue),
		Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	invocation.Start(task.Run)
}
