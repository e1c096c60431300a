package all_test

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api/apitest"
)

// deployed lists the functions that run in TestCloudFormation. Every other function gets a program
// that is never started.
var deployed = []string{"createkey", "listkeys", "requestnumber", "getrequest", "addnumber", "approverequest", "listnumbers",
	"expirerequest", "awaitrequest", "assignnumber", "notifyrequest", "console"}

// TestCloudFormation creates the stack of template.yaml in ministack, from the transformed
// template. MINISTACK is the address of ministack. The test creates a key through the stack's API.
// With that key a number is requested, approved and assigned by the functions in bin/here, the
// workflow and the tables of the stack. The console's function answers there, too.
func TestCloudFormation(t *testing.T) {
	t.Parallel()
	address := os.Getenv("MINISTACK")
	if address == "" {
		t.Skip("makes a stack in ministack: make test-aws runs it")
	}
	c := &cloud{T: t, url: address, name: "kros-" + strings.ToLower(rand.Text()[:8]), issuer: apitest.NewIssuer(t)}
	c.upload()
	c.create()
	c.api = c.outputs()["ApiUrl"]

	var settings struct {
		ClientID string `json:"client_id"`
	}
	c.ask("", "GET", "/console/config.json", "", http.StatusOK, &settings)
	if settings.ClientID != "abc" || c.outputs()["ConsoleUrl"] != c.api+"/console/" {
		t.Errorf("the console signs in as %q at %s", settings.ClientID, c.outputs()["ConsoleUrl"])
	}

	user, admin := c.issuer.Token("user_1", time.Now()), c.issuer.Token("root", time.Now(), account.Admin)
	var key struct {
		Text string `json:"api_key"`
	}
	c.ask(user, "POST", "/api-keys", `{"name":"cloud","scopes":["numbers:read","numbers:write"]}`, http.StatusCreated, &key)
	c.ask(admin, "POST", "/admin/phone-numbers", `{"phone_number":"+2348012345680","country":"NG","number_type":"mobile","capabilities":["inbound","outbound"],"provider":"Twilio"}`, http.StatusCreated, nil)
	var request struct {
		ID     string `json:"request_id"`
		Status string `json:"status"`
	}
	c.ask(key.Text, "POST", "/telephony/phone-number-requests", `{"country":"NG","number_type":"mobile","purpose":"Order follow-up calls"}`, http.StatusCreated, &request)
	c.ask(admin, "POST", "/admin/phone-number-requests/"+request.ID+"/approve", `{}`, http.StatusOK, nil)
	for request.Status != "assigned" {
		time.Sleep(200 * time.Millisecond)
		c.ask(key.Text, "GET", "/telephony/phone-number-requests/"+request.ID, "", http.StatusOK, &request)
	}
	var numbers struct {
		Data []struct {
			PhoneNumber string `json:"phone_number"`
		} `json:"data"`
	}
	c.ask(key.Text, "GET", "/outbound-calls/phone-numbers", "", http.StatusOK, &numbers)
	if len(numbers.Data) != 1 || numbers.Data[0].PhoneNumber != "+2348012345680" {
		t.Errorf("the user has %v", numbers)
	}
}

// cloud is a stack in ministack.
type cloud struct {
	*testing.T
	url    string
	name   string
	issuer *apitest.Issuer
	api    string // the address of the API in the stack's outputs
}

func (c *cloud) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

const codeBucket = "kros-code"

// upload stores the deployed functions as zips, and one zip for all others.
func (c *cloud) upload() {
	c.Helper()
	c.send("PUT", "/"+codeBucket, nil, nil)
	c.send("PUT", "/"+codeBucket+"/never-started.zip", nil, zipped(c.T, []byte("#!/bin/false\n")))
	for _, name := range deployed {
		program, err := os.ReadFile(filepath.Join("..", "..", "bin", "here", name, "bootstrap"))
		c.must(err)
		c.send("PUT", "/"+codeBucket+"/"+name+".zip", nil, zipped(c.T, program))
	}
}

func zipped(t *testing.T, program []byte) []byte {
	t.Helper()
	var file bytes.Buffer
	z := zip.NewWriter(&file)
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Store}
	header.SetMode(0o755)
	w, err := z.CreateHeader(header)
	if err == nil {
		_, err = w.Write(program)
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// template returns template.yaml as `sam package` leaves it: code and workflows are named by
// the place where they are stored. It leaves out what ministack cannot do, with the reason at
// each place.
func (c *cloud) template() []byte {
	c.Helper()
	text, err := os.ReadFile("../../template.yaml")
	c.must(err)
	decoded, err := template.Decode(text)
	c.must(err)
	doc := decoded.(map[string]any)
	for _, name := range []string{"OidcIssuer", "OidcJwksUrl", "LiveKitUrl"} {
		delete(doc["Parameters"].(map[string]any)[name].(map[string]any), "AllowedPattern") // the test's issuer has no TLS
	}
	routes := map[string]any{}
	for id, resource := range doc["Resources"].(map[string]any) {
		properties, _ := resource.(map[string]any)["Properties"].(map[string]any)
		switch resource.(map[string]any)["Type"] {
		case "AWS::Serverless::Function":
			properties["CodeUri"] = "s3://" + codeBucket + "/" + c.codeOf(id)
			maps.Copy(routes, routesOf(id, properties))
		case "AWS::Serverless::StateMachine":
			properties["DefinitionUri"] = "s3://" + codeBucket + "/" + c.definition(properties["DefinitionUri"].(string))
		case "AWS::CloudWatch::Alarm": // ministack has no metric math: the alarm watches its first metric
			if metrics, ok := properties["Metrics"].([]any); ok {
				delete(properties, "Metrics")
				stat := metrics[1].(map[string]any)["MetricStat"].(map[string]any)
				maps.Copy(properties, stat["Metric"].(map[string]any))
				properties["Period"], properties["Statistic"] = stat["Period"], stat["Stat"]
			}
		}
	}
	maps.Copy(doc["Resources"].(map[string]any), routes)
	body, err := json.Marshal(doc)
	c.must(err)
	return body
}

// routesOf returns the routes of a function as resources of their own. The transform puts them into
// the body of the API, but ministack does not read the body.
func routesOf(id string, properties map[string]any) map[string]any {
	made := map[string]any{}
	events, _ := properties["Events"].(map[string]any)
	for name, event := range events {
		if event.(map[string]any)["Type"] != "HttpApi" {
			continue
		}
		route := event.(map[string]any)["Properties"].(map[string]any)
		made[id+name+"Integration"] = map[string]any{"Type": "AWS::ApiGatewayV2::Integration", "Properties": map[string]any{
			"ApiId": route["ApiId"], "IntegrationType": "AWS_PROXY", "PayloadFormatVersion": "2.0",
			"IntegrationUri": map[string]any{"Fn::GetAtt": []any{id, "Arn"}}}}
		made[id+name+"Route"] = map[string]any{"Type": "AWS::ApiGatewayV2::Route", "Properties": map[string]any{
			"ApiId": route["ApiId"], "RouteKey": fmt.Sprintf("%s %s", route["Method"], route["Path"]),
			"Target": map[string]any{"Fn::Sub": "integrations/${" + id + name + "Integration}"}}}
	}
	return made
}

// definition stores a state machine's definition.
func (c *cloud) definition(file string) string {
	c.Helper()
	text, err := os.ReadFile("../../" + file)
	c.must(err)
	c.send("PUT", "/"+codeBucket+"/"+file, nil, text)
	return file
}

func (c *cloud) codeOf(id string) string {
	name, _ := template.Folder(id)
	for _, d := range deployed {
		if d == name {
			return name + ".zip"
		}
	}
	return "never-started.zip"
}

// create creates the stack and waits until it is complete.
func (c *cloud) create() {
	c.Helper()
	c.send("PUT", "/"+codeBucket+"/template.json", nil, c.template())
	issuer := c.issuer.Config()
	form := url.Values{"Action": {"CreateStack"}, "StackName": {c.name}, "TemplateURL": {c.url + "/" + codeBucket + "/template.json"},
		"Capabilities.member.1": {"CAPABILITY_IAM"}, "Capabilities.member.2": {"CAPABILITY_AUTO_EXPAND"}}
	i := 0
	for name, value := range map[string]string{"LiveKitUrl": "ws://127.0.0.1:1", "LiveKitApiKey": "k", "LiveKitApiSecret": strings.Repeat("s", 32),
		"OidcIssuer": issuer.Issuer, "OidcAudience": issuer.Audience[0], "OidcJwksUrl": issuer.JWKSURL,
		"ConsoleClientId": "abc"} {
		i++
		form.Set(fmt.Sprintf("Parameters.member.%d.ParameterKey", i), name)
		form.Set(fmt.Sprintf("Parameters.member.%d.ParameterValue", i), value)
	}
	c.query(form, nil)
	for {
		var stack describedStack
		c.query(url.Values{"Action": {"DescribeStacks"}, "StackName": {c.name}}, &stack)
		switch status := stack.Status; {
		case status == "CREATE_COMPLETE":
			return
		case !strings.HasSuffix(status, "IN_PROGRESS"):
			c.Fatalf("the stack is %s: %s", status, strings.Join(c.failures(), "\n"))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

type describedStack struct {
	Status  string `xml:"DescribeStacksResult>Stacks>member>StackStatus"`
	Outputs []struct {
		OutputKey, OutputValue string
	} `xml:"DescribeStacksResult>Stacks>member>Outputs>member"`
}

// failures lists the resources that could not be created, with the reasons.
func (c *cloud) failures() []string {
	c.Helper()
	var failed []string
	for next := ""; ; {
		var page struct {
			Events []struct {
				Resource string `xml:"LogicalResourceId"`
				Status   string `xml:"ResourceStatus"`
				Reason   string `xml:"ResourceStatusReason"`
			} `xml:"DescribeStackEventsResult>StackEvents>member"`
			NextToken string `xml:"DescribeStackEventsResult>NextToken"`
		}
		form := url.Values{"Action": {"DescribeStackEvents"}, "StackName": {c.name}}
		if next != "" {
			form.Set("NextToken", next)
		}
		c.query(form, &page)
		for _, e := range page.Events {
			if strings.HasSuffix(e.Status, "FAILED") {
				failed = append(failed, e.Resource+": "+e.Reason)
			}
		}
		if next = page.NextToken; next == "" {
			return failed
		}
	}
}

func (c *cloud) outputs() map[string]string {
	c.Helper()
	var stack describedStack
	c.query(url.Values{"Action": {"DescribeStacks"}, "StackName": {c.name}}, &stack)
	outputs := map[string]string{}
	for _, o := range stack.Outputs {
		outputs[o.OutputKey] = o.OutputValue
	}
	return outputs
}

// query sends a request to CloudFormation.
func (c *cloud) query(form url.Values, answer any) {
	c.Helper()
	body := c.send("POST", "/", http.Header{
		"Content-Type":  {"application/x-www-form-urlencoded"},
		"Authorization": {"AWS4-HMAC-SHA256 Credential=test/20261122/us-east-1/cloudformation/aws4_request, SignedHeaders=host, Signature=abc"},
	}, []byte(form.Encode()))
	if answer != nil {
		c.must(xml.Unmarshal(body, answer))
	}
}

// send sends a request to ministack that must succeed.
func (c *cloud) send(method, path string, header http.Header, body []byte) []byte {
	c.Helper()
	r, err := http.NewRequestWithContext(c.Context(), method, c.url+path, bytes.NewReader(body))
	c.must(err)
	if r.Header = header; header == nil {
		r.Header = http.Header{"Authorization": {"AWS4-HMAC-SHA256 Credential=test/20261122/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=abc"}}
	}
	status, answer := c.do(r)
	if status != http.StatusOK {
		c.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

// ask sends a request to the stack's API.
func (c *cloud) ask(credential, method, path, body string, want int, answer any) {
	c.Helper()
	api, err := url.Parse(c.api)
	c.must(err)
	id, _, _ := strings.Cut(api.Host, ".")
	r, err := http.NewRequestWithContext(c.Context(), method, c.url+path, strings.NewReader(body))
	c.must(err)
	r.Host = id + ".execute-api.localhost"
	r.Header.Set("Authorization", "Bearer "+credential)
	r.Header.Set("Content-Type", "application/json")
	status, got := c.do(r)
	if status != want {
		c.Fatalf("%s %s: %d %s", method, path, status, got)
	}
	if answer != nil {
		c.must(json.Unmarshal(got, answer))
	}
}

func (c *cloud) do(r *http.Request) (int, []byte) {
	c.Helper()
	response, err := http.DefaultClient.Do(r)
	c.must(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	c.must(err)
	return response.StatusCode, body
}
