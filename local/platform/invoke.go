package platform

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/krosai/telephony/emulator/lambda"
	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/local/issuer"
)

// Invoke builds the function of a folder under functions/ and runs it once, as Lambda would: in its
// own process, with the variables of template.yaml. It uses the tables, workflows and LiveKit of
// the platform that runs in the folder c.Dir. The event is a file, by default events/<name>.json of
// the repository. Without a name, Invoke lists the functions. A function that fails is an error.
func Invoke(ctx context.Context, c Config, name, event string, w io.Writer) error {
	env, err := readEnv(filepath.Join(c.Dir, "env"))
	if err != nil {
		return err
	}
	tmpl, err := template.Open(filepath.Join(c.Root, "template.yaml"), template.Values{"Version": "local",
		"LiveKitUrl": env["LIVEKIT_URL"], "LiveKitApiKey": env["LIVEKIT_API_KEY"], "LiveKitApiSecret": env["LIVEKIT_API_SECRET"],
		"OidcIssuer": env["KROS_ISSUER"], "OidcAudience": issuer.Audience, "ConsoleClientId": issuer.Client,
		"BedrockModelId": c.Summary.BedrockModel, "SummaryUrl": c.Summary.URL, "SummaryModel": c.Summary.Model, "SummaryApiKey": c.Summary.APIKey.Reveal()})
	if err != nil {
		return err
	}
	if name == "" {
		return list(tmpl, w)
	}
	functions := tmpl.Functions()
	i := slices.IndexFunc(functions, func(f template.Function) bool { return f.Folder == name })
	if i < 0 {
		return fmt.Errorf("there is no function %q: make invoke lists them", name)
	}
	if event == "" {
		event = filepath.Join(c.Root, "events", name+".json")
	}
	payload, err := readEvent(event, env)
	if err != nil {
		return err
	}
	if err := isUp(ctx, env["KROS_URL"]); err != nil {
		return fmt.Errorf("no platform runs in %s: make run, in another terminal (%w)", c.Dir, err)
	}
	binary := filepath.Join("bin", "here", name, "bootstrap")
	build := exec.CommandContext(ctx, "make", "--no-print-directory", binary) //nolint:gosec // the name is that of a function of the template
	build.Dir = c.Root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	f := functions[i]
	fmt.Fprintf(w, "%s with %s\n", name, event)
	return run(ctx, lambda.Config{Binary: filepath.Join(c.Root, binary), ARN: f.ARN, Timeout: f.Timeout, MemoryMB: f.MemoryMB,
		Environment: variables(c, f, env)}, payload, w)
}

// list prints the functions and the trigger of each.
func list(tmpl *template.Template, w io.Writer) error {
	called := map[string]string{}
	for _, r := range tmpl.Routes() {
		if called[r.Function] != "" {
			called[r.Function] += ", "
		}
		called[r.Function] += r.Key()
	}
	for _, s := range tmpl.Schedules() {
		called[s.Function] = "every " + s.Every.String()
	}
	for _, s := range tmpl.Sources() {
		called[s.Function] = "the stream of the table " + s.Table
		if s.Queue != "" {
			called[s.Function] = "the queue " + s.Queue[strings.LastIndex(s.Queue, ":")+1:]
		}
	}
	for _, f := range tmpl.Functions() {
		by := called[f.Folder]
		for _, m := range tmpl.StateMachines() {
			if by == "" && bytes.Contains(m.Definition, []byte(`"`+f.ARN+`"`)) {
				by = "the workflow " + m.Name
			}
		}
		if _, err := fmt.Fprintf(w, "%-20s %s\n", f.Folder, by); err != nil {
			return err
		}
	}
	return nil
}

// readEvent reads an event and inserts the platform's addresses, keys and tokens. It replaces
// $KROS_API_KEY and the other names of .local/env.
func readEvent(path string, env map[string]string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var missing error
	text = regexp.MustCompile(`\$KROS_[A-Z_]+`).ReplaceAllFunc(text, func(found []byte) []byte {
		value, ok := env[string(found[1:])]
		if !ok {
			missing = fmt.Errorf("%s names %s, which no platform has written: make run", path, found)
		}
		return []byte(value)
	})
	return text, missing
}

func isUp(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/health", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// variables returns the template's variables for a function. The platform's own values replace
// those that only a deployment knows. The emulators' addresses are added.
func variables(c Config, f template.Function, env map[string]string) map[string]string {
	own := map[string]string{"API_URL": env["KROS_URL"], "SUMMARY_API_KEY": c.Summary.APIKey.Reveal(),
		"LIVEKIT_API_SECRET": env["LIVEKIT_API_SECRET"], "CURSOR_KEY": env["LIVEKIT_API_SECRET"], "CALL_TOKEN_KEY": env["LIVEKIT_API_SECRET"]}
	v := maps.Clone(f.Environment)
	for name := range v {
		if value, ok := own[name]; ok {
			v[name] = value
		}
	}
	for _, name := range []string{"AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SFN", "AWS_ENDPOINT_URL_SQS"} {
		v[name] = env[name]
	}
	v["AWS_SAM_LOCAL"] = "true" // as in the SAM CLI's containers: the carrier is this machine
	return v
}

// run starts the function, sends it the event, stops it, and prints the result.
func run(ctx context.Context, c lambda.Config, event []byte, w io.Writer) error {
	f, err := lambda.Start(ctx, c)
	if err != nil {
		return fmt.Errorf("its start: %w", err)
	}
	began := time.Now()
	answer, failure := f.Invoke(ctx, event)
	took := time.Since(began)
	f.Stop()
	fmt.Fprintf(w, "started in %.1f ms, ran %.1f ms\n\n", milliseconds(f.Init), milliseconds(took))
	if failure == nil {
		show(answer, w)
	} else {
		fmt.Fprintln(w, failure)
	}
	if log := f.Output(); len(log) > 0 {
		fmt.Fprintf(w, "\nIts log:\n%s", log)
	}
	if failure != nil {
		return errors.New("the function failed")
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// show prints the result of a task, or the HTTP response inside a result for API Gateway.
func show(answer []byte, w io.Writer) {
	var answered events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(answer, &answered); err != nil || answered.StatusCode == 0 {
		fmt.Fprintln(w, indented(answer))
		return
	}
	body := []byte(answered.Body)
	if decoded, err := base64.StdEncoding.DecodeString(answered.Body); answered.IsBase64Encoded && err == nil {
		body = decoded
	}
	fmt.Fprintln(w, fmt.Sprint(answered.StatusCode), http.StatusText(answered.StatusCode))
	for _, name := range slices.Sorted(maps.Keys(answered.Headers)) {
		fmt.Fprintf(w, "%s: %s\n", name, answered.Headers[name])
	}
	if len(body) > 0 {
		fmt.Fprintf(w, "\n%s\n", indented(body))
	}
}

// indented returns JSON with indentation, and other text unchanged.
func indented(text []byte) string {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(text), "", "  "); err != nil {
		return string(text)
	}
	return b.String()
}
