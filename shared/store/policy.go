package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/numberrequest"
)

// A row "user#…" of the Limits table holds a user's policy (policyRow) and its usage (usage.go).
// The row "calls" is the global switch of calls. A missing attribute or a missing row means the
// value of account.DefaultPolicy. Every change of the policy raises revision.
type policyRow struct {
	Countries      []string `dynamodbav:"countries,stringset,omitempty"`
	Agents         []string `dynamodbav:"agents,stringset,omitempty"`
	CallsDisabled  bool     `dynamodbav:"calls_disabled,omitempty"`
	DisabledReason string   `dynamodbav:"disabled_reason,omitempty"` // of the global switch
	MaxConcurrent  int      `dynamodbav:"max_concurrent,omitempty"`
	MaxInbound     int      `dynamodbav:"max_inbound,omitempty"`
	Calls          int      `dynamodbav:"calls_per_hour,omitempty"`
	Destination    int      `dynamodbav:"calls_per_destination,omitempty"`
	Configurations int      `dynamodbav:"configurations_per_hour,omitempty"`
	NumberRequests int      `dynamodbav:"number_requests_per_hour,omitempty"`
	Requests       int      `dynamodbav:"requests_per_hour,omitempty"`
	Minutes        int      `dynamodbav:"minutes_per_day,omitempty"`
	ChangedAt      Time     `dynamodbav:"changed_at"` // of the global switch
	ChangedBy      string   `dynamodbav:"changed_by,omitempty"`
	Active         []string `dynamodbav:"active_calls,stringset,omitempty"`
	Revision       int64    `dynamodbav:"revision,omitempty"`
}

func policyKey(userID string) row { return row{"pk": str("user#" + userID)} }

func callsSwitch() row { return row{"pk": str("calls")} }

// policyNumbers maps the name of each attribute to the number of the policy that it holds.
func policyNumbers(p *account.Policy) map[string]*int {
	return map[string]*int{"max_concurrent": &p.MaxConcurrentCalls, "max_inbound": &p.MaxConcurrentInbound, "calls_per_hour": &p.CallsPerHour,
		"calls_per_destination": &p.CallsPerDestination, "configurations_per_hour": &p.ConfigurationsPerHour,
		"number_requests_per_hour": &p.NumberRequestsPerHour, "requests_per_hour": &p.RequestsPerHour, "minutes_per_day": &p.MinutesPerDay}
}

func (r policyRow) policy() account.Policy {
	own := account.DefaultPolicy()
	own.AllowedCountries, own.AllowedAgents, own.CallsEnabled = r.Countries, r.Agents, !r.CallsDisabled
	for to, set := range map[*int]int{&own.MaxConcurrentCalls: r.MaxConcurrent, &own.MaxConcurrentInbound: r.MaxInbound, &own.CallsPerHour: r.Calls,
		&own.CallsPerDestination: r.Destination, &own.ConfigurationsPerHour: r.Configurations, &own.NumberRequestsPerHour: r.NumberRequests,
		&own.RequestsPerHour: r.Requests, &own.MinutesPerDay: r.Minutes} {
		if set > 0 {
			*to = set
		}
	}
	slices.Sort(own.AllowedCountries)
	slices.Sort(own.AllowedAgents)
	return own
}

// readTogether reads rows of the Limits table, and a number if numberID is not empty, in one
// consistent read. It returns the rows by keyOf.
func (db *DB) readTogether(ctx context.Context, limits []row, numberID string) (map[string]row, error) {
	ask := map[string]types.KeysAndAttributes{db.table.Limits: {Keys: limits, ConsistentRead: aws.Bool(true)}}
	if numberID != "" {
		ask[db.table.Numbers] = types.KeysAndAttributes{Keys: []row{{"number_id": str(numberID)}}, ConsistentRead: aws.Bool(true)}
	}
	found := map[string]row{}
	err := db.batchGet(ctx, ask, func(raw row) error {
		found[keyOf(raw)] = raw
		return nil
	})
	return found, err
}

// keyOf is the key of a row of Limits or Numbers.
func keyOf(raw row) string {
	for _, name := range []string{"pk", "number_id"} {
		if v, ok := raw[name].(*types.AttributeValueMemberS); ok {
			return v.Value
		}
	}
	return ""
}

// Policy reads a user's policy, or the default if none was set, and the number of outbound calls
// that the user has active.
func (db *DB) Policy(ctx context.Context, userID string) (p account.Policy, active int, err error) {
	r, err := db.policyRow(ctx, policyKey(userID))
	return r.policy(), len(r.Active), err
}

func (db *DB) policyRow(ctx context.Context, key row) (policyRow, error) {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Limits, Key: key, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return policyRow{}, unavailable("read policy", err)
	}
	return decode[policyRow](out.Item)
}

// PutPolicy sets a user's policy for the platform's own use, without a line in the audit. A number
// that is 0 stays as it was, and so does the user's usage.
func (db *DB) PutPolicy(ctx context.Context, userID string, p account.Policy) error {
	set, values := policyUpdate(userID, p)
	values[":one"] = integer(1)
	_, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Limits, Key: policyKey(userID),
		UpdateExpression: aws.String(set + policyRemove(p) + " ADD revision :one"), ExpressionAttributeValues: values})
	return unavailable("put policy", err)
}

// policyUpdate is the SET part of an update that writes a user's policy. It leaves out numbers that
// are 0.
func policyUpdate(userID string, p account.Policy) (set string, values row) {
	sets, values := []string{enlist}, row{":user_shard": str(shard(userID))}
	assign := func(name string, v types.AttributeValue) {
		sets, values[":"+name] = append(sets, name+" = :"+name), v
	}
	for _, name := range slices.Sorted(maps.Keys(policyNumbers(&p))) {
		if n := *policyNumbers(&p)[name]; n > 0 {
			assign(name, integer(int64(n)))
		}
	}
	if len(p.AllowedCountries) > 0 {
		assign("countries", &types.AttributeValueMemberSS{Value: p.AllowedCountries})
	}
	if len(p.AllowedAgents) > 0 {
		assign("agents", &types.AttributeValueMemberSS{Value: p.AllowedAgents})
	}
	if !p.CallsEnabled {
		assign("calls_disabled", &types.AttributeValueMemberBOOL{Value: true})
	}
	return "SET " + strings.Join(sets, ", "), values
}

// policyRemove is the REMOVE part of that update. It removes empty lists, and the switch if calls
// are enabled.
func policyRemove(p account.Policy) string {
	var gone []string
	if len(p.AllowedCountries) == 0 {
		gone = append(gone, "countries")
	}
	if len(p.AllowedAgents) == 0 {
		gone = append(gone, "agents")
	}
	if p.CallsEnabled {
		gone = append(gone, "calls_disabled")
	}
	if gone == nil {
		return ""
	}
	return " REMOVE " + strings.Join(gone, ", ")
}

// SetPolicy sets a user's policy and returns it in its new state. It writes an audit line with the
// actor by and the subject "user_" followed by the user's id. A number that is 0 stays as it was,
// and so do agents that are nil. An empty list of agents allows any agent. If another administrator
// sets the policy at the same moment, the error is fault.Conflict.
func (db *DB) SetPolicy(ctx context.Context, userID string, p account.Policy, by string) (account.Policy, error) {
	old, err := db.policyRow(ctx, policyKey(userID))
	if err != nil {
		return account.Policy{}, err
	}
	before := old.policy()
	if p.AllowedAgents == nil {
		p.AllowedAgents = before.AllowedAgents
	}
	set, values := policyUpdate(userID, p) // a number that was never set stays unset
	was, is := policyNumbers(&before), policyNumbers(&p)
	for name, n := range is {
		if *n == 0 {
			*n = *was[name]
		}
	}
	values[":one"] = integer(1)
	entry := numberrequest.Entry{At: db.now(), Actor: by, Action: "policy_set", From: describe(before), To: describe(p)}
	return p, db.setAudited(ctx, policyKey(userID), set+policyRemove(p)+" ADD revision :one", values, old.Revision, "user_"+userID, entry)
}

// CallsSwitch reads the global switch of outbound calls. It is on until an administrator switches
// it off.
func (db *DB) CallsSwitch(ctx context.Context) (account.CallsSwitch, error) {
	r, err := db.policyRow(ctx, callsSwitch())
	return account.CallsSwitch{Enabled: !r.CallsDisabled, Reason: r.DisabledReason, ChangedAt: r.ChangedAt.Time, ChangedBy: r.ChangedBy}, err
}

// SetSwitch switches all users' outbound calls on or off. It writes an audit line with the subject
// "calls", the actor by and the reason, if any. When calls are switched on, the reason is kept only
// in the audit. Every call that is created after SetSwitch has returned obeys the switch.
func (db *DB) SetSwitch(ctx context.Context, enabled bool, reason, by string) error {
	old, err := db.policyRow(ctx, callsSwitch())
	if err != nil {
		return err
	}
	now := db.now()
	set := "SET revision = :next, changed_at = :at, changed_by = :by"
	values := row{":next": integer(old.Revision + 1), ":at": timestamp(now), ":by": str(by)}
	switch {
	case enabled:
		set += " REMOVE calls_disabled, disabled_reason"
	case reason == "":
		set += ", calls_disabled = :true REMOVE disabled_reason"
	default:
		set += ", calls_disabled = :true, disabled_reason = :reason"
		values[":reason"] = str(reason)
	}
	if !enabled {
		values[":true"] = &types.AttributeValueMemberBOOL{Value: true}
	}
	entry := numberrequest.Entry{At: now, Actor: by, Action: "calls_switched", From: onOff(!old.CallsDisabled), To: onOff(enabled), Note: reason}
	return db.setAudited(ctx, callsSwitch(), set, values, old.Revision, "calls", entry)
}

// setAudited applies an update to a row that is at a revision, and writes the audit line. The
// update must raise the revision.
func (db *DB) setAudited(ctx context.Context, key row, set string, values row, revision int64, subject string, entry numberrequest.Entry) error {
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
	if _, failed := conditionsFailed(err); failed {
		return fault.New(fault.Conflict, "CONFLICT", "another request is changing this at the same moment")
	}
	return unavailable("set policy", err)
}

// describe is the text of a policy in an audit line.
func describe(p account.Policy) string {
	str := fmt.Sprintf("calls %s, %d at a time, countries %s, agents %s", onOff(p.CallsEnabled), p.MaxConcurrentCalls,
		cmp.Or(strings.Join(p.AllowedCountries, " "), "none"), cmp.Or(strings.Join(p.AllowedAgents, " "), "any"))
	usual := account.DefaultPolicy()
	numbers, defaults := policyNumbers(&p), policyNumbers(&usual)
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		if *numbers[name] != *defaults[name] && name != "max_concurrent" {
			str += fmt.Sprintf(", %s %d", name, *numbers[name])
		}
	}
	return str
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
