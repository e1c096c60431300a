// Command lambda is the health function.
package main

import (
	"github.com/krosai/telephony/functions/health"
	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/lambdahttp"
)

func main() {
	cfg := env.Must[health.Config]()
	lambdahttp.Start(nil, &health.Endpoint{Version: cfg.Version})
}
