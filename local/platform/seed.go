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
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	dynamodbsdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/id"
	"github.com/krosai/telephony/shared/number"
)

// DemoNumber is the demo user's number, unless an administrator takes it away.
const DemoNumber = "+2348012345678"

// The demo user, the agent of the demo user's number, and the carrier's credentials.
const (
	demoUser        = "demo"
	demoAgent       = "demo-agent"
	carrierUser     = "kros"
	carrierPassword = "let-me-call"

	// Users who try the platform out or load it must not reach the limit of 1000 requests an hour
	// that every other key has.
	demoHourLimit = 1_000_000

	demoKeysPerHour = 200
)

// createTables creates the template's missing tables.
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

// checkTable explains how to replace a table of an older version, because the emulator cannot add
// an index or a stream to a table.
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

// seed gives the demo user a key and a number, and connects the number to the carrier and the demo
// agent through the API, as any user would. It does so at each start, because the carrier's address
// may have changed. api is a client that reaches the API before its port is served.
func (p *Platform) seed(ctx context.Context, api *http.Client) error {
	if err := p.seedKey(ctx); err != nil {
		return err
	}
	if err := p.DB.PutPolicy(ctx, demoUser, demoPolicy()); err != nil {
		return err
	}
	if err := p.endLeases(ctx); err != nil {
		return err
	}
	if err := p.seedNumber(ctx); err != nil {
		return err
	}
	err := p.callBy(ctx, api, http.MethodPost, "/outbound-calls/phone-numbers/"+p.Access.NumberID+"/configure", map[string]any{
		"sip_trunk": map[string]any{"name": "Simulated carrier", "address": p.Access.Carrier, "auth_username": carrierUser,
			"auth_password": carrierPassword, "destination_country": "NG", "transport": "udp", "allowed_addresses": []string{"127.0.0.1/32"}},
		"dispatch_rule": map[string]any{"rule_name": "Demo line", "room_prefix": "demo-", "agent_name": demoAgent},
	}, nil)
	if err != nil {
		return fmt.Errorf("configure the demo number: %w", err)
	}
	return nil
}

// demoNumbers is how many numbers the demo user may have, one after the other: DemoNumber and those
// that follow it.
const demoNumbers = 20

// seedNumber finds the first demo number that belongs to the demo user or can be assigned. A number
// that an administrator has released, retired or assigned to another user stays unchanged.
func (p *Platform) seedNumber(ctx context.Context) error {
	first, err := strconv.Atoi(DemoNumber[1:])
	if err != nil {
		return err
	}
	for i := range demoNumbers {
		e164 := fmt.Sprintf("+%d", first+i)
		err := p.DB.PutNumber(ctx, number.Number{ID: number.ID(e164), E164: e164, Country: "NG", Type: "mobile",
			Capabilities: []string{"inbound", "outbound"}, UserID: demoUser, AssignedAt: time.Now(), UpdatedAt: time.Now()})
		if err == nil {
			p.Access.Number, p.Access.NumberID = e164, number.ID(e164)
			return nil
		}
		if !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return fmt.Errorf("none of the %d numbers from %s on is left for the demo user: `make clean-local` begins anew", demoNumbers, DemoNumber)
}

// endLeases ends the leases of numbers from the last start. No other process configures numbers in
// the platform's own database, so the holder of such a lease has died. The next configuration
// completes any partial one.
func (p *Platform) endLeases(ctx context.Context) error {
	if p.Config.DynamoDB != "" {
		return nil
	}
	leases, err := p.DB.AbandonedLeases(ctx, time.Now().Add(24*time.Hour))
	for _, l := range leases {
		_, ended := p.DB.EndLease(ctx, l)
		err = errors.Join(err, ended)
	}
	return err
}

// demoPolicy gives the demo user the highest limits that a policy allows. An hour of experiments or
// load must not reach the limits of other users.
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

// seedKey keeps the key of the last start if it is still valid in the database.
func (p *Platform) seedKey(ctx context.Context) error {
	if err := p.DB.PutKeyQuotas(ctx, demoUser, demoHourLimit, demoKeysPerHour); err != nil {
		return err
	}
	if keyID, sum, ok := account.ParseKey(p.Access.APIKey); ok {
		if k, err := p.DB.UseKey(ctx, keyID, sum); err == nil && k.UserID == demoUser {
			return nil
		}
	}
	keyID := id.Key.New(time.Now())
	k, text, err := account.Issue(account.Key{ID: keyID, UserID: demoUser, Name: "demo", Scopes: account.Scopes(), CreatedAt: time.Now(),
		HourLimit: demoHourLimit}, rand.Reader)
	if err != nil {
		return err
	}
	p.Access.APIKey = text
	return p.DB.PutKey(ctx, k)
}

// callAgents registers the demo agent for every agent name in the configurations of the demo
// user's numbers.
func (p *Platform) callAgents(ctx context.Context) {
	numbers, _, err := p.DB.NumbersOf(ctx, demoUser, 100, "")
	if err != nil {
		p.log.Error("agent names", "error", err)
		return
	}
	for _, n := range numbers {
		if n.Rule == nil {
			continue
		}
		if err := p.Agent.Register(n.Rule.AgentName); err != nil {
			p.log.Error("register agent", "agent", n.Rule.AgentName, "error", err)
		}
	}
}

// call sends a request to the API as the demo user and decodes the answer into out, unless out is
// nil. An answer that is not 2xx is an error with the answer's text.
func (p *Platform) call(ctx context.Context, method, path string, in, out any) error {
	return p.callBy(ctx, http.DefaultClient, method, path, in, out)
}

// callBy is call with another HTTP client.
func (p *Platform) callBy(ctx context.Context, client *http.Client, method, path string, in, out any) error {
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
	resp, err := client.Do(req)
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
