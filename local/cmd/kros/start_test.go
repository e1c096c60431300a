package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/krosai/telephony/shared/env"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/store"
)

// asKros is the variable that makes this test binary run kros.
const asKros = "KROS_TEST_RUNS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asKros) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// kros is a platform in its own process, as `make run` starts it.
type kros struct {
	cmd    *exec.Cmd
	dir    string
	out    bytes.Buffer // the whole output, after the process has ended
	up     chan bool    // gets one value: whether the platform came up
	ended  chan struct{}
	status error
}

// begin starts kros with the data in dir. From this process's variables it passes on only those
// that no program reads as a setting.
func begin(t *testing.T, dir string, vars ...string) *kros {
	t.Helper()
	k := &kros{cmd: exec.Command(os.Args[0]), dir: dir, up: make(chan bool, 1), ended: make(chan struct{})} //nolint:gosec // this binary
	k.cmd.Env = append([]string{asKros + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir(),
		"KROS_ROOT=../../..", "KROS_DIR=" + dir, "PORT=0", "FIRST_CALL=0"}, vars...)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	k.cmd.Stdout, k.cmd.Stderr = in, in
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	go k.follow(out)
	t.Cleanup(func() { k.end(os.Kill) })
	return k
}

func (k *kros) follow(out io.ReadCloser) {
	told := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(&k.out, lines.Text())
		if strings.HasPrefix(lines.Text(), "Who answers") {
			k.up <- true
			told = true
		}
	}
	out.Close()
	k.status = k.cmd.Wait()
	if !told {
		k.up <- false
	}
	close(k.ended)
}

// start is like begin, but fails the test if the platform does not come up.
func start(t *testing.T, dir string, vars ...string) *kros {
	t.Helper()
	k := begin(t, dir, vars...)
	if !<-k.up {
		<-k.ended
		t.Fatalf("kros did not come up: %v\n%s", k.status, &k.out)
	}
	return k
}

// end sends the process a signal, waits for its end and returns its output.
func (k *kros) end(s os.Signal) string {
	_ = k.cmd.Process.Signal(s) // it may have ended
	<-k.ended
	return k.out.String()
}

// vars are the variables that the platform has written for shells, by name.
func (k *kros) vars(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(k.dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			vars[name] = value
		}
	}
	return vars
}

// sourced are the variables that a shell exports after it has sourced the platform's file.
func (k *kros) sourced(t *testing.T) (list []string) {
	t.Helper()
	for name, value := range k.vars(t) {
		list = append(list, name+"="+value)
	}
	return list
}

// ask sends a request and returns the answer's status and text.
func ask(ctx context.Context, method, url, credential, body string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Bearer "+credential)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func (k *kros) answers(t *testing.T, method, path, credential string, want int) string {
	t.Helper()
	status, text, err := ask(t.Context(), method, k.vars(t)["KROS_URL"]+path, credential, "")
	if err != nil || status != want {
		t.Fatalf("%s %s: %d, want %d: %s %v", method, path, status, want, text, err)
	}
	return text
}

// TestSourcedShell checks that the platform's file configures tools in a shell, and that the
// platform starts in that shell as before.
//
//nolint:paralleltest // it sets variables of this process
func TestSourcedShell(t *testing.T) {
	dir := t.TempDir()
	first := start(t, dir)
	sourced := first.sourced(t)
	key := first.vars(t)["KROS_API_KEY"]
	first.end(syscall.SIGTERM)
	second := start(t, dir, sourced...)
	if got := second.vars(t)["KROS_API_KEY"]; got != key {
		t.Errorf("it has the key %s, had %s", got, key)
	}
	second.answers(t, "GET", "/outbound-calls/phone-numbers", key, 200)
	for name, value := range second.vars(t) {
		if strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, value)
		}
	}
	found, err := dynamodb.NewFromConfig(env.AWS()).Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String("kros-numbers")})
	if err != nil || found.Count != 1 {
		t.Errorf("a scan of the numbers: %+v, %v", found, err)
	}
	second.end(syscall.SIGTERM)
	refused := begin(t, dir, append(sourced, "BEDROCK_MODEL_ID=anthropic.claude")...)
	if <-refused.up {
		t.Error("it asks Bedrock with the emulators' credentials")
	}
	if said := refused.end(os.Kill); !strings.Contains(said, "BEDROCK_MODEL_ID needs credentials of AWS") {
		t.Errorf("it says %s", said)
	}
}

// TestDemoNumberTaken checks that the platform starts without the number that an administrator took
// from the demo user, and that it names the new number.
func TestDemoNumberTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := start(t, dir)
	had := k.vars(t)
	if had["KROS_NUMBER"] != "+2348012345678" {
		t.Errorf("the first number is %s", had["KROS_NUMBER"])
	}
	k.answers(t, "POST", "/admin/phone-numbers/"+had["KROS_NUMBER_ID"]+"/release", had["KROS_ADMIN_JWT"], 200)
	if said := k.end(syscall.SIGTERM); strings.Contains(said, "was taken") {
		t.Errorf("before anything was taken it says %s", said)
	}
	for range 2 { // the next start keeps the new number
		k = start(t, dir)
		has := k.vars(t)
		if has["KROS_NUMBER"] != "+2348012345679" || has["KROS_NUMBER_ID"] != number.ID("+2348012345679") {
			t.Errorf("the number is %s, %s", has["KROS_NUMBER"], has["KROS_NUMBER_ID"])
		}
		if n := k.answers(t, "GET", "/outbound-calls/phone-numbers", has["KROS_API_KEY"], 200); !strings.Contains(n, `"configured"`) {
			t.Errorf("it is not configured: %s", n)
		}
		if said := k.end(syscall.SIGTERM); !strings.Contains(said, "+2348012345678 was taken from the demo user, who has +2348012345679 now\n") {
			t.Errorf("it says %s", said)
		}
	}
}

// TestKilledInAConfigure checks that the lease of a process that died does not prevent the
// next start.
func TestKilledInAConfigure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := start(t, dir)
	has := k.vars(t)
	endpoint := has["AWS_ENDPOINT_URL_DYNAMODB"]
	db := store.Open(aws.Config{Region: "us-east-1", BaseEndpoint: &endpoint, Credentials: aws.CredentialsProviderFunc(
		func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		})}, store.Config{Numbers: "kros-numbers"}, time.Now)
	if _, err := db.LeaseNumber(t.Context(), "demo", has["KROS_NUMBER_ID"], "a configure", 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	k.end(os.Kill)
	k = start(t, dir)
	if n := k.answers(t, "GET", "/outbound-calls/phone-numbers", has["KROS_API_KEY"], 200); !strings.Contains(n, `"configured"`) {
		t.Errorf("the number is not configured: %s", n)
	}
}

// TestConfigureDuringStart checks that a request during the start waits until the platform can
// serve it.
func TestConfigureDuringStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := start(t, dir)
	has := k.vars(t)
	k.end(syscall.SIGTERM)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	url := "http://" + address + "/outbound-calls/phone-numbers/" + has["KROS_NUMBER_ID"] + "/configure"
	k = begin(t, dir, "PORT="+port)
	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	for range 4 {
		asking.Go(func() {
			for ctx.Err() == nil {
				status, _, err := ask(ctx, "POST", url, has["KROS_API_KEY"], `{"dispatch_rule":{"rule_name":"Demo line","agent_name":"demo-agent"}}`)
				if errors.Is(err, syscall.ECONNREFUSED) || ctx.Err() != nil {
					continue // the port is not open yet, or not any more
				}
				mu.Lock()
				answers[fmt.Sprint(status, " ", err)]++
				mu.Unlock()
			}
		})
	}
	up := <-k.up
	for up { // until one request has succeeded
		mu.Lock()
		done := answers["200 <nil>"] > 0
		mu.Unlock()
		if done {
			break
		}
		select {
		case <-k.ended:
			up = false
		case <-time.After(10 * time.Millisecond):
		}
	}
	stop()
	asking.Wait()
	said := k.end(syscall.SIGTERM)
	if !up || strings.Contains(said, "panic") {
		t.Errorf("it came up: %t, and printed %s", up, said)
	}
	for answer, n := range answers {
		if answer != "200 <nil>" && answer != "409 <nil>" { // one configuration at a time
			t.Errorf("%d of %v answered %s", n, answers, answer)
		}
	}
}

// TestSideBySide checks that two platforms run side by side, and that a platform that cannot start
// names the taken port or folder.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	first := start(t, dir)
	has := first.vars(t)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(has["KROS_URL"], "http://"))
	_, database, _ := net.SplitHostPort(strings.TrimPrefix(has["AWS_ENDPOINT_URL_DYNAMODB"], "http://"))
	for _, c := range []struct{ name, dir, port, want string }{
		{"twice the same", dir, port, "port " + port + " is taken, by another platform or program: PORT moves the API"},
		{"the port is taken", t.TempDir(), database, "port " + database + " is taken"},
		{"the folder is taken", dir, "0", "another platform uses the data in " + dir},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := begin(t, c.dir, "PORT="+c.port)
			if <-k.up {
				t.Error("it started")
			}
			if said := k.end(os.Kill); !strings.Contains(said, c.want) || !strings.Contains(said, "KROS_DIR") {
				t.Errorf("it says %q, want %q", said, c.want)
			}
		})
	}
	second := start(t, other)
	for _, k := range []*kros{first, second} {
		if n := k.answers(t, "GET", "/outbound-calls/phone-numbers", k.vars(t)["KROS_API_KEY"], 200); !strings.Contains(n, `"configured"`) {
			t.Errorf("%s: the number is not configured: %s", k.dir, n)
		}
	}
	second.answers(t, "GET", "/outbound-calls/phone-numbers", has["KROS_API_KEY"], 401)
	refuseForeignHosts(t, first)
}

// refuseForeignHosts checks that each address of the platform refuses a foreign host name.
func refuseForeignHosts(t *testing.T, k *kros) {
	t.Helper()
	for _, name := range []string{"KROS_URL", "KROS_ISSUER", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SFN", "AWS_ENDPOINT_URL_SQS"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, k.vars(t)[name]+"/", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "rebound.example"
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s: answered %d", name, resp.StatusCode)
		}
	}
}
