package store

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/call"
)

// count is the write that adds one ended call to its owner's day. A day is the
// UTC date on which the call was created. The row holds flat counters:
// total, status_<status>, talk_seconds, country_<cc>, country_<cc>_completed
// and the duration histogram hist_<bucket>.
func (db *DB) count(c call.Call) *types.Update {
	u := &types.Update{TableName: &db.table.Stats,
		Key:                       item{"user_id": text(c.UserID), "day": text(c.CreatedAt.UTC().Format("2006-01-02"))},
		UpdateExpression:          aws.String("ADD #total :one, #status :one, #country :one"),
		ExpressionAttributeNames:  map[string]string{"#total": "total", "#status": "status_" + string(c.Status), "#country": "country_" + c.Country},
		ExpressionAttributeValues: item{":one": integer(1)}}
	if c.Status == call.Completed {
		u.UpdateExpression = aws.String("ADD #total :one, #status :one, #country :one, #completed :one, #bucket :one, #talk :talk")
		u.ExpressionAttributeNames["#completed"] = "country_" + c.Country + "_completed"
		u.ExpressionAttributeNames["#bucket"] = fmt.Sprintf("hist_%d", call.DurationBucket(c.Duration()))
		u.ExpressionAttributeNames["#talk"] = "talk_seconds"
		u.ExpressionAttributeValues[":talk"] = integer(int64(c.Duration()))
	}
	return u
}
