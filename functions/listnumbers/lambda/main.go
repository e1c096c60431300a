// Command lambda is the listnumbers function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/listnumbers"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store"
)

type config struct {
	Tables    store.Config
	CursorKey secret.Secret `env:"CURSOR_KEY,required"`
}

func main() {
	cfg := env.Must[config]()
	db := store.Open(env.AWS(), cfg.Tables, time.Now)
	edge := &api.Edge{Keys: db, CursorKey: cfg.CursorKey, Now: time.Now, Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	lambdahttp.Start(edge, &listnumbers.Endpoint{Numbers: db})
}
