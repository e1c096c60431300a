package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Queue is an SQS queue.
type Queue struct {
	LogicalID  string
	Name       string
	ARN        string
	Attributes map[string]string // as CreateQueue takes them; none that the template does not set
}

// Source is an event source mapping: what invokes a function with batches.
//
// AWS SAM itself gives the function's role the rights that Lambda's poller needs (reading
// the stream or the queue, deleting messages, sending to OnFailure). They are not among
// Function.Rights, because the function's own code does not use them.
type Source struct {
	Name     string // of the event in the template
	Function string // the folder under functions/
	Table    string // name of the table whose stream it reads; empty for a queue
	Queue    string // ARN of the queue it reads; empty for a stream

	BatchSize               int // 0 where the template leaves it to Lambda
	ReportBatchItemFailures bool
	MaximumConcurrency      int      // of a queue; 0 is Lambda's own limit
	StartingPosition        string   // of a stream, as the following
	Filters                 []string // patterns
	MaximumRetryAttempts    *int     // nil retries for ever
	OnFailure               string   // ARN of a queue; empty is no queue
}

// Queues are the SQS queues, those behind which no dead-letter queue stands first, so that
// they can be created in this order.
func (t *Template) Queues() []Queue { return slices.Clone(t.queues) }

// Sources are the event source mappings that are enabled, ordered by function and name.
func (t *Template) Sources() []Source { return slices.Clone(t.sources) }

// streamSuffix ends the ARN of a table's stream: its real end is known after deployment.
const streamSuffix = "/stream/latest"

// strictly fills out with properties, and refuses those that it has no field for.
func strictly(properties map[string]any, out any) error {
	data, err := json.Marshal(properties)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		if name, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
			return fmt.Errorf("property %s is not supported", name)
		}
		return err
	}
	return nil
}

func (t *Template) addQueue(r *resolver, id string) error {
	resolved, err := r.resolve(r.resources[id].Properties)
	if err != nil {
		return err
	}
	properties := maps.Clone(resolved.(map[string]any))
	delete(properties, "Tags")
	var p struct {
		QueueName                                                                              string
		DelaySeconds, VisibilityTimeout, MessageRetentionPeriod, ReceiveMessageWaitTimeSeconds json.Number
		SqsManagedSseEnabled                                                                   bool
		KmsMasterKeyId                                                                         string
		RedrivePolicy                                                                          *struct {
			DeadLetterTargetArn string      `json:"deadLetterTargetArn"`
			MaxReceiveCount     json.Number `json:"maxReceiveCount"`
		}
	}
	if err := strictly(properties, &p); err != nil {
		return err
	}
	arn, err := r.arn(id)
	if err != nil {
		return err
	}
	q := Queue{LogicalID: id, Name: p.QueueName, ARN: arn, Attributes: map[string]string{}}
	var texts map[string]json.RawMessage
	if err := convert(properties, &texts); err != nil {
		return err
	}
	delete(texts, "QueueName")
	for name, text := range texts {
		q.Attributes[name] = strings.Trim(string(text), `"`)
	}
	if p.RedrivePolicy != nil {
		policy, err := json.Marshal(p.RedrivePolicy)
		if err != nil {
			return err
		}
		q.Attributes["RedrivePolicy"] = string(policy)
		t.queues = append(t.queues, q)
		return nil
	}
	t.queues = slices.Insert(t.queues, 0, q)
	return nil
}

// sourceProperties are those that streams and queues have in common.
type sourceProperties struct {
	Enabled               *bool
	BatchSize             int
	FunctionResponseTypes []string
}

func (p sourceProperties) reports() (bool, error) {
	if len(p.FunctionResponseTypes) == 0 {
		return false, nil
	}
	if !slices.Equal(p.FunctionResponseTypes, []string{"ReportBatchItemFailures"}) {
		return false, fmt.Errorf("FunctionResponseTypes %v is not supported", p.FunctionResponseTypes)
	}
	return true, nil
}

// addSource adds an event source mapping of a function's event.
func (t *Template) addSource(function, name, kind string, properties map[string]any) error {
	read := streamSource
	if kind == "SQS" {
		read = queueSource
	}
	s, enabled, err := read(properties)
	if err != nil || !enabled {
		return err
	}
	s.Name, s.Function = name, function
	t.sources = append(t.sources, s)
	return nil
}

func queueSource(properties map[string]any) (s Source, enabled bool, err error) {
	var p struct {
		sourceProperties

		Queue         string
		ScalingConfig struct{ MaximumConcurrency json.Number } // text where a parameter says it
	}
	if err := strictly(properties, &p); err != nil {
		return s, false, err
	}
	if p.Queue == "" {
		return s, false, errors.New("the event names no Queue")
	}
	s = Source{Queue: p.Queue, BatchSize: p.BatchSize}
	if most := p.ScalingConfig.MaximumConcurrency; most != "" {
		if s.MaximumConcurrency, err = strconv.Atoi(most.String()); err != nil {
			return s, false, fmt.Errorf("MaximumConcurrency: %w", err)
		}
	}
	s.ReportBatchItemFailures, err = p.reports()
	return s, p.Enabled == nil || *p.Enabled, err
}

func streamSource(properties map[string]any) (s Source, enabled bool, err error) {
	var p struct {
		sourceProperties

		Stream, StartingPosition string
		MaximumRetryAttempts     *int
		FilterCriteria           struct{ Filters []struct{ Pattern string } }
		DestinationConfig        struct {
			OnFailure struct{ Type, Destination string }
		}
	}
	if err := strictly(properties, &p); err != nil {
		return s, false, err
	}
	_, table, _ := strings.Cut(p.Stream, ":table/")
	table, found := strings.CutSuffix(table, streamSuffix)
	if !found {
		return s, false, fmt.Errorf("Stream %q is not the StreamArn of a table", p.Stream)
	}
	if kind := p.DestinationConfig.OnFailure.Type; kind != "" && kind != "SQS" {
		return s, false, fmt.Errorf("OnFailure of type %q is not supported", kind)
	}
	s = Source{Table: table, BatchSize: p.BatchSize, StartingPosition: p.StartingPosition, MaximumRetryAttempts: p.MaximumRetryAttempts, OnFailure: p.DestinationConfig.OnFailure.Destination}
	for _, f := range p.FilterCriteria.Filters {
		s.Filters = append(s.Filters, f.Pattern)
	}
	s.ReportBatchItemFailures, err = p.reports()
	return s, p.Enabled == nil || *p.Enabled, err
}
