package summary

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// maxTokens is more than 120 words need in any language.
const maxTokens = 800

// converse asks a model on Bedrock.
// https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
func (s *Summarizer) converse(ctx context.Context, question string) (string, error) {
	out, err := s.bedrock.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &s.config.BedrockModel,
		System:          []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: instructions}},
		Messages:        []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: question}}}},
		InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(maxTokens)}})
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && answer.HTTPStatusCode() > 0 {
		return "", refusal(answer.HTTPStatusCode(), err)
	}
	if err != nil {
		return "", unreachable(err)
	}
	if out.StopReason == types.StopReasonGuardrailIntervened || out.StopReason == types.StopReasonContentFiltered {
		return "", &Error{Reason: Refused, Final: true, Err: fmt.Errorf("bedrock stopped: %s", out.StopReason)}
	}
	message, _ := out.Output.(*types.ConverseOutputMemberMessage)
	var text strings.Builder
	if message != nil {
		for _, block := range message.Value.Content {
			if t, ok := block.(*types.ContentBlockMemberText); ok { // others hold the reasoning
				text.WriteString(t.Value)
			}
		}
	}
	return text.String(), nil
}

// maxAnswer is many times the size of an ordinary answer, in bytes.
const maxAnswer = 1 << 20

// complete asks a service that speaks OpenAI's chat completions. The request has only fields that
// all such services know.
func (s *Summarizer) complete(ctx context.Context, question string) (text, model string, err error) {
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	body, err := json.Marshal(struct {
		Model    string    `json:"model,omitempty"`
		Messages []message `json:"messages"`
	}{s.config.Model, []message{{"system", instructions}, {"user", question}}})
	if err != nil {
		return "", s.config.Model, &Error{Reason: Refused, Final: true, Err: err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(s.config.URL, "/")+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return "", s.config.Model, &Error{Reason: Refused, Final: true, Err: err}
	}
	r.Header.Set("Content-Type", "application/json")
	if !s.config.APIKey.IsZero() {
		r.Header.Set("Authorization", "Bearer "+s.config.APIKey.Reveal())
	}
	resp, err := s.http.Do(r)
	if err != nil {
		return "", s.config.Model, unreachable(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case resp.StatusCode != http.StatusOK:
		return "", s.config.Model, refusal(resp.StatusCode, fmt.Errorf("%s answered %s", r.URL.Host, resp.Status))
	case err != nil:
		return "", s.config.Model, unreachable(err)
	}
	return readCompletion(answer, s.config.Model)
}

func readCompletion(answer []byte, model string) (string, string, error) {
	var a struct {
		Model   string `json:"model"`
		Choices []struct {
			FinishReason string `json:"finish_reason"`
			Message      struct {
				Content string `json:"content"`
			} `json:"message"`
		} `json:"choices"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return "", model, &Error{Reason: Unavailable, Err: fmt.Errorf("read a completion: %w", err)}
	}
	model = cmp.Or(model, plain(a.Model), "unknown")
	if len(a.Choices) == 0 {
		return "", model, nil
	}
	if a.Choices[0].FinishReason == "content_filter" {
		return "", model, &Error{Reason: Refused, Final: true, Err: errors.New("the service filtered its answer")}
	}
	return a.Choices[0].Message.Content, model, nil
}

// refusal classifies the HTTP status of an answer that is no summary. Bedrock answers 424 if
// the model itself failed. A success that cannot be read may have been cut off, so it counts
// as unavailable.
func refusal(status int, err error) error {
	switch {
	case status/100 == 2:
		return &Error{Reason: Unavailable, Err: err}
	case status == http.StatusRequestTimeout || status == http.StatusGatewayTimeout:
		return &Error{Reason: Timeout, Err: err}
	case status == http.StatusTooManyRequests || status == http.StatusFailedDependency || status >= http.StatusInternalServerError:
		return &Error{Reason: Unavailable, Err: err}
	}
	return &Error{Reason: Refused, Final: true, Err: err}
}

// unreachable classifies a request that got no answer.
func unreachable(err error) error {
	slow, ok := errors.AsType[net.Error](err)
	if errors.Is(err, context.DeadlineExceeded) || ok && slow.Timeout() {
		return &Error{Reason: Timeout, Err: err}
	}
	return &Error{Reason: Unavailable, Err: err}
}
