// Package summary summarizes phone calls: with a model on Amazon Bedrock, with any service that
// speaks OpenAI's chat completions, or, if neither is configured, by selecting the most important
// sentences of the call.
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

// Config selects what writes summaries: Bedrock if BedrockModel is set, else the service at URL if
// that is set, else a text-ranking algorithm.
type Config struct {
	// BedrockModel is a model's id, or the ARN or id of an inference profile.
	BedrockModel string `env:"BEDROCK_MODEL_ID"`
	// URL is the address without /chat/completions: http://127.0.0.1:11434/v1 is Ollama.
	URL    string        `env:"SUMMARY_URL"`
	Model  string        `env:"SUMMARY_MODEL"`
	APIKey secret.Secret `env:"SUMMARY_API_KEY"`
}

// Summarizer writes summaries. The zero Summarizer uses the text-ranking algorithm.
type Summarizer struct {
	config  Config
	bedrock *bedrockruntime.Client
	http    *http.Client
}

// timeout is that of a model. There is one attempt, because the workflow repeats an attempt
// that may succeed later.
const timeout = 25 * time.Second

// Open makes a Summarizer. It does not touch the network.
func Open(cfg aws.Config, c Config) *Summarizer {
	s := &Summarizer{config: c}
	s.http = &http.Client{Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	s.bedrock = bedrockruntime.NewFromConfig(cfg, func(o *bedrockruntime.Options) {
		o.HTTPClient, o.Retryer = s.http, aws.NopRetryer{}
	})
	return s
}

// Summarize summarizes the turns of a call in at most 2,000 characters of plain text, and names the
// model that wrote them. Every error is an *Error.
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

// The reasons why there is no summary.
const (
	Timeout     = "timeout"     // it took too long
	Unavailable = "unavailable" // the service could not be reached, is down, or has no capacity
	// Refused means that the service does not accept the request: because of the model, the rights,
	// or its policy on contents.
	Refused = "refused"
	Empty   = "empty" // nothing was written
)

// Error says why there is no summary. A final error occurs again if the call is summarized again.
type Error struct {
	Reason string
	Final  bool
	Err    error
}

func (e *Error) Error() string { return "summary: " + e.Reason + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// maxText is the maximum length of a summary, in characters.
const maxText = 2000

// plain removes control characters from a model's text and cuts it to maxText.
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
