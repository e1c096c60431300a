package store

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/shared/event"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
)

// The Numbers table: one row per number. Its key is derived from the number, so that a number
// exists once. The index by_user holds the numbers that have an owner. The index inventory, over
// shards, holds the available, assigned and retired numbers, by country and type. While a request
// configures a number, the row carries the lease of that request. A lease that expired without
// being given back means that a configuration stopped halfway. The index leased, over shards, finds
// such leases.
type numberRow struct {
	ID           string    `dynamodbav:"number_id"`
	E164         string    `dynamodbav:"e164"`
	Country      string    `dynamodbav:"country"`
	Type         string    `dynamodbav:"number_type"`
	Capabilities []string  `dynamodbav:"capabilities"`
	Provider     string    `dynamodbav:"provider,omitempty"`
	Inventory    string    `dynamodbav:"inventory"`
	Kind         string    `dynamodbav:"kind"`
	UserID       string    `dynamodbav:"user_id,omitempty"` // a key of by_user, so omitted when empty
	AssignedAt   Time      `dynamodbav:"assigned_at"`
	Retired      bool      `dynamodbav:"retired,omitempty"`
	Trunk        *trunkRow `dynamodbav:"trunk"`
	Rule         *ruleRow  `dynamodbav:"rule"`
	Fault        bool      `dynamodbav:"fault"`
	UpdatedAt    Time      `dynamodbav:"updated_at"`
	LeaseOwner   string    `dynamodbav:"lease_owner,omitempty"`
	LeaseUntil   Time      `dynamodbav:"lease_until"`
	SavedBy      string    `dynamodbav:"saved_by,omitempty"` // owner of the lease of the last save
}

type trunkRow struct {
	Name               string   `dynamodbav:"name"`
	Address            string   `dynamodbav:"address,omitempty"`
	Numbers            []string `dynamodbav:"numbers"`
	AuthUsername       string   `dynamodbav:"auth_username,omitempty"`
	HasAuthPassword    bool     `dynamodbav:"has_auth_password"`
	DestinationCountry string   `dynamodbav:"destination_country,omitempty"`
	Transport          string   `dynamodbav:"transport"`
	Directions         []string `dynamodbav:"directions"`
	AllowedAddresses   []string `dynamodbav:"allowed_addresses,omitempty"`
	OutboundID         string   `dynamodbav:"outbound_trunk_id,omitempty"`
	InboundID          string   `dynamodbav:"inbound_trunk_id,omitempty"`
}

type ruleRow struct {
	Name       string `dynamodbav:"name"`
	RoomPrefix string `dynamodbav:"room_prefix"`
	AgentName  string `dynamodbav:"agent_name"`
	ID         string `dynamodbav:"dispatch_rule_id,omitempty"`

	MaxConcurrent int `dynamodbav:"max_concurrent,omitempty"`
	MaxDuration   int `dynamodbav:"max_duration,omitempty"`
}

func numberRowOf(n number.Number) numberRow {
	return numberRow{ID: n.ID, E164: n.E164, Country: n.Country, Type: n.Type, Capabilities: n.Capabilities, Provider: n.Provider,
		Inventory: available(n), Kind: kindOf(n), UserID: n.UserID, AssignedAt: Time{n.AssignedAt}, Retired: n.Retired, Trunk: (*trunkRow)(n.Trunk),
		Rule: (*ruleRow)(n.Rule), Fault: n.Fault, UpdatedAt: Time{n.UpdatedAt}}
}

// numberFrom decodes a row. An expired lease counts as a broken configuration.
func (db *DB) numberFrom(raw row) (number.Number, error) {
	r, err := decode[numberRow](raw)
	abandoned := !r.LeaseUntil.IsZero() && !r.LeaseUntil.After(db.now())
	return number.Number{ID: r.ID, E164: r.E164, Country: r.Country, Type: r.Type, Capabilities: r.Capabilities, Provider: r.Provider,
		UserID: r.UserID, AssignedAt: r.AssignedAt.Time, Retired: r.Retired, Trunk: (*number.Trunk)(r.Trunk), Rule: (*number.Rule)(r.Rule),
		Fault: r.Fault || abandoned, UpdatedAt: r.UpdatedAt.Time}, err
}

// Number reads a number of a user. A number that does not exist or belongs to another user
// is fault.NotFound.
func (db *DB) Number(ctx context.Context, userID, id string) (number.Number, error) {
	out, err := db.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &db.table.Numbers, Key: row{"number_id": str(id)},
		ConsistentRead: aws.Bool(true)})
	if err != nil {
		return number.Number{}, unavailable("read number", err)
	}
	n, err := db.numberFrom(out.Item)
	if err == nil && (n.UserID == "" || n.UserID != userID) {
		return number.Number{}, fault.Missing("phone number")
	}
	return n, err
}

// NumbersOf lists a user's numbers, sorted by id. It returns at most limit numbers (1 or more)
// after the id after. next is the after of the next page, empty at the end. A number assigned a
// moment ago may be missing.
func (db *DB) NumbersOf(ctx context.Context, userID string, limit int, after string) (numbers []number.Number, next string, err error) {
	in := &dynamodb.QueryInput{TableName: &db.table.Numbers, IndexName: aws.String("by_user"), Limit: aws.Int32(int32(limit) + 1),
		KeyConditionExpression: aws.String("user_id = :user"), ExpressionAttributeValues: row{":user": str(userID)}}
	if after != "" {
		in.ExclusiveStartKey = row{"user_id": str(userID), "number_id": str(after)}
	}
	out, err := db.client.Query(ctx, in)
	if err != nil {
		return nil, "", unavailable("list numbers", err)
	}
	more := len(out.Items) > limit || out.LastEvaluatedKey != nil
	for _, raw := range out.Items[:min(limit, len(out.Items))] {
		n, err := db.numberFrom(raw)
		if err != nil {
			return nil, "", err
		}
		numbers = append(numbers, n)
	}
	if more && len(numbers) > 0 {
		next = numbers[len(numbers)-1].ID
	}
	return numbers, next, nil
}

// PutNumber adds a number to the inventory, with its owner if it has one. A number that is already
// there is fault.Conflict, but adding it again for the same owner succeeds and changes nothing.
func (db *DB) PutNumber(ctx context.Context, n number.Number) error {
	raw, err := encode(numberRowOf(n))
	if err != nil {
		return err
	}
	_, err = db.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &db.table.Numbers, Item: raw,
		ConditionExpression:                 aws.String("attribute_not_exists(number_id)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	if there, failed := conditionFailed(err); failed {
		old, err := db.numberFrom(there)
		if err == nil && old.UserID != n.UserID {
			err = fault.New(fault.Conflict, "CONFLICT", "the phone number is in the inventory already")
		}
		return err
	}
	return unavailable("put number", err)
}

// LeaseNumber takes the lease of a user's number for ttl, so that one request at a time configures
// the number, and returns the number. While another owner holds the lease, the error is
// fault.Conflict. A number that is not the user's is fault.NotFound. owner is a random token.
// Repeating the call with the same token is harmless.
func (db *DB) LeaseNumber(ctx context.Context, userID, id, owner string, ttl time.Duration) (number.Number, error) {
	now := db.now()
	out, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Numbers, Key: row{"number_id": str(id)},
		UpdateExpression:                    aws.String("SET lease_owner = :owner, lease_until = :until, lease_shard = :shard"),
		ConditionExpression:                 aws.String("user_id = :user AND (attribute_not_exists(lease_until) OR lease_until <= :now OR lease_owner = :owner)"),
		ExpressionAttributeValues:           row{":owner": str(owner), ":until": timestamp(now.Add(ttl)), ":now": timestamp(now), ":user": str(userID), ":shard": str(shard(id))},
		ReturnValues:                        types.ReturnValueAllOld, // the old row shows an abandoned lease as a fault
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	if raw, failed := conditionFailed(err); failed {
		n, err := db.numberFrom(raw)
		switch {
		case err != nil:
			return number.Number{}, err
		case n.UserID == "" || n.UserID != userID:
			return number.Number{}, fault.Missing("phone number")
		}
		return number.Number{}, &fault.Error{Kind: fault.Conflict, Code: "CONFLICT",
			Detail: "the phone number is being configured by another request", RetryAfter: 5 * time.Second}
	}
	if err != nil {
		return number.Number{}, unavailable("lease number", err)
	}
	return db.numberFrom(out.Attributes)
}

// SaveConfiguration writes the number's trunk, rule and fault and gives the lease back, if owner
// still holds it. Otherwise it writes nothing and the error is fault.Conflict.
func (db *DB) SaveConfiguration(ctx context.Context, n number.Number, owner string) error {
	raw, err := encodeConfiguration(n)
	if err != nil {
		return err
	}
	told, err := db.event(event.Configured(n))
	if err != nil {
		return err
	}
	raw[":owner"], raw[":at"], raw[":user"] = str(owner), timestamp(n.UpdatedAt), str(n.UserID)
	save := types.TransactWriteItem{Update: &types.Update{TableName: &db.table.Numbers, Key: row{"number_id": str(n.ID)},
		UpdateExpression:                    aws.String("SET trunk = :trunk, #rule = :rule, fault = :fault, updated_at = :at, saved_by = :owner REMOVE lease_owner, lease_until, lease_shard"),
		ConditionExpression:                 aws.String("lease_owner = :owner AND user_id = :user"),
		ExpressionAttributeNames:            map[string]string{"#rule": "rule"},
		ExpressionAttributeValues:           raw,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}}
	err = db.transact(ctx, save, told)
	rows, failed := conditionsFailed(err)
	if !failed {
		return unavailable("save configuration", err)
	}
	// If owner saved the configuration, its first answer was lost and the SDK repeated the write.
	r, err := decode[numberRow](rows.of(save))
	if err == nil && r.SavedBy != owner {
		err = fault.New(fault.Conflict, "CONFLICT", "the phone number was configured by another request meanwhile")
	}
	return err
}

// ReleaseLease gives the lease back and changes nothing else but the fault. If owner no longer
// holds the lease, it does nothing and returns no error.
func (db *DB) ReleaseLease(ctx context.Context, n number.Number, owner string) error {
	_, err := db.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &db.table.Numbers, Key: row{"number_id": str(n.ID)},
		UpdateExpression:          aws.String("SET fault = :fault REMOVE lease_owner, lease_until, lease_shard"),
		ConditionExpression:       aws.String("lease_owner = :owner"),
		ExpressionAttributeValues: row{":owner": str(owner), ":fault": &types.AttributeValueMemberBOOL{Value: n.Fault}}})
	if _, failed := conditionFailed(err); failed {
		return nil
	}
	return unavailable("release number", err)
}

// encodeConfiguration makes the values of the attributes that a configuration changes. A trunk or
// rule that does not exist is written as NULL.
func encodeConfiguration(n number.Number) (row, error) {
	raw, err := encode(numberRowOf(n))
	if err != nil {
		return nil, err
	}
	values := row{":fault": raw["fault"], ":trunk": raw["trunk"], ":rule": raw["rule"]}
	for name, v := range values {
		if v == nil {
			values[name] = &types.AttributeValueMemberNULL{Value: true}
		}
	}
	return values, nil
}
