package sqs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

const (
	targetPrefix = "AmazonSQS."
	contentType  = "application/x-amz-json-1.0"
	maxRequest   = 4 << 20 // more than a batch needs whose every character is escaped
)

// request is one request as operations see it.
type request struct {
	ctx  context.Context
	base string // begins the URLs of queues: scheme, host and account
	body []byte
}

// operation carries out one API action.
type operation func(*Service, request) (any, error)

// operations lists the whole API that is served.
func operations(name string) operation {
	switch name {
	case "CreateQueue":
		return serve((*Service).createQueue)
	case "SetQueueAttributes":
		return serve((*Service).setQueueAttributes)
	case "GetQueueUrl":
		return serve((*Service).getQueueURL)
	case "GetQueueAttributes":
		return serve((*Service).getQueueAttributes)
	case "PurgeQueue":
		return serve((*Service).purgeQueue)
	case "SendMessage":
		return serve((*Service).sendMessage)
	case "SendMessageBatch":
		return serve((*Service).sendMessageBatch)
	case "ReceiveMessage":
		return serve((*Service).receiveMessage)
	case "DeleteMessage":
		return serve((*Service).deleteMessage)
	case "DeleteMessageBatch":
		return serve((*Service).deleteMessageBatch)
	case "ChangeMessageVisibility":
		return serve((*Service).changeMessageVisibility)
	}
	return nil
}

func serve[In any](do func(*Service, request, In) (any, error)) operation {
	return func(s *Service, r request) (any, error) {
		var in In
		decoder := json.NewDecoder(bytes.NewReader(r.body))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&in); err != nil {
			if name, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
				return nil, unsupported("parameter %s", name)
			}
			return nil, refuse("SerializationException", "%s", err)
		}
		return do(s, r, in)
	}
}

// ServeHTTP speaks the AWS JSON 1.0 protocol.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := s.handle(r)
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func (s *Service) handle(r *http.Request) (any, error) {
	target := r.Header.Get("X-Amz-Target")
	name, found := strings.CutPrefix(target, targetPrefix)
	run := operations(name)
	if r.Method != http.MethodPost || !found || run == nil {
		return nil, refuse("UnknownOperationException", "An unknown operation was requested: %s", target)
	}
	if r.Header.Get("Authorization") == "" {
		return nil, refuse("MissingAuthenticationTokenException", "Request is missing Authentication Token")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		return nil, refuse("SerializationException", "%s", err)
	}
	if len(body) > maxRequest {
		return nil, &Error{Type: "RequestEntityTooLarge", Message: "Request body is too large", Status: http.StatusRequestEntityTooLarge}
	}
	if err := s.askHook(name, body); err != nil {
		return nil, err
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return run(s, request{r.Context(), scheme + "://" + r.Host + "/" + s.opts.AccountID + "/", body})
}

func (s *Service) askHook(name string, body []byte) error {
	if s.opts.Hook == nil {
		return nil
	}
	var of struct{ QueueUrl, QueueName string }
	_ = json.Unmarshal(body, &of) // the operation says what is wrong with the body
	return s.opts.Hook(name, of.QueueName+of.QueueUrl[strings.LastIndex(of.QueueUrl, "/")+1:])
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Errorf("sqs: answer of type %T: %w", body, err))
	}
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Content-Length", strconv.Itoa(len(raw)))
	header.Set("X-Amzn-Requestid", uuid.NewString())
	w.WriteHeader(status)
	_, _ = w.Write(raw) // a client that is gone cannot be told
}
