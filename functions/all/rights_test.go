package all_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/krosai/telephony/emulator/iam"
	"github.com/krosai/telephony/emulator/stepfunctions"
	"github.com/krosai/telephony/emulator/template"
	"github.com/krosai/telephony/shared/call"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/obs"
	"github.com/krosai/telephony/shared/store"
	"github.com/krosai/telephony/shared/store/storetest"
)

// Every function that a test of this package runs may do what its role in template.yaml allows, and
// nothing else. When the whole package has run, no right may be left that no function has used.

// ledger records the rights that were used. It holds their places in the function's list, because
// each test's stack has resources with names of their own.
type ledger struct {
	mu   sync.Mutex
	used map[string]map[int]bool
}

var rights = ledger{used: map[string]map[int]bool{}}

func (l *ledger) ran(function string) map[int]bool {
	if l.used[function] == nil {
		l.used[function] = map[int]bool{}
	}
	return l.used[function]
}

// as lets a function run with its rights, and discards its metrics.
func as(ctx context.Context, function string) context.Context {
	rights.mu.Lock()
	defer rights.mu.Unlock()
	rights.ran(function)
	return obs.WithOutput(iam.As(ctx, function), io.Discard)
}

// roles returns the roles of the functions of a test's stack. They record each right that is used.
func roles(t *testing.T, functions []template.Function) *iam.Roles {
	t.Helper()
	byName := map[string]template.Function{}
	for _, f := range functions {
		byName[f.Folder] = f
	}
	r, err := iam.New(functions, func(function string, right template.Right) {
		rights.mu.Lock()
		defer rights.mu.Unlock()
		rights.ran(function)[slices.Index(byName[function].Rights, right)] = true
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// deprive takes the rights to actions away from a function.
func deprive(functions []template.Function, name string, actions []string) []template.Function {
	for i, f := range functions {
		if f.Folder != name {
			continue
		}
		functions[i].Rights = slices.Clone(f.Rights)
		for j, right := range f.Rights {
			if slices.Contains(actions, right.Action) {
				functions[i].Rights[j].Action = "none:None" // the others keep their places
			}
		}
	}
	return functions
}

// TestWithoutARight checks that a function without a right fails as it does when the database or
// Step Functions is out of reach, and that it has done nothing.
func TestWithoutARight(t *testing.T) {
	t.Parallel()
	unknown := func(s *stage) {
		if c, err := s.DB.Call(s.Context(), sampleCall); !fault.Is(err, fault.NotFound) {
			s.Errorf("there is the call %+v, %v", c, err)
		}
	}
	for name, tc := range map[string]struct {
		function, action string
		nothing          func(s *stage) // fails the test if something was done
	}{
		"write a call": {"createcall", "dynamodb:PutItem", func(s *stage) {
			calls, _, err := s.CallsOf(s.Context(), sampleUser, store.History{}, 10, "")
			_, may, permitErr := s.CallPermit(s.Context(), sampleUser, "")
			if hour := may.Hour(); len(calls) > 0 || hour.Quota == 0 || hour.Used != 0 || err != nil || permitErr != nil {
				s.Errorf("%d calls, %d counted, %v, %v", len(calls), may.Hour().Used, err, permitErr)
			}
		}},
		"start its workflow": {"createcall", "states:StartExecution", func(s *stage) {
			calls, _, err := s.CallsOf(s.Context(), sampleUser, store.History{}, 10, "")
			if len(calls) != 1 || calls[0].Status != call.Failed || err != nil {
				s.Errorf("calls: %+v, %v", calls, err)
			}
		}},
		"check a number": {"requestnumber", "dynamodb:ConditionCheckItem", func(s *stage) {
			if found, _, err := s.RequestsOf(s.Context(), sampleUser, 10, ""); len(found) > 0 || err != nil {
				s.Errorf("requests: %+v, %v", found, err)
			}
		}},
		"read a list": {"listcalls", "dynamodb:Query", unknown},
		"check a key": {"listnumbers", "dynamodb:UpdateItem", unknown},
		"claim a dial": {"dialcall", "dynamodb:UpdateItem", func(s *stage) {
			if asked := s.livekit.Requests(); len(asked) > 0 {
				s.Errorf("LiveKit was asked: %v", asked)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openStage(t, tc.function, tc.action)
			if f := prepare[tc.function]; f != nil && tc.function != "listcalls" {
				f(s)
			}
			if s.route {
				if answer := string(s.send(s.event())); statusOf(t, answer) != http.StatusServiceUnavailable || !strings.Contains(answer, "UNAVAILABLE") {
					t.Error(answer)
				}
			} else if out, err := s.task.Invoke(as(t.Context(), tc.function), s.event()); err == nil || !strings.Contains(err.Error(), "not authorized to perform: "+tc.action) {
				t.Errorf("answered %s, %v", out, err)
			}
			tc.nothing(s)
			if started := s.Workflows.Started(); len(started) > 0 {
				t.Errorf("started %v", started)
			}
		})
	}
}

// obedient returns a database that holds functions to their rights.
func obedient(t *testing.T) (*storetest.Database, *iam.Roles) {
	t.Helper()
	db := storetest.Open(t, nil)
	r := roles(t, db.Template.Functions())
	db.Obey(r)
	return db, r
}

// workflows returns a client of Step Functions that holds functions to their rights.
func workflows(r *iam.Roles, s *stepfunctions.Service) *http.Client {
	return &http.Client{Transport: r.Guard(s.Client().Transport, s.MachineOf)}
}

// unused returns the rights that the template gives and no function has used, and the functions
// that have not run.
func (l *ledger) unused(functions []template.Function) (problems []string) {
	for _, f := range functions {
		if l.used[f.Folder] == nil {
			problems = append(problems, f.Folder+" never ran")
			continue
		}
		for i, right := range f.Rights {
			if iam.Emulated(right) && !l.used[f.Folder][i] {
				problems = append(problems, fmt.Sprintf("%s never used %s on %s", f.Folder, right.Action, right.Resource))
			}
		}
	}
	return problems
}

func TestMain(m *testing.M) {
	flag.Parse()
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if !given["test.parallel"] {
		_ = flag.Set("test.parallel", "12") // most of them wait most of the time
	}
	code := m.Run()
	whole := !testing.Short() && code == 0
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		whole = whole && flag.Lookup(name).Value.String() == ""
	}
	if !whole {
		fmt.Println("not judged: whether template.yaml grants rights that nobody uses, which takes the whole package and its success")
		os.Exit(code)
	}
	tpl, err := template.Open("../../template.yaml", template.Values{"LiveKitUrl": "ws://127.0.0.1", "LiveKitApiKey": "k", "LiveKitApiSecret": "s"})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if problems := rights.unused(tpl.Functions()); len(problems) > 0 {
		fmt.Println("template.yaml grants what no test of this package needs. Take it away, or test the path that needs it:\n\t" + strings.Join(problems, "\n\t"))
		code = 1
	}
	os.Exit(code)
}
