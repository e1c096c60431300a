// Command lambda is the awaitrequest function.
package main

import (
	"time"

	"github.com/krosai/telephony/functions/awaitrequest"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/flow"
	"github.com/krosai/telephony/shared/lambdatask"
	"github.com/krosai/telephony/shared/store"
)

type config struct {
	Tables store.Config
	Flows  flow.Config
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	db := store.Open(aws, cfg.Tables, time.Now)
	task := &awaitrequest.Task{Requests: db, Flow: flow.Open(aws, cfg.Flows)}
	lambdatask.Start(task.Run)
}
