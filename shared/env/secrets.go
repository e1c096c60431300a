package env

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/caarlos0/env/v11"
)

// resolved is the environment with secrets in place of their ARNs. They are read once, and an
// instance of a function keeps them for its lifetime. docs/deploy.md describes how a new secret
// reaches all instances.
var resolved = sync.OnceValues(func() (map[string]string, error) {
	// Lambda gives a function 10 seconds to start.
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	return resolve(ctx, AWS(), os.Environ())
})

// resolve reads the secret of every variable whose value is the ARN of a secret in AWS Secrets
// Manager, all in parallel. Outside AWS the variables hold the secrets themselves, and nothing
// is read.
func resolve(ctx context.Context, cfg aws.Config, environ []string) (map[string]string, error) {
	values, secrets := make(map[string]string, len(environ)), map[string]string{}
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		if values[name] = value; isSecretARN(value) {
			secrets[name] = value
		}
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	var failed []error
	for name, arn := range secrets {
		all.Go(func() {
			text, err := secretValue(ctx, cfg, arn)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", name, err))
			}
			values[name] = text
		})
	}
	all.Wait()
	if failed != nil {
		return nil, env.AggregateError{Errors: failed}
	}
	return values, nil
}

// isSecretARN reports whether value has the form
// arn:aws:secretsmanager:<region>:<account>:secret:<name>, in any partition.
func isSecretARN(value string) bool {
	parts := strings.SplitN(value, ":", 7)
	return len(parts) == 7 && parts[0] == "arn" && parts[2] == "secretsmanager" && parts[5] == "secret"
}

// secretValue reads the current version of a secret (GetSecretValue of the AWS Secrets Manager API
// Reference). The request is signed by the SDK's signer but built here. The SDK's Secrets Manager
// client would add 260 kB to each function and 0.3 ms to its start, and the functions of reads
// (GET) would then take twice as long to start as a hello world.
//
// A failed read is retried twice. An error contains the answer of Secrets Manager, never a secret.
func secretValue(ctx context.Context, cfg aws.Config, arn string) (string, error) {
	for attempt := 0; ; attempt++ {
		value, err := getSecretValue(ctx, cfg, arn)
		if err == nil || attempt == 2 {
			return value, err
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(200 * time.Millisecond << attempt):
		}
	}
}

func getSecretValue(ctx context.Context, cfg aws.Config, arn string) (string, error) {
	body, err := json.Marshal(map[string]string{"SecretId": arn})
	if err != nil {
		return "", err
	}
	url, ok, err := endpoints{}.GetServiceBaseEndpoint(ctx, "Secrets Manager")
	if err != nil {
		return "", err
	}
	if !ok {
		url = "https://secretsmanager." + cfg.Region + "." + domain(cfg.Region)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", "secretsmanager.GetSecretValue")
	credentials, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return "", err
	}
	hash := sha256.Sum256(body)
	err = v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(hash[:]), "secretsmanager", cfg.Region, time.Now())
	if err != nil {
		return "", err
	}
	answer, err := cfg.HTTPClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20)) // a secret has at most 64 KiB
	if err != nil {
		return "", err
	}
	var said struct {
		SecretString *string
		Type         string `json:"__type"`
		Message      string
	}
	err = json.Unmarshal(text, &said)
	switch {
	case answer.StatusCode != http.StatusOK:
		return "", fmt.Errorf("answer of Secrets Manager: %d %s %s", answer.StatusCode, said.Type, said.Message)
	case err != nil || said.SecretString == nil:
		return "", errors.New("the secret is no text")
	}
	return *said.SecretString, nil
}

// domain is the domain of a region's AWS services. Partitions with other domains need
// AWS_ENDPOINT_URL_SECRETS_MANAGER.
func domain(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}
