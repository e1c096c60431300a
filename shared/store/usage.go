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

// A user's row in the Limits table counts what they use, beside their policy, so
// that accepting a call is one write whatever it counts against:
//
//	active_calls         the ids of outbound calls that have not ended, a set, so
//	                     that taking a call out twice does nothing
//	hour_<hour>          calls and transfers that began in a clock hour (UTC)
//	to_<hour>_<number>   of them those to one number
//	day_<date>           seconds of talk of a day (UTC): a call reserves the longest
//	                     it may last and gives back the rest when it ends
//	inbound              calls that came in and have not ended (inbound.go), and
//	inbound_<number id>  of them those to one number
//
// A window is an attribute of its own, so that no write has to see an old one
// end. Windows that are over are removed with the next call.
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

// usage is what a user's row says at a moment.
type usage struct {
	policy   account.Policy
	revision int64
	active   []string
	counts   map[string]int
	stale    []string // windows that are over
}

// mostStale is how many windows one write removes at most: an update expression
// has 4 KB.
const mostStale = 50

func usageOf(row item, now time.Time) (usage, error) {
	r, err := decode[policyRow](row)
	u := usage{policy: r.policy(), revision: r.Revision, active: r.Active, counts: map[string]int{}}
	hour, day := hourOf(now.Add(-time.Hour)), now.Add(-24*time.Hour).UTC().Format(dayForm)
	for name, v := range row {
		n, ok := v.(*types.AttributeValueMemberN)
		if !ok {
			continue
		}
		u.counts[name], _ = strconv.Atoi(n.Value) // what is not a count is never asked for
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

// Permit is what a user may do with calls, and has used of it, as it was read.
type Permit struct {
	Home string // the country of the number that is called from
	usage
	load load
	at   time.Time
}

// Hour is the user's hour of calls.
func (p Permit) Hour() account.Limit {
	if p.at.IsZero() {
		return account.Limit{} // never read
	}
	return account.Limit{Name: "calls", Quota: p.policy.CallsPerHour, Used: p.counts[hourAttribute(p.at)], Resets: ends(p.at)}
}

// Allow says whether the user may have an agent call a number of a country, as far as
// the permit knows. It is fault.Forbidden CALLS_DISABLED, DESTINATION_NOT_ALLOWED or
// AGENT_NOT_ALLOWED. An empty agent is the one that is on the call already.
func (p Permit) Allow(e164, country, agent string) error {
	switch {
	case !p.policy.CallsEnabled:
		return callsDisabled()
	case !p.policy.AllowsNumber(e164, country, p.Home):
		return fault.New(fault.Forbidden, "DESTINATION_NOT_ALLOWED", "calls to %s are not allowed for this account", country)
	case agent != "" && !p.policy.AllowsAgent(agent):
		return agentNotAllowed(agent)
	}
	return nil
}

func agentNotAllowed(agent string) error {
	return fault.New(fault.Forbidden, "AGENT_NOT_ALLOWED", "the agent %s is not allowed for this account", agent)
}

// CallPermit reads, at once, what a user may do with calls at this moment, and
// one of their numbers; with an empty numberID no number. It is fault.Forbidden
// CALLS_DISABLED, with the permit, when calls are switched off for everybody,
// and fault.NotFound when the number is not the user's. The rest is decided by
// CreateCall.
//
// The switch of everybody is read here and again before the dial. It is not a
// condition of the transaction, where all users' calls would meet at its one row
// and cancel each other.
func (db *DB) CallPermit(ctx context.Context, userID, numberID string) (number.Number, Permit, error) {
	n, permit, everybody, err := db.permit(ctx, userID, numberID, loadKey())
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

// permit reads a user's row, the switch of everybody, more rows of the Limits table
// and a number, whoever owns it, at once.
func (db *DB) permit(ctx context.Context, userID, numberID string, more ...item) (n number.Number, p Permit, everybody policyRow, err error) {
	now := db.now()
	found, err := db.readTogether(ctx, append([]item{policyKey(userID), callsSwitch()}, more...), numberID)
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

func callsDisabled() error {
	return fault.New(fault.Forbidden, "CALLS_DISABLED", "outbound calls are switched off")
}

// spending is what a call or a transfer adds to its user's row.
type spending struct {
	userID  string
	to      string // the number called
	at      time.Time
	callID  string // joins active_calls; empty for a transfer, whose call is there
	seconds int    // of talk, to reserve
}

func spendingOf(c call.Call) spending {
	return spending{userID: c.UserID, to: c.PhoneNumber, at: c.CreatedAt, callID: c.ID, seconds: c.MaxDuration}
}

// refusal says which of a user's limits does not allow s, given what u shows, and
// how that limit stands: fault.Limited CONCURRENT_LIMIT_EXCEEDED or
// RATE_LIMIT_EXCEEDED; nil if all do.
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
	placePause    = 10 * time.Second // after which a user may ask again whether one of their calls has ended
	secondsPerDay = 24 * 60 * 60
)

// accept is the write that counts s, if the user's policy is still the one that
// was read and none of its limits is reached.
func (db *DB) accept(u usage, s spending) types.TransactWriteItem {
	p := u.policy
	names := map[string]string{"#hour": hourAttribute(s.at), "#to": destinationAttribute(s.at, s.to)}
	values := item{":one": integer(1), ":calls": integer(int64(p.CallsPerHour)), ":same": integer(int64(p.CallsPerDestination))}
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
		if s.seconds > 60*p.MinutesPerDay { // too long for a fresh day as well
			conditions = append(conditions, "attribute_exists(#day)")
		}
	}
	values[":user_shard"] = text(shard(s.userID))
	update := "SET " + enlist + " " + add + forget(u.stale, names)
	return types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Limits, Key: policyKey(s.userID), UpdateExpression: &update,
		ConditionExpression: aws.String(strings.Join(conditions, " AND ")), ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
}

// forget is the part of an update that removes windows that are over, except for
// those in names, which the update counts in: a caller's clock may be behind. It
// adds a name for each window it removes.
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

// release is the write that takes an ended call out of its user's active calls
// and gives back the seconds it has not talked. With all it gives back the call
// itself too, as one that was never accepted.
func (db *DB) release(c call.Call, all bool) types.TransactWriteItem {
	u := &types.Update{TableName: &db.table.Limits, Key: policyKey(c.UserID),
		UpdateExpression:         aws.String("ADD #day :back DELETE active_calls :call"),
		ExpressionAttributeNames: map[string]string{"#day": dayAttribute(c.CreatedAt)},
		ExpressionAttributeValues: item{":back": integer(int64(min(0, c.Duration()-c.MaxDuration))),
			":call": &types.AttributeValueMemberSS{Value: []string{c.ID}}}}
	if all {
		u.UpdateExpression = aws.String("ADD #day :back, #hour :less, #to :less DELETE active_calls :call")
		u.ExpressionAttributeNames["#hour"] = hourAttribute(c.CreatedAt)
		u.ExpressionAttributeNames["#to"] = destinationAttribute(c.CreatedAt, c.PhoneNumber)
		u.ExpressionAttributeValues[":less"] = integer(-1)
	}
	return types.TransactWriteItem{Update: u}
}
