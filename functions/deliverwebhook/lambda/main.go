// Command lambda is the deliverwebhook function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/deliverwebhook"
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
	task := &deliverwebhook.Task{Webhooks: store.Open(aws, cfg.Tables, time.Now), Queue: queue.Open(aws, cfg.Queue),
		Client: deliverwebhook.NewClient(nil, false), Now: time.Now, Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	invocation.Start(task.Run)
}
