package store_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/store/storetest"
)

// used is what a user's row counts, by attribute: the windows that are not empty,
// and how many calls are active.
func used(t *testing.T, db *storetest.Database, user string) map[string]string {
	t.Helper()
	counts := map[string]string{}
	for name, v := range db.Rows(t, "limits", "user#"+user)[0] {
		switch v := v.(type) {
		case *types.AttributeValueMemberN:
			if v.Value != "0" && (strings.HasPrefix(name, "hour_") || strings.HasPrefix(name, "to_") || strings.HasPrefix(name, "day_")) {
				counts[name] = v.Value
			}
		case *types.AttributeValueMemberSS:
			if name == "active_calls" {
				counts[name] = strconv.Itoa(len(v.Value))
			}
		}
	}
	return counts
}
