// Command lambda is the hangupcall function.
package main

import (
	"time"

	"github.com/krosai/telephony/functions/hangupcall"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/livekit"
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
	lambdahttp.Start(db, &hangupcall.Endpoint{Calls: db, Teardown: end, Now: time.Now})
}
