package env

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Attempt is the longest that one request to an AWS service may take. The services answer within
// milliseconds, so a longer attempt is lost.
const Attempt = 3 * time.Second

// AWS is the SDK's configuration from Lambda's environment: AWS_REGION, the role's credentials, and
// AWS_ENDPOINT_URL_<SERVICE> if set. It replaces the SDK's config package, which costs a function
// 2 MB and 5 ms. Lambda replaces the process before the credentials in its environment expire, so
// they are never refreshed.
//
// An attempt takes at most Attempt. A client makes up to three attempts. The DynamoDB client makes
// as many as fit before its caller's deadline (package store).
func AWS() aws.Config {
	credentials := aws.Credentials{
		AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
		Source:          "environment",
	}
	return aws.Config{
		Region: os.Getenv("AWS_REGION"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			if credentials.AccessKeyID == "" || credentials.SecretAccessKey == "" {
				return aws.Credentials{}, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
			}
			return credentials, nil
		}),
		HTTPClient:       httpClient(),
		RetryMaxAttempts: 3,
		ConfigSources:    []any{endpoints{}},
	}
}

func httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithTimeout(Attempt).
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = time.Second }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout = 2 * time.Second
			t.IdleConnTimeout = 5 * time.Minute // Lambda suspends the process between requests
			t.MaxIdleConnsPerHost = 16
		})
}

// endpoints gives the SDK's clients the endpoints in AWS_ENDPOINT_URL_DYNAMODB and the like, as the
// config package would.
type endpoints struct{}

// GetServiceBaseEndpoint is the method that the SDK calls (internal/configsources).
func (endpoints) GetServiceBaseEndpoint(_ context.Context, service string) (string, bool, error) {
	name := "AWS_ENDPOINT_URL_" + strings.ToUpper(strings.ReplaceAll(service, " ", "_"))
	if url := os.Getenv(name); url != "" {
		return url, true, nil
	}
	return "", false, nil
}
