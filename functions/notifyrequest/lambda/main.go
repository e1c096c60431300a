// Command lambda is the notifyrequest function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/notifyrequest"
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
	db := store.Open(aws, cfg.Tables, time.Now)
	task := &notifyrequest.Task{Requests: db, Now: time.Now, Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	invocation.Start(task.Run)
}
