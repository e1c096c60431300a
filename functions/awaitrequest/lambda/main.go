// Command lambda is the awaitrequest function.
package main

import (
	"time"

	"github.com/krosai/telephony/functions/awaitrequest"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/invocation"
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
	task := &awaitrequest.Task{Requests: db, Workflow: workflow.Open(aws, cfg.Flows)}
	invocation.Start(task.Run)
}
