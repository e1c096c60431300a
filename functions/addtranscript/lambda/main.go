// Command lambda is the addtranscript function.
package main

import (
	"time"

	"github.com/krosai/telephony/functions/addtranscript"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/secret"
	"github.com/krosai/telephony/shared/store"
)

type config struct {
	Tables   store.Config
	TokenKey secret.Secret `env:"CALL_TOKEN_KEY,required,notEmpty"`
}

func main() {
	cfg := env.Must[config]()
	db := store.Open(env.AWS(), cfg.Tables, time.Now)
	lambdahttp.Start(nil, &addtranscript.Endpoint{Calls: db, TokenKey: cfg.TokenKey, Now: time.Now})
}
