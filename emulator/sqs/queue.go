package sqs

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// queue is a queue's definition. It is never changed in place.
type queue struct {
	Name              string
	Attributes        map[string]string // those that can be set, with their defaults
	Created, Modified time.Time
	Purged            time.Time
}

// setting is an attribute whose value is a number of seconds (API Reference,
// SetQueueAttributes).
type setting struct {
	name          string
	least, most   int
	defaultsValue int
}

func settings() []setting {
	return []setting{
		{"DelaySeconds", 0, maxDelay, 0},
		{"VisibilityTimeout", 0, maxVisibility, 30},
		{"MessageRetentionPeriod", 60, 1209600, 345600},
		{"ReceiveMessageWaitTimeSeconds", 0, maxWait, 0},
	}
}

const (
	redrivePolicy = "RedrivePolicy"
	managedSSE    = "SqsManagedSseEnabled"
	kmsKey        = "KmsMasterKeyId"
)

// redrive says where messages go that were received too often.
type redrive struct {
	DeadLetterTargetArn string      `json:"deadLetterTargetArn"`
	MaxReceiveCount     json.Number `json:"maxReceiveCount"`
}

// seconds is the value of a setting, which was checked when it was set.
func (q queue) seconds(name string) time.Duration {
	n, _ := strconv.Atoi(q.Attributes[name])
	return time.Duration(n) * time.Second
}

// deadLetter is the queue that takes what was received more than most times, or
// "".
func (q queue) deadLetter() (name string, most int) {
	var r redrive
	if json.Unmarshal([]byte(q.Attributes[redrivePolicy]), &r) != nil {
		return "", 0
	}
	count, _ := r.MaxReceiveCount.Int64()
	return r.DeadLetterTargetArn[strings.LastIndex(r.DeadLetterTargetArn, ":")+1:], int(count)
}

type createQueueInput struct {
	QueueName  *string
	Attributes map[string]string
}

func (s *Service) createQueue(r request, in createQueueInput) (any, error) {
	if in.QueueName == nil {
		return nil, missing("QueueName")
	}
	if !regexp.MustCompile(`^[0-9A-Za-z_-]{1,80}$`).MatchString(*in.QueueName) {
		return nil, invalid("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	err := s.update(func(tx *bbolt.Tx) error {
		if err := s.checkAttributes(tx, in.Attributes); err != nil {
			return err
		}
		if existing, err := find(tx, *in.QueueName); err == nil {
			return existing.sameAs(in.Attributes)
		}
		q := queue{Name: *in.QueueName, Attributes: map[string]string{managedSSE: "true"}, Created: s.opts.Now(), Modified: s.opts.Now()}
		for _, known := range settings() {
			q.Attributes[known.name] = strconv.Itoa(known.defaultsValue)
		}
		q.set(in.Attributes)
		return q.create(tx)
	})
	if err != nil {
		return nil, err
	}
	return map[string]string{"QueueUrl": r.base + *in.QueueName}, nil
}

// checkAttributes checks attributes that a request sets.
func (s *Service) checkAttributes(tx *bbolt.Tx, given map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		value := given[name]
		wrong := refuse("InvalidAttributeValue", "Invalid value for the parameter %s.", name)
		i := slices.IndexFunc(settings(), func(known setting) bool { return known.name == name })
		switch {
		case i >= 0:
			n, err := strconv.Atoi(value)
			if known := settings()[i]; err != nil || n < known.least || n > known.most {
				return wrong
			}
		case name == redrivePolicy:
			if err := s.checkRedrive(tx, value); err != nil {
				return err
			}
		case name == managedSSE:
			if value != "true" && value != "false" {
				return wrong
			}
		case name != kmsKey:
			return refuse("InvalidAttributeName", "Unknown Attribute %s.", name)
		}
	}
	return nil
}

func (s *Service) checkRedrive(tx *bbolt.Tx, value string) error {
	if value == "" {
		return nil // takes the policy away
	}
	wrong := func(reason string) error {
		return invalid("Value %s for parameter RedrivePolicy is invalid. Reason: %s", value, reason)
	}
	var r redrive
	decoder := json.NewDecoder(strings.NewReader(value))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return wrong("Redrive policy is not a valid JSON map.")
	}
	count, err := r.MaxReceiveCount.Int64()
	if err != nil || count < 1 || count > 1000 {
		return wrong("Invalid value for maxReceiveCount: " + r.MaxReceiveCount.String() + ", valid values are from 1 to 1000 both inclusive.")
	}
	name, found := strings.CutPrefix(r.DeadLetterTargetArn, s.ARN(""))
	if _, err := find(tx, name); !found || err != nil {
		return wrong("Dead letter target does not exist.")
	}
	return nil
}

func (q queue) sameAs(given map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if given[name] != q.Attributes[name] {
			return refuse("QueueNameExists", "A queue already exists with the same name and a different value for attribute %s", name)
		}
	}
	return nil
}

// set sets attributes; an empty one is taken away.
func (q *queue) set(given map[string]string) {
	q.Attributes = maps.Clone(q.Attributes)
	for name, value := range given {
		q.Attributes[name] = value
		if value == "" {
			delete(q.Attributes, name)
		}
	}
}

type setQueueAttributesInput struct {
	QueueUrl   *string
	Attributes map[string]string
}

func (s *Service) setQueueAttributes(_ request, in setQueueAttributesInput) (any, error) {
	return struct{}{}, s.onQueue(in.QueueUrl, func(tx *bbolt.Tx, q queue) error {
		if err := s.checkAttributes(tx, in.Attributes); err != nil {
			return err
		}
		q.set(in.Attributes)
		q.Modified = s.opts.Now()
		return q.save(tx)
	})
}

type getQueueURLInput struct{ QueueName, QueueOwnerAWSAccountId *string }

func (s *Service) getQueueURL(r request, in getQueueURLInput) (any, error) {
	if in.QueueName == nil {
		return nil, missing("QueueName")
	}
	if owner := in.QueueOwnerAWSAccountId; owner != nil && *owner != s.opts.AccountID {
		return nil, noQueue()
	}
	err := s.file.View(func(tx *bbolt.Tx) error {
		_, err := find(tx, *in.QueueName)
		return err
	})
	return map[string]string{"QueueUrl": r.base + *in.QueueName}, err
}

type getQueueAttributesInput struct {
	QueueUrl       *string
	AttributeNames []string
}

func (s *Service) getQueueAttributes(_ request, in getQueueAttributesInput) (any, error) {
	var all map[string]string
	err := s.viewQueue(in.QueueUrl, func(tx *bbolt.Tx, q queue) error {
		all = maps.Clone(q.Attributes)
		visible, inFlight, delayed := q.open(tx).count(s.opts.Now())
		for name, value := range map[string]any{
			"ApproximateNumberOfMessages":           visible,
			"ApproximateNumberOfMessagesNotVisible": inFlight,
			"ApproximateNumberOfMessagesDelayed":    delayed,
			"CreatedTimestamp":                      q.Created.Unix(),
			"LastModifiedTimestamp":                 q.Modified.Unix(),
			"MaximumMessageSize":                    maxMessage,
			"QueueArn":                              s.ARN(q.Name),
		} {
			all[name] = fmt.Sprint(value)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	known := append(slices.Collect(maps.Keys(all)), redrivePolicy, kmsKey, "All")
	for _, name := range in.AttributeNames {
		if !slices.Contains(known, name) {
			return nil, refuse("InvalidAttributeName", "Unknown Attribute %s.", name)
		}
	}
	maps.DeleteFunc(all, func(name, _ string) bool {
		return !slices.Contains(in.AttributeNames, name) && !slices.Contains(in.AttributeNames, "All")
	})
	if len(all) == 0 {
		return struct{}{}, nil
	}
	return map[string]any{"Attributes": all}, nil
}

type queueInput struct{ QueueUrl *string }

// purgeInterval is the time that must pass between two purges of a queue.
const purgeInterval = time.Minute

func (s *Service) purgeQueue(_ request, in queueInput) (any, error) {
	return struct{}{}, s.onQueue(in.QueueUrl, func(tx *bbolt.Tx, q queue) error {
		if s.opts.Now().Sub(q.Purged) < purgeInterval {
			return refuse("PurgeQueueInProgress", "Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.Name)
		}
		if err := q.empty(tx); err != nil {
			return err
		}
		q.Purged = s.opts.Now()
		return q.save(tx)
	})
}

// nameOf is the name in a queue's URL. The URL's host is not looked at, as platforms and
// tests reach the emulator by several.
func (s *Service) nameOf(url *string) (string, error) {
	if url == nil {
		return "", missing("QueueUrl")
	}
	parts := strings.Split(*url, "/")
	if len(parts) < 2 || parts[len(parts)-2] != s.opts.AccountID {
		return "", noQueue()
	}
	return parts[len(parts)-1], nil
}

// onQueue runs do in a write transaction, under the rules of update.
func (s *Service) onQueue(url *string, do func(tx *bbolt.Tx, q queue) error) error {
	return s.inQueue(url, s.update, do)
}

// viewQueue runs do on a consistent snapshot.
func (s *Service) viewQueue(url *string, do func(tx *bbolt.Tx, q queue) error) error {
	return s.inQueue(url, s.file.View, do)
}

func (s *Service) inQueue(url *string, in func(func(*bbolt.Tx) error) error, do func(tx *bbolt.Tx, q queue) error) error {
	name, err := s.nameOf(url)
	if err != nil {
		return err
	}
	return in(func(tx *bbolt.Tx) error {
		q, err := find(tx, name)
		if err != nil {
			return err
		}
		return do(tx, q)
	})
}
