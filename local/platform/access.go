package platform

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Access is the data that a user needs to use the platform. It is written to the file env in the
// data folder. The key and LiveKit's secret stay the same from one start to the next. The JWTs are
// new at each start.
type Access struct {
	URL      string // of the API
	Console  string // for people, in a browser
	APIKey   string // of the demo user
	Number   string // the demo user's number, E.164
	NumberID string // its id
	UserJWT  string // of the demo user
	AdminJWT string // of an administrator
	Issuer   string // issuer of the JWTs

	LiveKitURL, LiveKitKey, LiveKitSecret string
	DynamoDB, StepFunctions, SQS          string // the emulators' addresses
	Carrier, SIP                          string // host:port of the simulated carrier and of LiveKit's SIP side

	redis string
}

// liveKitKey is the API key of the embedded LiveKit.
const liveKitKey = "kros"

func (p *Platform) envFile() string { return filepath.Join(p.Config.Dir, "env") }

// recall reads the file of an earlier start and creates missing values.
func (p *Platform) recall() error {
	old, err := readEnv(p.envFile())
	if err != nil {
		return err
	}
	p.Access.APIKey = old["KROS_API_KEY"]
	p.Access.LiveKitKey, p.Access.LiveKitSecret = liveKitKey, old["LIVEKIT_API_SECRET"]
	if old["LIVEKIT_API_KEY"] != liveKitKey || p.Access.LiveKitSecret == "" || p.Config.LiveKitURL != "" {
		p.Access.LiveKitSecret = rand.Text() + rand.Text() // the old one belongs to another LiveKit
	}
	return nil
}

// remember writes .local/env, for shells to source. Agents and the tools of AWS and LiveKit read
// these variables. None of them is a setting of the platform.
func (p *Platform) remember() error {
	a := p.Access
	lines := []string{
		"KROS_URL=" + a.URL,
		"KROS_API_KEY=" + a.APIKey,
		"KROS_USER_JWT=" + a.UserJWT,
		"KROS_ADMIN_JWT=" + a.AdminJWT,
		"KROS_NUMBER=" + a.Number,
		"KROS_NUMBER_ID=" + a.NumberID,
		"KROS_ISSUER=" + a.Issuer,
		"KROS_SIP=" + a.SIP,
		"LIVEKIT_URL=" + a.LiveKitURL,
		"LIVEKIT_API_KEY=" + a.LiveKitKey,
		"LIVEKIT_API_SECRET=" + a.LiveKitSecret,
		"AWS_ENDPOINT_URL_DYNAMODB=" + a.DynamoDB,
		"AWS_ENDPOINT_URL_SFN=" + a.StepFunctions,
		"AWS_ENDPOINT_URL_SQS=" + a.SQS,
		"AWS_REGION=" + region,
		"AWS_DEFAULT_REGION=" + region,
		"AWS_ACCESS_KEY_ID=" + anyCredential,
		"AWS_SECRET_ACCESS_KEY=" + anyCredential,
		"AWS_SESSION_TOKEN=",
	}
	text := "# Written at each start of the platform. Use it with: set -a; . " + p.envFile() + "; set +a\n" +
		strings.Join(lines, "\n") + "\n"
	next := p.envFile() + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(next, p.envFile())
}

func readEnv(path string) (map[string]string, error) {
	values := map[string]string{}
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return values, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what the last start wrote: %w", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), "="); ok {
			values[name] = value
		}
	}
	return values, nil
}
