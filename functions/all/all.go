// Package all is the table of every function. The laptop platform, the OpenAPI
// document and tests use it; a Lambda never does, for it links everything.
package all

import (
	"github.com/krosai/telephony/functions/health"
	"github.com/krosai/telephony/shared/api"
)

// Deps is what the functions work with.
type Deps struct {
	Version string
}

// HTTP is every HTTP function by the name of its folder.
func HTTP(d Deps) map[string]api.Endpoint {
	return map[string]api.Endpoint{
		"health": &health.Endpoint{Version: d.Version},
	}
}
