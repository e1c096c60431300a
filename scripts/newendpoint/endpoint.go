package main

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"go/token"
	"net/http"
	"regexp"
	"strings"
	"sync"
)

// endpoint is what the templates know about a new endpoint.
type endpoint struct {
	Name, Method, Path  string
	Verb, Things        string // list, notes
	Owner               *owner // of the id in the path; nil without one
	Admin, Lists, Posts bool
	Tag, Scope          string
}

var (
	goodName  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z]{3,40}$`) })
	goodRoute = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE) ((?:/[a-z][a-z0-9-]*|/\{[a-z_]+\})+)$`)
	})
	parameter = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\{([a-z_]+)\}`) })
)

// verbs begin the names of functions. The rest of a name is what the function is about.
var verbs = []string{"add", "approve", "assign", "cancel", "create", "delete", "get", "list", "pause", "read", "reject", "release", "remove", "restore",
	"resume", "revoke", "rotate", "send", "set", "show", "start", "stop", "test", "transfer", "update"}

// parse checks a name and a route.
func parse(name, route string) (e endpoint, err error) {
	if !goodName().MatchString(name) || token.IsKeyword(name) || name == "all" || name == "main" {
		return e, fmt.Errorf("FN=%q is no name of a function: use 3 to 40 lower-case letters, a verb and a noun, such as listnotes", name)
	}
	parts := goodRoute().FindStringSubmatch(route)
	if parts == nil {
		return e, fmt.Errorf("ROUTE=%q is no route: use a method in capitals and a path in lower case, such as 'GET /outbound-calls/{call_id}/notes'", route)
	}
	e = endpoint{Name: name, Method: parts[1], Path: parts[2], Things: name}
	for _, verb := range verbs {
		if rest, has := strings.CutPrefix(name, verb); has && rest != "" {
			e.Verb, e.Things = verb, rest
		}
	}
	first := strings.Split(e.Path, "/")[1]
	e.Admin, e.Posts = first == "admin", e.Method == http.MethodPost
	e.Lists = e.Verb == "list" && e.Method == http.MethodGet
	return e, e.place(first)
}

// place finds the owner of the id in the path, the tag and the scope.
func (e *endpoint) place(first string) error {
	at, known := areas[first]
	ids := parameter().FindAllStringSubmatch(e.Path, -1)
	switch {
	case len(ids) > 1:
		return fmt.Errorf("the path %s has %d ids: make new reads one; copy the nearest endpoint instead", e.Path, len(ids))
	case len(ids) == 1:
		found, has := owners[ids[0][1]]
		if !has {
			return fmt.Errorf("the path %s has the id %s: make new knows {call_id}, {request_id}, {phone_number_id} and {endpoint_id}", e.Path, ids[0][0])
		}
		if e.Admin && found.ByID == "" {
			return fmt.Errorf("the path %s is an administrator's: only its owner may read a %s", e.Path, found.Noun)
		}
		e.Owner = &found
		if !e.Admin {
			at, known = area{found.Tag, found.Read, found.Write}, true
		}
	}
	if !known {
		return errors.New("the path " + e.Path + " begins with no segment of the API: make new knows /outbound-calls, /events, /telephony, /webhook-endpoints and /admin")
	}
	e.Tag, e.Scope = at.tag, at.write
	if e.Method == http.MethodGet {
		e.Scope = at.read
	}
	return nil
}

// ByUser reports whether the store itself checks the user.
func (e endpoint) ByUser() bool { return e.Owner != nil && !e.Admin && e.Owner.ByUser != "" }

// ChecksOwner reports whether the handler compares the user.
func (e endpoint) ChecksOwner() bool { return e.Owner != nil && !e.Admin && e.Owner.ByUser == "" }

// Keeps reports whether the handler uses what it reads.
func (e endpoint) Keeps() bool { return e.ChecksOwner() || !e.Lists }

// Read is the store's method that the handler calls.
func (e endpoint) Read() string {
	if e.ByUser() {
		return e.Owner.ByUser
	}
	return e.Owner.ByID
}

// Trips is how many requests to DynamoDB the test's request causes. A key costs one, and an
// administrator's token two.
func (e endpoint) Trips() (n int) {
	n = 1
	if e.Admin {
		n++
	}
	if e.Owner != nil {
		n++
	}
	return n
}

// Handler is the name of the method that answers.
func (e endpoint) Handler() string {
	if e.Verb == "" {
		return "serve"
	}
	return e.Verb
}

// HandlerTitle is Handler with a capital.
func (e endpoint) HandlerTitle() string { return title(e.Handler()) }

// LogicalID is the name of the resources, without Function.
func (e endpoint) LogicalID() string { return title(e.Verb) + title(e.Things) }

// OperationID names the operation in the API's document.
func (e endpoint) OperationID() string { return strings.TrimPrefix(e.Verb+"-"+e.Things, "-") }

// Summary is the operation in words.
func (e endpoint) Summary() string { return title(strings.TrimSpace(e.Verb + " " + e.Things)) }

// Does says what the endpoint does, after its name.
func (e endpoint) Does() string {
	if e.Verb == "" {
		return "serves " + e.Things
	}
	return e.Verb + "s " + e.Things
}

// MethodName is the method as in http.MethodGet.
func (e endpoint) MethodName() string { return title(strings.ToLower(e.Method)) }

// SamplePath is the path of the sample event.
func (e endpoint) SamplePath() string {
	if e.Owner == nil {
		return e.Path
	}
	return strings.Replace(e.Path, "{"+e.Owner.Parameter+"}", e.Owner.EventID, 1)
}

// TraceID and RequestID look as AWS's do, and differ from those of the other sample events.
func (e endpoint) TraceID() string { return fmt.Sprintf("%x", sha256.Sum256([]byte(e.Name)))[:24] }

// RequestID is API Gateway's id of the sample event.
func (e endpoint) RequestID() string {
	sum := sha256.Sum256([]byte(e.Name + " request"))
	return base64.StdEncoding.EncodeToString(sum[:])[:15] + "="
}

func title(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}
