package destination

import (
	"slices"

	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/phonenumber"
	"github.com/krosai/telephony/shared/validate"
)

// Assignable refuses phone numbers that no user should have, a country that is not the number's,
// and values that the inventory does not know. The error is a fault.Invalid about the field of the
// API.
func Assignable(n number.Number) error {
	_, err := Country("phone_number", n.E164)
	switch {
	case fault.Is(err, fault.Forbidden):
		return fault.InvalidField("phone_number", "not_assignable", "numbers of this kind are not given out")
	case err != nil:
		return err
	case !phonenumber.In(n.E164, n.Country):
		return fault.InvalidField("country", "mismatch", "the phone number belongs to another country")
	case !slices.Contains([]string{"local", "mobile", "toll_free"}, n.Type):
		return fault.InvalidField("number_type", "enum", "must be local, mobile or toll_free")
	}
	if err := capabilities(n.Capabilities); err != nil {
		return err
	}
	return validate.Name("provider", n.Provider)
}

func capabilities(names []string) error {
	for i, name := range names {
		if name != "inbound" && name != "outbound" || slices.Contains(names[:i], name) {
			return fault.InvalidField("capabilities", "enum", "must be inbound, outbound or both, each once")
		}
	}
	if len(names) == 0 {
		return fault.InvalidField("capabilities", "required", "must be inbound, outbound or both")
	}
	return nil
}
