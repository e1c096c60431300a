package store

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
)

// DialPermit checks, in one request, whether an accepted call may still be dialed, and returns the
// number that the call is placed from. The error is fault.Forbidden CALLS_DISABLED,
// DESTINATION_NOT_ALLOWED or AGENT_NOT_ALLOWED. It is fault.Conflict NUMBER_NOT_CONFIGURED if the
// number no longer belongs to the user or no longer has the trunk that the call was accepted for.
func (db *DB) DialPermit(ctx context.Context, c call.Call) (number.Number, error) {
	n, permit, everybody, err := db.permit(ctx, c.UserID, c.NumberID)
	switch {
	case err != nil:
		return n, err
	case everybody.CallsDisabled:
		return n, account.CallsDisabled()
	case n.UserID == "" || n.UserID != c.UserID || !n.CanCall() || n.Trunk.OutboundID != c.TrunkID:
		return number.Number{}, fault.New(fault.Conflict, "NUMBER_NOT_CONFIGURED", "the number has no longer the SIP trunk that the call was accepted for")
	}
	return n, permit.Allow(c.Remote, c.Country, c.AgentName)
}

// load is the row "load" of the Limits table. It holds how long the last dial that had to wait for
// a place has waited. The dial tasks write it. Permit.Room uses it to predict whether another call
// would be dialed in time.
type load struct {
	PK          string `dynamodbav:"pk"`
	WaitSeconds int    `dynamodbav:"wait_seconds"`
	At          Time   `dynamodbav:"at"`
}

func loadKey() row { return row{"pk": str("load")} }

const (
	loadFresh  = 30 * time.Second // an older load is ignored
	loadShared = 5                // wait in seconds from which users get only a share of the places
	loadFull   = 60               // wait in seconds from which no call is accepted
)

// RecordWait records how long a dial waited for its place. It does not replace a newer record.
func (db *DB) RecordWait(ctx context.Context, wait time.Duration, at time.Time) error {
	raw, err := encode(load{"load", int(wait / time.Second), Time{at}})
	if err != nil {
		return err
	}
	_, err = db.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &db.table.Limits, Item: raw,
		ConditionExpression: aws.String("attribute_not_exists(#at) OR #at < :at"), ExpressionAttributeNames: map[string]string{"#at": "at"},
		ExpressionAttributeValues: row{":at": timestamp(at)}})
	if _, failed := conditionFailed(err); failed {
		return nil // a later dial has recorded its wait
	}
	return unavailable("record wait", err)
}

// Room checks whether one more call of the user would be dialed in time. The error is
// fault.Upstream AT_CAPACITY if dials wait for loadFull seconds. From loadShared seconds on, users
// with share or more active calls also get that error, so that no user holds every place.
func (p Permit) Room(share int) error {
	age := p.at.Sub(p.load.At.Time)
	if p.load.At.IsZero() || age >= loadFresh || p.load.WaitSeconds < loadShared {
		return nil
	}
	if p.load.WaitSeconds < loadFull && len(p.active) < share {
		return nil
	}
	return AtCapacity(max(time.Second, min(loadFresh, loadFresh-age)))
}

// AtCapacity is the error for a call that could not be dialed in time. The client may send the call
// again after the given time.
func AtCapacity(after time.Duration) error {
	return &fault.Error{Kind: fault.Upstream, Code: "AT_CAPACITY", RetryAfter: after,
		Detail: "as many phones are being called as can be called at a time: try again shortly"}
}
