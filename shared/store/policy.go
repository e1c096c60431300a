package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/request"
)

// A row "user#…" of the Limits table is what a user may do with calls, and the
// ids of the calls they have going, which are the lease on their concurrent
// calls: a set, so that taking out a call twice, or one that is not in it, does
// nothing. The row "calls" is the switch of everybody's calls. Attributes that
// are not there mean account.DefaultPolicy, and a row that is not there as well.
type policyRow struct {
	Countries      []string `dynamodbav:"countries,stringset,omitempty"`
	CallsDisabled  bool     `dynamodbav:"calls_disabled,omitempty"`
	MaxConcurrent  int      `dynamodbav:"max_concurrent,omitempty"`
	Calls          int      `dynamodbav:"calls_per_hour,omitempty"`
	Configurations int      `dynamodbav:"configurations_per_hour,omitempty"`
	Active         []string `dynamodbav:"active_calls,stringset,omitempty"`
	Revision       int64    `dynamodbav:"revision,omitempty"` // changes with every change of the policy
}

func policyKey(userID string) item { return item{"pk": text("user#" + userID)} }

func callsSwitch() item { return item{"pk": text("calls")} }

func (r policyRow) policy() account.Policy {
	p := account.DefaultPolicy()
	p.AllowedCountries, p.CallsEnabled = r.Countries, !r.CallsDisabled
	if r.MaxConcurrent > 0 {
		p.MaxConcurrentCalls = r.MaxConcurrent
	}
	if r.Calls > 0 {
		p.CallsPerHour = r.Calls
	}
	if r.Configurations > 0 {
		p.ConfigurationsPerHour = r.Configurations
	}
	slices.Sort(p.AllowedCountries)
	return p
}

// Permit is what CreateCall must know of the user who wants to call: the country
// of the number that is called from, to which calls are always allowed, and the
// hour as it was read. The zero Limit is the hour of any user.
type Permit struct {
	Home  string
	Calls account.Limit
	own   account.Policy
}

// Allow says whether the user may call a country, as far as was known when the
// permit was read. It is fault.Forbidden CALLS_DISABLED or DESTINATION_NOT_ALLOWED.
func (p Permit) Allow(country string) error { return allow(p.own, country, p.Home) }

func allow(p account.Policy, country, home string) error {
	switch {
	case !p.CallsEnabled:
		return callsDisabled()
	case country != home && !slices.Contains(p.AllowedCountries, country):
		return fault.New(fault.Forbidden, "DESTINATION_NOT_ALLOWED", "calls to %s are not allowed for this account", country)
	}
	return nil
}

// CallPermit reads, at once, what a user may do with calls at this moment, and
// one of their numbers; with an empty numberID no number. It is fault.Forbidden
// CALLS_DISABLED, with the permit, when calls are switched off for everybody,
// and fault.NotFound when the number is not the user's. The rest is decided by
// CreateCall.
//
// The switch of everybody is read here and is not a condition of the transaction,
// where all users' calls would meet at its one row and cancel each other.
func (db *DB) CallPermit(ctx context.Context, userID, numberID string) (number.Number, Permit, error) {
	now := db.now()
	keys := []item{policyKey(userID), callsSwitch(), callsAnHour.key(userID, now)}
	found, err := db.readTogether(ctx, keys, numberID)
	if err != nil {
		return number.Number{}, Permit{}, broken("read call permit", err)
	}
	var permit Permit
	var everybody policyRow
	own, err := decode[policyRow](found[keyOf(keys[0])])
	if err == nil {
		everybody, err = decode[policyRow](found[keyOf(keys[1])])
	}
	if err == nil {
		permit.Calls, err = db.limitOf(found[keyOf(keys[2])], callsAnHour.upTo(own.policy().CallsPerHour), now)
	}
	if err != nil {
		return number.Number{}, permit, err
	}
	n, err := db.numberFrom(found[numberID])
	permit.Home, permit.own = n.Country, own.policy()
	switch {
	case err != nil:
		return number.Number{}, permit, err
	case everybody.CallsDisabled:
		return n, permit, callsDisabled()
	case numberID != "" && (n.UserID == "" || n.UserID != userID):
		return number.Number{}, permit, fault.Missing("phone number")
	}
	return n, permit, nil
}

// readTogether reads rows of the Limits table and a number, if one is named, in
// one consistent read. The rows come by their key.
func (db *DB) readTogether(ctx context.Context, limits []item, numberID string) (map[string]item, error) {
	ask := map[string]types.KeysAndAttributes{db.table.Limits: {Keys: limits, ConsistentRead: aws.Bool(true)}}
	if numberID != "" {
		ask[db.table.Numbers] = types.KeysAndAttributes{Keys: []item{{"number_id": text(numberID)}}, ConsistentRead: aws.Bool(true)}
	}
	found := map[string]item{}
	for range 4 { // what DynamoDB had no capacity for is asked for again
		out, err := db.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: ask})
		if err != nil {
			return nil, err
		}
		for _, rows := range out.Responses {
			for _, row := range rows {
				found[keyOf(row)] = row
			}
		}
		if ask = out.UnprocessedKeys; len(ask) == 0 {
			return found, nil
		}
	}
	return nil, errors.New("dynamodb left keys unprocessed")
}

// keyOf is the key of a row of Limits or Numbers.
func keyOf(row item) string {
	for _, name := range []string{"pk", "number_id"} {
		if v, ok := row[name].(*types.AttributeValueMemberS); ok {
			return v.Value
		}
	}
	return ""
}

func callsDisabled() error {
	return fault.New(fault.Forbidden, "CALLS_DISABLED", "outbound calls are switched off")
}

// leaseCall is the write that adds a call to those its user has going, if their
// policy lets them make it. When it does not, refuseCall says why.
func (db *DB) leaseCall(userID, callID, country, home string) types.TransactWriteItem {
	u := &types.Update{TableName: &db.table.Limits, Key: policyKey(userID), UpdateExpression: aws.String("ADD active_calls :call"),
		ConditionExpression: aws.String("attribute_not_exists(calls_disabled) AND (attribute_not_exists(active_calls)" +
			" OR size(active_calls) < max_concurrent OR (attribute_not_exists(max_concurrent) AND size(active_calls) < :max))"),
		ExpressionAttributeValues: item{":call": &types.AttributeValueMemberSS{Value: []string{callID}},
			":max": integer(account.MaxConcurrentCalls)},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}
	if country != home {
		u.ConditionExpression = aws.String("contains(countries, :country) AND " + *u.ConditionExpression)
		u.ExpressionAttributeValues[":country"] = text(country)
	}
	return types.TransactWriteItem{Update: u}
}

// refuseCall is the error for the policy in row, which did not let leaseCall be.
func refuseCall(row item, country, home string) error {
	r, err := decode[policyRow](row)
	if err != nil {
		return err
	}
	p := r.policy()
	if err := allow(p, country, home); err != nil {
		return err
	}
	return &fault.Error{Kind: fault.Limited, Code: "CONCURRENT_LIMIT_EXCEEDED", RetryAfter: 10 * time.Second,
		Detail: fmt.Sprintf("you can have %d calls at a time: one must end first", p.MaxConcurrentCalls)}
}

// endLease is the write that takes a call out of those its user has going.
func (db *DB) endLease(userID, callID string) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Limits, Key: policyKey(userID),
		UpdateExpression:          aws.String("DELETE active_calls :call"),
		ExpressionAttributeValues: item{":call": &types.AttributeValueMemberSS{Value: []string{callID}}}}}
}

// Policy reads what a user may do with calls, the default if nothing was set,
// and how many calls they have going.
func (db *DB) Policy(ctx context.Context, userID string) (p account.Policy, active int, err error) {
	r, err := db.policyRow(ctx, policyKey(userID))
	return r.policy(), len(r.Active), err
}

func (db *DB) policyRow(ctx context.Context, key item) (policyRow, error) {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Limits, Key: key, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return policyRow{}, broken("read policy", err)
	}
	return decode[policyRow](out.Item)
}

// PutPolicy sets the whole of a user's policy for the platform itself, without a
// line in the audit. What calls the user has going stays.
func (db *DB) PutPolicy(ctx context.Context, userID string, p account.Policy) error {
	set, values := policyUpdate(p)
	set += ", calls_per_hour = :calls, configurations_per_hour = :configurations"
	values[":calls"], values[":configurations"] = integer(int64(p.CallsPerHour)), integer(int64(p.ConfigurationsPerHour))
	_, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Limits, Key: policyKey(userID),
		UpdateExpression: aws.String(set + policyRemove(p)), ExpressionAttributeValues: values})
	return broken("put policy", err)
}

// policyUpdate sets what an administrator can set of a policy.
func policyUpdate(p account.Policy) (set string, values item) {
	set, values = "SET max_concurrent = :max", item{":max": integer(int64(p.MaxConcurrentCalls))}
	if len(p.AllowedCountries) > 0 {
		set += ", countries = :countries"
		values[":countries"] = &types.AttributeValueMemberSS{Value: p.AllowedCountries}
	}
	if !p.CallsEnabled {
		set += ", calls_disabled = :true"
		values[":true"] = &types.AttributeValueMemberBOOL{Value: true}
	}
	return set, values
}

// policyRemove removes what policyUpdate does not set.
func policyRemove(p account.Policy) string {
	var gone []string
	if len(p.AllowedCountries) == 0 {
		gone = append(gone, "countries")
	}
	if p.CallsEnabled {
		gone = append(gone, "calls_disabled")
	}
	if gone == nil {
		return ""
	}
	return " REMOVE " + strings.Join(gone, ", ")
}

// SetPolicy sets what administrators can set of a user's policy, which is all
// but what it may in an hour, and returns the policy as it then is; by goes into the audit
// of "user_" and the user's id. When somebody else sets it at the same moment it
// is fault.Conflict.
func (db *DB) SetPolicy(ctx context.Context, userID string, p account.Policy, by string) (account.Policy, error) {
	old, err := db.policyRow(ctx, policyKey(userID))
	if err != nil {
		return account.Policy{}, err
	}
	p.CallsPerHour, p.ConfigurationsPerHour = old.policy().CallsPerHour, old.policy().ConfigurationsPerHour
	set, values := policyUpdate(p)
	set, values[":next"] = set+", revision = :next", integer(old.Revision+1)
	entry := request.Entry{At: db.now(), Actor: by, Action: "policy_set", From: describe(old.policy()), To: describe(p)}
	return p, db.setAudited(ctx, policyKey(userID), set+policyRemove(p), values, old.Revision, "user_"+userID, entry)
}

// SetCalls switches everybody's outbound calls on or off; by goes into the audit
// of "calls". It returns once every call created from now on obeys it.
func (db *DB) SetCalls(ctx context.Context, enabled bool, by string) error {
	old, err := db.policyRow(ctx, callsSwitch())
	if err != nil {
		return err
	}
	set, values := "SET revision = :next", item{":next": integer(old.Revision + 1)}
	if enabled {
		set += " REMOVE calls_disabled"
	} else {
		set += ", calls_disabled = :true"
		values[":true"] = &types.AttributeValueMemberBOOL{Value: true}
	}
	entry := request.Entry{At: db.now(), Actor: by, Action: "calls_switched", From: onOff(!old.CallsDisabled), To: onOff(enabled)}
	return db.setAudited(ctx, callsSwitch(), set, values, old.Revision, "calls", entry)
}

// setAudited makes a change to a row that is at a revision, which the change
// raises, and writes the line about it.
func (db *DB) setAudited(ctx context.Context, key item, set string, values item, revision int64, subject string, entry request.Entry) error {
	line, err := db.note(subject, entry)
	if err != nil {
		return err
	}
	condition := "attribute_not_exists(revision)"
	if revision > 0 {
		condition, values[":seen"] = "revision = :seen", integer(revision)
	}
	err = db.transact(ctx, types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Limits, Key: key,
		UpdateExpression: &set, ConditionExpression: &condition, ExpressionAttributeValues: values}}, line)
	if _, no := refusedIn(err); no {
		return fault.New(fault.Conflict, "CONFLICT", "somebody else is changing this at the same moment")
	}
	return broken("set policy", err)
}

// describe is a policy in a line of the audit.
func describe(p account.Policy) string {
	return fmt.Sprintf("calls %s, %d at a time, countries %s", onOff(p.CallsEnabled), p.MaxConcurrentCalls,
		cmp.Or(strings.Join(p.AllowedCountries, " "), "none"))
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
