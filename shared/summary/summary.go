// Package summary sums phone calls up: by a model on Amazon Bedrock, by any
// service that speaks OpenAI's chat completions, or, with neither configured, by
// picking the sentences of the call that matter most.
package summary

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/secret"
)

// Config says who writes summaries: Bedrock if a model of it is named, else the
// service at URL if there is one, else nobody but a text-ranking algorithm.
type Config struct {
	BedrockModel string        `env:"BEDROCK_MODEL_ID"` // a model's id, or the ARN or id of an inference profile
	URL          string        `env:"SUMMARY_URL"`      // up to and without /chat/completions: http://127.0.0.1:11434/v1 is Ollama
	Model        string        `env:"SUMMARY_MODEL"`
	APIKey       secret.Secret `env:"SUMMARY_API_KEY"`
}

// Summarizer writes summaries. The zero Summarizer is the text-ranking one.
type Summarizer struct {
	config  Config
	bedrock *bedrockruntime.Client
	http    *http.Client
}

// patience is how long a model may take. There is one attempt: the workflow
// repeats what may succeed later.
const patience = 25 * time.Second

// Open makes a Summarizer. It does not touch the network.
func Open(cfg aws.Config, c Config) *Summarizer {
	s := &Summarizer{config: c}
	s.http = &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	s.bedrock = bedrockruntime.NewFromConfig(cfg, func(o *bedrockruntime.Options) {
		o.HTTPClient, o.Retryer = s.http, aws.NopRetryer{}
	})
	return s
}

// Summarize writes what was said in at most 2,000 characters of plain text, and
// says who wrote it. Every error is an *Error.
func (s *Summarizer) Summarize(ctx context.Context, turns []call.Turn) (text, model string, err error) {
	switch {
	case s.config.BedrockModel != "":
		model = s.config.BedrockModel
		text, err = s.converse(ctx, question(turns))
	case s.config.URL != "":
		text, model, err = s.complete(ctx, question(turns))
	default:
		text, model = extract(turns), "extractive-textrank"
	}
	if err != nil {
		return "", model, err
	}
	if text = plain(text); text == "" {
		return "", model, &Error{Reason: Empty, Final: true, Err: fmt.Errorf("%s wrote nothing", model)}
	}
	return text, model, nil
}

// The reasons for which there is no summary.
const (
	Timeout     = "timeout"     // it took too long
	Unavailable = "unavailable" // the service could not be reached, is down, or has no capacity
	Refused     = "refused"     // the service does not take the request: the model, the rights, or its policy on contents
	Empty       = "empty"       // nothing was written
)

// Error is why there is no summary. A final one comes again if the call is summed
// up again.
type Error struct {
	Reason string
	Final  bool
	Err    error
}

func (e *Error) Error() string { return "summary: " + e.Reason + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// maxText is how many characters a summary may have.
const maxText = 2000

// plain is what a machine wrote without control characters and not too long.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	text = strings.TrimSpace(text)
	if runes := []rune(text); len(runes) > maxText {
		text = strings.TrimSpace(string(runes[:maxText-1])) + "…"
	}
	return text
}
