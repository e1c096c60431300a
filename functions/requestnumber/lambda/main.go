// Command lambda is the requestnumber function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/requestnumber"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/workflow"
)

type config struct {
	Tables store.Config
	Flows  workflow.Config
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	db, flows := store.Open(aws, cfg.Tables, time.Now), workflow.Open(aws, cfg.Flows)
	log := obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))
	lambdahttp.Start(db, &requestnumber.Endpoint{Requests: db, Workflow: flows, Now: time.Now, Log: log})
}
