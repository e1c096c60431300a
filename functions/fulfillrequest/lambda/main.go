// Command lambda is the fulfillrequest function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/fulfillrequest"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
)

type config struct {
	Tables store.Config
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	task := &fulfillrequest.Task{Requests: store.Open(aws, cfg.Tables, time.Now), Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	invocation.Start(task.Run)
}
