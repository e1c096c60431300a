package env_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/secret"
)

type config struct {
	Table  string        `env:"TABLE,required,notEmpty"`
	Secret secret.Secret `env:"LIVEKIT_API_SECRET,required"`
	Cap    int           `env:"CAP" envDefault:"3"`
	Mode   mode          `env:"MODE"`
}

// mode is a type whose errors contain the value, as those of many types do.
type mode string

func (m *mode) UnmarshalText(b []byte) error {
	return fmt.Errorf("no mode %s", b)
}

// TestMain lets the test binary run itself as a child, because Must ends the process.
func TestMain(m *testing.M) {
	if os.Getenv("CHILD") == "" {
		os.Exit(m.Run())
	}
	cfg := env.Must[config]()
	os.Stdout.WriteString(cfg.Table + " " + cfg.Secret.String() + " " + cfg.Secret.Reveal())
}

func TestMust(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		env    []string
		out    string
		errors []string // that standard error must name
		never  string
	}{
		{"complete", []string{"TABLE=calls", "LIVEKIT_API_SECRET=s3cr3t"}, "calls *** s3cr3t", nil, ""},
		{"nothing", nil, "", []string{"TABLE", "LIVEKIT_API_SECRET"}, ""},
		{"empty", []string{"TABLE=", "LIVEKIT_API_SECRET=s3cr3t"}, "", []string{"TABLE"}, "s3cr3t"},
		{"not a number", []string{"TABLE=calls", "LIVEKIT_API_SECRET=s3cr3t", "CAP=hunter2"}, "", []string{"Cap", "int"}, "hunter2"},
		{"not a mode", []string{"TABLE=calls", "LIVEKIT_API_SECRET=s3cr3t", "MODE=hunter2"}, "", []string{"Mode"}, "hunter2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			child := exec.Command(os.Args[0])
			child.Env = slices.Concat(c.env, []string{"CHILD=1"})
			var stderr strings.Builder
			child.Stderr = &stderr
			out, err := child.Output()
			if string(out) != c.out || (err == nil) != (c.errors == nil) {
				t.Errorf("output %q, %v, stderr %q", out, err, stderr.String())
			}
			if err != nil && child.ProcessState.ExitCode() != 1 {
				t.Errorf("exit status %d, want 1", child.ProcessState.ExitCode())
			}
			for _, want := range c.errors {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("stderr %q does not name %s", stderr.String(), want)
				}
			}
			if c.never != "" && strings.Contains(stderr.String(), c.never) {
				t.Errorf("stderr %q holds a value", stderr.String())
			}
		})
	}
}

// TestSecrets checks that a secret replaces the ARN of the secret in a variable.
func TestSecrets(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:kros/livekit-AbCdEf"
	for _, c := range []struct {
		name     string
		answers  []string // the last one is repeated
		out      string
		requests int
		says     string // on standard error
	}{
		{"a secret", []string{`200 {"ARN":"x","SecretString":"s3cr3t"}`}, "calls *** s3cr3t", 1, ""},
		{"the second time", []string{`500 {"__type":"InternalServiceError"}`, `200 {"SecretString":"s3cr3t"}`}, "calls *** s3cr3t", 2, ""},
		{"no right", []string{`400 {"__type":"AccessDeniedException","Message":"not authorized"}`}, "", 3,
			"configuration: LIVEKIT_API_SECRET: answer of Secrets Manager: 400 AccessDeniedException not authorized\n"},
		{"bytes", []string{`200 {"SecretBinary":"czNjcjN0"}`}, "", 3, "configuration: LIVEKIT_API_SECRET: the secret is no text\n"},
		{"no JSON", []string{`200 s3cr3t`}, "", 3, "configuration: LIVEKIT_API_SECRET: the secret is no text\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			requests := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got := fmt.Sprint(r.Method, " ", r.Header.Get("X-Amz-Target"), " ", r.Header.Get("Content-Type"), " ", string(body), " ",
					strings.Split(r.Header.Get("Authorization"), ",")[0], " ", r.Header.Get("X-Amz-Security-Token"))
				day := time.Now().UTC().Format("20060102")
				want := `POST secretsmanager.GetSecretValue application/x-amz-json-1.1 {"SecretId":"` + arn + `"} ` +
					"AWS4-HMAC-SHA256 Credential=AKID/" + day + "/eu-west-1/secretsmanager/aws4_request token"
				if got != want {
					t.Errorf("request\n%s\nwant\n%s", got, want)
				}
				answer := c.answers[min(requests, len(c.answers)-1)]
				requests++
				status, text, _ := strings.Cut(answer, " ")
				code, _ := strconv.Atoi(status)
				w.WriteHeader(code)
				_, _ = io.WriteString(w, text)
			}))
			defer server.Close()
			child := exec.Command(os.Args[0])
			child.Env = []string{"CHILD=1", "TABLE=calls", "LIVEKIT_API_SECRET=" + arn, "AWS_ENDPOINT_URL_SECRETS_MANAGER=" + server.URL,
				"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=secret", "AWS_SESSION_TOKEN=token"}
			var stderr strings.Builder
			child.Stderr = &stderr
			out, err := child.Output()
			if string(out) != c.out || (err == nil) != (c.says == "") || stderr.String() != c.says || requests != c.requests {
				t.Errorf("output %q, %v, stderr %q, %d requests", out, err, stderr.String(), requests)
			}
		})
	}
}

// TestAWS checks that the SDK's own clients find the endpoints and sign with the credentials.
func TestAWS(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("X-Amz-Target")+" "+strings.Split(r.Header.Get("Authorization"), "/")[0]+
			" "+strings.Split(r.Header.Get("Authorization"), "/")[2]+" "+r.Header.Get("X-Amz-Security-Token"))
		w.Write([]byte("{}"))
	}))
	defer server.Close()
	for name, value := range map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_SESSION_TOKEN": "token", "AWS_ENDPOINT_URL_DYNAMODB": server.URL, "AWS_ENDPOINT_URL_SFN": server.URL} {
		t.Setenv(name, value)
	}
	if _, err := dynamodb.NewFromConfig(env.AWS()).ListTables(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := sfn.NewFromConfig(env.AWS()).ListStateMachines(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"DynamoDB_20120810.ListTables AWS4-HMAC-SHA256 Credential=AKID eu-west-1 token",
		"AWSStepFunctions.ListStateMachines AWS4-HMAC-SHA256 Credential=AKID eu-west-1 token",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAWSWithoutCredentials(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_REGION", "eu-west-1")
	_, err := dynamodb.NewFromConfig(env.AWS()).ListTables(context.Background(), nil)
	if err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("error = %v, want one that names AWS_ACCESS_KEY_ID", err)
	}
}
