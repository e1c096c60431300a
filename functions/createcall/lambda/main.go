// Command lambda is the createcall function.
package main

import (
	"time"

	"github.com/krosai/telephony/functions/createcall"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/workflow"
)

type config struct {
	Tables store.Config
	Flows  workflow.Config
	Places int `env:"DIAL_PLACES" envDefault:"0"`
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	db := store.Open(aws, cfg.Tables, time.Now)
	lambdahttp.Start(db, &createcall.Endpoint{Calls: db, Numbers: db, Workflow: workflow.Open(aws, cfg.Flows), Now: time.Now, Places: cfg.Places})
}
