package platform

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	dynamodbsdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/oklog/ulid/v2"

	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/number"
)

// The demo user and the number that is theirs.
const (
	demoUser        = "demo"
	demoNumber      = "+2348012345678"
	demoAgent       = "demo-agent"
	carrierUser     = "kros"
	carrierPassword = "let-me-call"

	// Whoever tries the platform out, or loads it, is not to run into the limit
	// of 1000 requests an hour that every other key has.
	demoHourLimit = 1_000_000
)

// createTables makes the tables of the template that are not there yet.
func createTables(ctx context.Context, db *dynamodbsdk.Client, tables []template.Table) error {
	for _, t := range tables {
		_, err := db.CreateTable(ctx, t.Create)
		if _, exists := errors.AsType[*types.ResourceInUseException](err); exists {
			if err := checkTable(ctx, db, t.Create); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("create table %s: %w", aws.ToString(t.Create.TableName), err)
		}
		if t.TTLAttribute == "" {
			continue
		}
		_, err = db.UpdateTimeToLive(ctx, &dynamodbsdk.UpdateTimeToLiveInput{TableName: t.Create.TableName,
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &t.TTLAttribute, Enabled: aws.Bool(true)}})
		if err != nil {
			return fmt.Errorf("expiry of table %s: %w", aws.ToString(t.Create.TableName), err)
		}
	}
	return nil
}

// checkTable says what to do about a table that an older version has made: the
// emulator adds no index and no stream to a table.
func checkTable(ctx context.Context, db *dynamodbsdk.Client, want *dynamodbsdk.CreateTableInput) error {
	out, err := db.DescribeTable(ctx, &dynamodbsdk.DescribeTableInput{TableName: want.TableName})
	if err != nil {
		return fmt.Errorf("describe table %s: %w", aws.ToString(want.TableName), err)
	}
	if want.StreamSpecification != nil && out.Table.LatestStreamArn == nil {
		return fmt.Errorf("table %s is of an older version and lacks its stream: `make clean-local` removes it", aws.ToString(want.TableName))
	}
	for _, index := range want.GlobalSecondaryIndexes {
		if !slices.ContainsFunc(out.Table.GlobalSecondaryIndexes, func(d types.GlobalSecondaryIndexDescription) bool {
			return aws.ToString(d.IndexName) == aws.ToString(index.IndexName)
		}) {
			return fmt.Errorf("table %s is of an older version and lacks the index %s: `make clean-local` removes it",
				aws.ToString(want.TableName), aws.ToString(index.IndexName))
		}
	}
	return nil
}

// seed gives the demo user a key and a number, and connects the number to the
// carrier and the demo agent through the API, as any user would. The carrier
// may have moved since the last start, so that is done each time.
func (p *Platform) seed(ctx context.Context) error {
	if err := p.seedKey(ctx); err != nil {
		return err
	}
	if err := p.DB.PutPolicy(ctx, demoUser, demoPolicy()); err != nil {
		return err
	}
	p.Access.NumberID = number.ID(demoNumber)
	if _, err := p.DB.Number(ctx, demoUser, p.Access.NumberID); err != nil {
		n := number.Number{ID: p.Access.NumberID, E164: demoNumber, Country: "NG", Type: "mobile",
			Capabilities: []string{"inbound", "outbound"}, UserID: demoUser, AssignedAt: time.Now(), UpdatedAt: time.Now()}
		if err := p.DB.PutNumber(ctx, n); err != nil {
			return err
		}
	}
	err := p.call(ctx, http.MethodPost, "/outbound-calls/phone-numbers/"+p.Access.NumberID+"/configure", map[string]any{
		"sip_trunk": map[string]any{"name": "Simulated carrier", "address": p.Access.Carrier, "auth_username": carrierUser,
			"auth_password": carrierPassword, "destination_country": "NG", "transport": "udp", "allowed_addresses": []string{"127.0.0.1/32"}},
		"dispatch_rule": map[string]any{"rule_name": "Demo line", "room_prefix": "demo-", "agent_name": demoAgent},
	}, nil)
	if err != nil {
		return fmt.Errorf("configure the demo number: %w", err)
	}
	return nil
}

// demoPolicy allows the demo user the most that a policy can. An hour of trying
// things out, or of load, must not end at the limits of other users.
func demoPolicy() account.Policy {
	return account.Policy{
		AllowedCountries:      []string{"NG", "US"},
		CallsEnabled:          true,
		MaxConcurrentCalls:    account.MaxPolicyCalls,
		MaxConcurrentInbound:  account.MaxPolicyInbound,
		CallsPerHour:          account.MaxPolicyPerHour,
		CallsPerDestination:   account.MaxPolicyPerHour,
		ConfigurationsPerHour: account.MaxPolicyPerHour,
		NumberRequestsPerHour: account.MaxPolicyPerHour,
		RequestsPerHour:       account.MaxPolicyPerHour,
		MinutesPerDay:         account.MaxPolicyMinutes,
	}
}

// seedKey keeps the key of the last start if the database still knows it.
func (p *Platform) seedKey(ctx context.Context) error {
	if id, sum, ok := account.ParseKey(p.Access.APIKey); ok {
		if k, err := p.DB.UseKey(ctx, id, sum); err == nil && k.UserID == demoUser {
			return nil
		}
	}
	id := "key_" + ulid.Make().String()
	k, text, err := account.Issue(account.Key{ID: id, UserID: demoUser, Name: "demo", Scopes: account.Scopes(), CreatedAt: time.Now(),
		HourLimit: demoHourLimit}, rand.Reader)
	if err != nil {
		return err
	}
	p.Access.APIKey = text
	return p.DB.PutKey(ctx, k)
}

// callAgents lets the demo agent answer to every agent name that the demo
// user's numbers are configured with.
func (p *Platform) callAgents(ctx context.Context) {
	numbers, _, err := p.DB.NumbersOf(ctx, demoUser, 100, "")
	if err != nil {
		p.log.Error("agent names", "err", err)
		return
	}
	for _, n := range numbers {
		if n.Rule == nil {
			continue
		}
		if err := p.Agent.Register(n.Rule.AgentName); err != nil {
			p.log.Error("register agent", "agent", n.Rule.AgentName, "err", err)
		}
	}
}

// call sends a request to the API as the demo user and decodes the answer into
// out unless that is nil. An answer that is not 2xx is an error with its text.
func (p *Platform) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.Access.URL+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+p.Access.APIKey)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}
