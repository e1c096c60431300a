// Command lambda is the transfercall function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/transfercall"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/teardown"
)

type config struct {
	Tables  store.Config
	LiveKit livekit.Config
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	db, lk := store.Open(aws, cfg.Tables, time.Now), livekit.Open(cfg.LiveKit)
	end := &teardown.Ender{Calls: db, Rooms: lk, Now: time.Now}
	lambdahttp.Start(db, &transfercall.Endpoint{Calls: db, Phone: lk, Teardown: end, Now: time.Now,
		Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))})
}
