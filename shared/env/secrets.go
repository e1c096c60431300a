package env

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/caarlos0/env/v11"
)

// resolved is the environment with secrets in place of the ARNs of secrets. They
// are read once: an instance of a function keeps a secret for as long as it lives,
// and docs/deploy.md says how a new one reaches them all.
var resolved = sync.OnceValues(func() (map[string]string, error) {
	// Lambda gives a function 10 seconds to start.
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	return resolve(ctx, AWS(), os.Environ())
})

// resolve reads every variable whose value is the ARN of a secret of AWS Secrets
// Manager, all at the same time. Elsewhere than on AWS variables hold the secrets
// themselves, and nothing is read.
func resolve(ctx context.Context, cfg aws.Config, environ []string) (map[string]string, error) {
	client := secretsmanager.NewFromConfig(cfg)
	values := make(map[string]string, len(environ))
	var mu sync.Mutex
	var all sync.WaitGroup
	var failed []error
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		if !isSecretARN(value) {
			values[name] = value
			continue
		}
		all.Go(func() {
			secret, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &value})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				failed = append(failed, fmt.Errorf("%s: %w", name, err))
			case secret.SecretString == nil:
				failed = append(failed, fmt.Errorf("%s: the secret is no text", name))
			default:
				values[name] = *secret.SecretString
			}
		})
	}
	all.Wait()
	if failed != nil {
		return nil, env.AggregateError{Errors: failed}
	}
	return values, nil
}

// isSecretARN tells arn:aws:secretsmanager:<region>:<account>:secret:<name>, in any
// partition, from other values.
func isSecretARN(value string) bool {
	parts := strings.SplitN(value, ":", 7)
	return len(parts) == 7 && parts[0] == "arn" && parts[2] == "secretsmanager" && parts[5] == "secret"
}
