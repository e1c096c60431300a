package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
)

// A user's row in the Limits table counts the user's usage next to their policy, so that accepting
// a call is one write, no matter how many limits apply:
//
//	active_calls         the ids of outbound calls that have not ended. It is a set, so that
//	                     removing a call twice does nothing.
//	hour_<hour>          calls and transfers that began in a clock hour (UTC)
//	to_<hour>_<number>   those among them that went to one number
//	day_<date>           seconds of talk of a day (UTC). A call reserves its maximum duration and
//	                     gives back the rest when it ends.
//	inbound              inbound calls that have not ended (inbound.go)
//	inbound_<number id>  those among them that came to one number
//
// Each window has an attribute of its own, so no write has to reset an old window. The next call or
// transfer removes the windows that are over.
const (
	hourPrefix = "hour_"
	toPrefix   = "to_"
	dayPrefix  = "day_"
)

func hourAttribute(at time.Time) string { return hourPrefix + hourOf(at) }

func destinationAttribute(at time.Time, number string) string {
	return toPrefix + hourOf(at) + "_" + number
}

func dayAttribute(at time.Time) string { return dayPrefix + at.UTC().Format(dayForm) }

// usage is a user's row at a moment.
type usage struct {
	policy   account.Policy
	revision int64
	active   []string
	counts   map[string]int
	stale    []string // windows that are over
}

// mostStale is the maximum number of windows that one write removes, because an update expression
// is limited to 4 KB.
const mostStale = 50

func usageOf(raw row, now time.Time) (usage, error) {
	r, err := decode[policyRow](raw)
	u := usage{policy: r.policy(), revision: r.Revision, active: r.Active, counts: map[string]int{}}
	hour, day := hourOf(now.Add(-time.Hour)), now.Add(-24*time.Hour).UTC().Format(dayForm)
	for name, v := range raw {
		n, ok := v.(*types.AttributeValueMemberN)
		if !ok {
			continue
		}
		u.counts[name], _ = strconv.Atoi(n.Value) // other numbers are never used
		for prefix, oldest := range map[string]string{hourPrefix: hour, toPrefix: hour, dayPrefix: day} {
			if window, found := strings.CutPrefix(name, prefix); found && window < oldest {
				u.stale = append(u.stale, name)
			}
		}
	}
	slices.Sort(u.stale)
	u.stale = u.stale[:min(mostStale, len(u.stale))]
	return u, err
}

// Permit is a user's policy and usage of calls, as they were read.
type Permit struct {
	Home string // country of the number that the user calls from
	usage
	load load
	at   time.Time
}

// Hour is the user's limit of calls in an hour. It is zero if the permit was never read.
func (p Permit) Hour() account.Limit {
	if p.at.IsZero() {
		return account.Limit{} // never read
	}
	return account.Limit{Name: "calls", Quota: p.policy.CallsPerHour, Used: p.counts[hourAttribute(p.at)], Resets: ends(p.at)}
}

// Allow checks whether the user's policy allows a call, as far as the permit knows: see
// account.Policy.Allow.
func (p Permit) Allow(e164, country, agent string) error {
	return p.policy.Allow(e164, country, p.Home, agent)
}

// CallPermit reads a user's current policy and usage of calls and one of the user's numbers, in one
// request. With an empty numberID it reads no number. The error is fault.Forbidden CALLS_DISABLED,
// with the permit, if calls are switched off globally, and fault.NotFound if the number is not the
// user's. CreateCall checks the rest.
//
// The global switch is read here and again before the dial. It is not a condition of
// CreateCall's transaction, because the calls of all users would then meet at that one row and
// cancel each other.
func (db *DB) CallPermit(ctx context.Context, userID, numberID string) (number.Number, Permit, error) {
	n, permit, everybody, err := db.permit(ctx, userID, numberID, loadKey())
	switch {
	case err != nil:
		return number.Number{}, permit, err
	case everybody.CallsDisabled:
		return n, permit, account.CallsDisabled()
	case numberID != "" && (n.UserID == "" || n.UserID != userID):
		return number.Number{}, permit, fault.Missing("phone number")
	}
	return n, permit, nil
}

// permit reads a user's row, the global switch, more rows of the Limits table and a number in one
// request. It does not check the owner of the number.
func (db *DB) permit(ctx context.Context, userID, numberID string, more ...row) (n number.Number, p Permit, everybody policyRow, err error) {
	now := db.now()
	found, err := db.readTogether(ctx, append([]row{policyKey(userID), callsSwitch()}, more...), numberID)
	if err != nil {
		return n, p, everybody, err
	}
	if p.usage, err = usageOf(found[keyOf(policyKey(userID))], now); err != nil {
		return n, p, everybody, err
	}
	if p.load, err = decode[load](found[keyOf(loadKey())]); err != nil {
		return n, p, everybody, err
	}
	if everybody, err = decode[policyRow](found[keyOf(callsSwitch())]); err != nil {
		return n, p, everybody, err
	}
	n, err = db.numberFrom(found[numberID])
	p.Home, p.at = n.Country, now
	return n, p, everybody, err
}

// spending is the usage that a call or a transfer adds to its user's row.
type spending struct {
	userID  string
	to      string // the number called
	at      time.Time
	callID  string // added to active_calls; empty for a transfer, whose call is already in it
	seconds int    // of talk time to reserve
}

func spendingOf(c call.Call) spending {
	return spending{userID: c.UserID, to: c.Remote, at: c.CreatedAt, callID: c.ID, seconds: c.MaxDuration}
}

// refusal returns the limit of the user that does not allow s, given the usage u, and its error:
// fault.Limited CONCURRENT_LIMIT_EXCEEDED or RATE_LIMIT_EXCEEDED. The error is nil if all limits
// allow s.
func (u usage) refusal(s spending) (account.Limit, error) {
	p, day := u.policy, s.at.UTC().Truncate(24*time.Hour).Add(24*time.Hour)
	calls, same, talked := u.counts[hourAttribute(s.at)], u.counts[destinationAttribute(s.at, s.to)], u.counts[dayAttribute(s.at)]
	over := (talked + s.seconds - 60*p.MinutesPerDay + 59) / 60
	var l account.Limit
	var why string
	switch {
	case s.callID != "" && len(u.active) >= p.MaxConcurrentCalls:
		l = account.Limit{Name: "concurrent_calls", Quota: p.MaxConcurrentCalls, Used: len(u.active), Resets: s.at.Add(placePause), Window: account.NoWindow}
		return l, &fault.Error{Kind: fault.Limited, Code: "CONCURRENT_LIMIT_EXCEEDED", RetryAfter: placePause,
			Detail: fmt.Sprintf("you can have %d calls at a time: one must end first", p.MaxConcurrentCalls)}
	case calls >= p.CallsPerHour:
		l = account.Limit{Name: "calls", Quota: p.CallsPerHour, Used: calls, Resets: ends(s.at)}
		why = fmt.Sprintf("a user can make %d calls an hour", p.CallsPerHour)
	case same >= p.CallsPerDestination:
		l = account.Limit{Name: "calls_to_number", Quota: p.CallsPerDestination, Used: same, Resets: ends(s.at)}
		why = fmt.Sprintf("a user can call one number %d times an hour", p.CallsPerDestination)
	case s.callID != "" && over > 0:
		l = account.Limit{Name: "minutes", Quota: p.MinutesPerDay, Used: (talked + 59) / 60, Resets: day, Window: secondsPerDay}
		why = fmt.Sprintf("a user can talk %d minutes a day, and this call may last %d more than are left: ask for a shorter max_duration_seconds, or wait",
			p.MinutesPerDay, over)
	default:
		return l, nil
	}
	return l, &fault.Error{Kind: fault.Limited, Code: "RATE_LIMIT_EXCEEDED", RetryAfter: l.Resets.Sub(s.at), Detail: why}
}

const (
	placePause    = 10 * time.Second // suggested wait at the limit of concurrent calls
	secondsPerDay = 24 * 60 * 60
)

// accept is the write that counts s, if the user's policy has not changed since it was read and no
// limit is reached.
func (db *DB) accept(u usage, s spending) types.TransactWriteItem {
	p := u.policy
	names := map[string]string{"#hour": hourAttribute(s.at), "#to": destinationAttribute(s.at, s.to)}
	values := row{":one": integer(1), ":calls": integer(int64(p.CallsPerHour)), ":same": integer(int64(p.CallsPerDestination))}
	add := "ADD #hour :one, #to :one"
	conditions := []string{"(attribute_not_exists(#hour) OR #hour < :calls)", "(attribute_not_exists(#to) OR #to < :same)"}
	if u.revision == 0 {
		conditions = append(conditions, "attribute_not_exists(revision)")
	} else {
		conditions, values[":revision"] = append(conditions, "revision = :revision"), integer(u.revision)
	}
	if s.callID != "" {
		names["#day"] = dayAttribute(s.at)
		values[":call"] = &types.AttributeValueMemberSS{Value: []string{s.callID}}
		values[":most"], values[":seconds"] = integer(int64(p.MaxConcurrentCalls)), integer(int64(s.seconds))
		values[":rest"] = integer(int64(60*p.MinutesPerDay - s.seconds))
		add += ", #day :seconds, active_calls :call"
		conditions = append(conditions, "(attribute_not_exists(active_calls) OR size(active_calls) < :most)",
			"(attribute_not_exists(#day) OR #day <= :rest)")
		if s.seconds > 60*p.MinutesPerDay { // the call is too long even for a day without calls
			conditions = append(conditions, "attribute_exists(#day)")
		}
	}
	values[":user_shard"] = str(shard(s.userID))
	update := "SET " + enlist + " " + add + forget(u.stale, names)
	return types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Limits, Key: policyKey(s.userID), UpdateExpression: &update,
		ConditionExpression: aws.String(strings.Join(conditions, " AND ")), ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
}

// forget is the part of an update that removes windows that are over. It keeps the windows in
// names, in which the update counts, because the clock of the writer may be behind. It adds a name
// to names for each window that it removes.
func forget(windows []string, names map[string]string) string {
	counted := slices.Collect(maps.Values(names))
	var gone []string
	for _, window := range windows {
		if !slices.Contains(counted, window) {
			name := fmt.Sprintf("#s%d", len(gone))
			names[name], gone = window, append(gone, name)
		}
	}
	if gone == nil {
		return ""
	}
	return " REMOVE " + strings.Join(gone, ", ")
}

// release is the write that removes an ended call from its user's active calls and gives back the
// reserved seconds that were not talked. With all, it also takes the call out of the counts of its
// hour, as if the call had never been accepted.
func (db *DB) release(c call.Call, all bool) types.TransactWriteItem {
	u := &types.Update{TableName: &db.table.Limits, Key: policyKey(c.UserID),
		UpdateExpression:         aws.String("ADD #day :back DELETE active_calls :call"),
		ExpressionAttributeNames: map[string]string{"#day": dayAttribute(c.CreatedAt)},
		ExpressionAttributeValues: row{":back": integer(int64(min(0, c.Duration()-c.MaxDuration))),
			":call": &types.AttributeValueMemberSS{Value: []string{c.ID}}}}
	if all {
		u.UpdateExpression = aws.String("ADD #day :back, #hour :less, #to :less DELETE active_calls :call")
		u.ExpressionAttributeNames["#hour"] = hourAttribute(c.CreatedAt)
		u.ExpressionAttributeNames["#to"] = destinationAttribute(c.CreatedAt, c.Remote)
		u.ExpressionAttributeValues[":less"] = integer(-1)
	}
	return types.TransactWriteItem{Update: u}
}
