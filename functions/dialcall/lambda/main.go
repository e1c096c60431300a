// Command lambda is the dialcall function.
package main

import (
	"net"
	"os"
	"time"

	"github.com/krosai/telephony/functions/dialcall"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/invocation"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/teardown"
	"github.com/krosai/telephony/shared/validate/carrier"
)

type config struct {
	Tables  store.Config
	LiveKit livekit.Config
	Carrier carrier.Config
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	db, lk := store.Open(aws, cfg.Tables, time.Now), livekit.Open(cfg.LiveKit)
	end := &teardown.Ender{Calls: db, Rooms: lk, Now: time.Now}
	task := &dialcall.Task{Calls: db, Phone: lk, Teardown: end, Now: time.Now,
		Carriers: &carrier.Checker{Config: cfg.Carrier, Resolver: net.DefaultResolver},
		Log:      obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	invocation.Start(task.Run)
}
