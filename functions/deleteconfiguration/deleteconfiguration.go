// Package deleteconfiguration serves
// DELETE /outbound-calls/phone-numbers/{phone_number_id}/configuration.
package deleteconfiguration

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberconfig"
)

// Endpoint removes a number's configuration, wholly or in part. Calls in progress go on. The
// request may be repeated: removing an absent part is no error, and a repeat also removes what an
// interrupted request left behind.
type Endpoint struct{ Configurer *numberconfig.Configurer }

// Input says what to remove.
type Input struct {
	PhoneNumberID string `path:"phone_number_id" doc:"The phone number"`
	ConfigType    string `query:"config_type" required:"true" enum:"sip_trunk,dispatch_rule,all" doc:"The parts to remove. Without its trunk a dispatch rule waits for the next one"`
}

// Output is what was removed.
type Output struct{ Body RemovedConfiguration }

// RemovedConfiguration says what was removed and what is left.
type RemovedConfiguration struct {
	PhoneNumberID string        `json:"phone_number_id"`
	Removed       []string      `json:"removed" enum:"dispatch_rule,inbound_trunk,outbound_trunk" doc:"The removed ones of dispatch_rule, inbound_trunk and outbound_trunk"`
	Status        number.Status `json:"configuration_status" enum:"unconfigured,partial,configured,error"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "remove-phone-number-configuration", Method: http.MethodDelete,
		Path: "/outbound-calls/phone-numbers/{phone_number_id}/configuration", Summary: "Remove a number's configuration",
		Description: "Removing parts that are not set is not an error. Calls in progress go on.",
		Tags:        []string{"Phone numbers"}, Security: api.Needs(account.NumbersWrite)}, e.remove)
}

func (e *Endpoint) remove(ctx context.Context, in *Input) (*Output, error) {
	if err := id.Number.Check(in.PhoneNumberID); err != nil {
		return nil, err
	}

	after, removed, err := e.Configurer.Remove(ctx, api.CallerOf(ctx).UserID, in.PhoneNumberID, in.ConfigType)
	if err != nil {
		return nil, err
	}

	return &Output{RemovedConfiguration{PhoneNumberID: after.ID, Removed: removed, Status: after.Configuration()}}, nil
}
