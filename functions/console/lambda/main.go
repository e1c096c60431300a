// Command lambda is the console function.
package main

import (
	"fmt"
	"os"

	"github.com/caarlos0/env/v11"

	files "github.com/krosai/telephony/console"
	"github.com/krosai/telephony/functions/console"
	"github.com/krosai/telephony/shared/invocation"
)

// main does not use shared/env, which links the AWS SDK: the console has no secret.
func main() {
	cfg, err := env.ParseAs[console.Config]()
	if err != nil {
		fmt.Fprintln(os.Stderr, "configuration:", err)
		os.Exit(1)
	}
	invocation.Start((&console.Task{Config: cfg, Files: files.Files}).Run)
}
