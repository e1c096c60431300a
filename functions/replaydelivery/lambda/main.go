// Command lambda is the replaydelivery function.
package main

import (
	"time"

	"github.com/krosai/telephony/functions/replaydelivery"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/webhook/queue"
)

type config struct {
	Tables store.Config
	Queue  queue.Config
}

func main() {
	cfg, aws := env.Must[config](), env.AWS()
	db := store.Open(aws, cfg.Tables, time.Now)
	lambdahttp.Start(db, &replaydelivery.Endpoint{Deliveries: db, Queue: queue.Open(aws, cfg.Queue), Now: time.Now})
}
