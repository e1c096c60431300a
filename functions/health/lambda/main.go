// Command lambda is the health function.
package main

import (
	"github.com/krosai/telephony/functions/health"
	"github.com/krosai/telephony/shared/api/lambdahttp"
	"github.com/krosai/telephony/shared/env"
)

func main() {
	cfg := env.Must[health.Config]()
	lambdahttp.Start(nil, &health.Endpoint{Version: cfg.Version})
}
