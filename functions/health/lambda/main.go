// Command lambda is the health function.
package main

import (
	"os"
	"time"

	"github.com/krosai/telephony/functions/health"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/lambdahttp"
	"github.com/krosai/telephony/shared/obs"
)

func main() {
	cfg := env.Must[health.Config]()
	edge := &api.Edge{Now: time.Now, Log: obs.Logger(os.Stdout, os.Getenv("LOG_LEVEL"))}
	lambdahttp.Start(edge, &health.Endpoint{Version: cfg.Version})
}
