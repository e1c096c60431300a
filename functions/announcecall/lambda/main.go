// Command lambda is the announcecall function.
package main

import (
	"time"

	"github.com/krosai/telephony/functions/announcecall"
	"github.com/krosai/telephony/shared/announce"
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
	tell := &announce.Announcer{Webhooks: db, Flow: flow.Open(aws, cfg.Flows), Now: time.Now}
	lambdatask.Start((&announcecall.Task{Stories: db, Announce: tell}).Run)
}
