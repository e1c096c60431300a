// Command lambda is the preparecall function.
package main

import (
	"time"

	"github.com/krosai/telephony/functions/preparecall"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/lambdatask"
	"github.com/krosai/telephony/shared/livekit"
	"github.com/krosai/telephony/shared/settle"
	"github.com/krosai/telephony/shared/store"
)

type config struct {
	Tables  store.Config
	LiveKit livekit.Config
	Agents  preparecall.Agents
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	db, lk := store.Open(aws, cfg.Tables, time.Now), livekit.Open(cfg.LiveKit)
	end := &settle.Settler{Calls: db, Rooms: lk, Now: time.Now}
	task := &preparecall.Task{Calls: db, Rooms: lk, Settle: end, Agents: cfg.Agents, Now: time.Now}
	lambdatask.Start(task.Run)
}
