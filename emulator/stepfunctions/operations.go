package stepfunctions

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

type startExecutionInput struct {
	StateMachineARN *string `json:"stateMachineArn"`
	Name            *string `json:"name"`
	Input           *string `json:"input"`
}

func (s *Service) startExecution(in startExecutionInput) (any, error) {
	machine, err := s.nameOfMachine(in.StateMachineARN)
	if err != nil {
		return nil, err
	}
	name, input := uuid.NewString(), "{}"
	if in.Name != nil {
		name = *in.Name
	}
	if in.Input != nil {
		input = *in.Input
	}
	if !validName(name) {
		return nil, apiErrorf("InvalidName", "Invalid Name: '%s'", name)
	}
	if len(input) > maxData {
		return nil, apiErrorf("InvalidExecutionInput", "Invalid State Machine Execution Input: more than %d bytes", maxData)
	}
	if _, err := decode([]byte(input)); err != nil {
		return nil, apiErrorf("InvalidExecutionInput", "Invalid State Machine Execution Input: %v", err)
	}
	r, err := s.start(machine, name, input)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return struct {
		ExecutionARN string `json:"executionArn"`
		StartDate    epoch  `json:"startDate"`
	}{r.rec.ARN, epoch(r.rec.Start)}, nil
}

// executionView is an execution as DescribeExecution and ListExecutions show it.
type executionView struct {
	ExecutionARN    string   `json:"executionArn"`
	StateMachineARN string   `json:"stateMachineArn"`
	Name            string   `json:"name"`
	Status          string   `json:"status"`
	StartDate       epoch    `json:"startDate"`
	StopDate        *epoch   `json:"stopDate,omitempty"`
	Input           *string  `json:"input,omitempty"`
	InputDetails    *dataCWE `json:"inputDetails,omitempty"`
	Output          *string  `json:"output,omitempty"`
	OutputDetails   *dataCWE `json:"outputDetails,omitempty"`
	Error           *string  `json:"error,omitempty"`
	Cause           *string  `json:"cause,omitempty"`
	RedriveCount    int      `json:"redriveCount"`
	RedriveStatus   string   `json:"redriveStatus,omitempty"`
	RedriveReason   string   `json:"redriveStatusReason,omitempty"`

	sequence int64
}

type dataCWE struct {
	Included bool `json:"included"`
}

// view returns what lists show of an execution; r.mu is held.
func (r *run) view() executionView {
	v := executionView{
		ExecutionARN: r.rec.ARN, StateMachineARN: r.s.machineARN(r.rec.Machine), Name: r.rec.Name,
		Status: r.rec.Status, StartDate: epoch(r.rec.Start), sequence: r.rec.Sequence,
	}
	if r.rec.Status != running {
		stop := epoch(r.rec.Stop)
		v.StopDate = &stop
	}
	return v
}

type executionInput struct {
	ExecutionARN *string `json:"executionArn"`
}

func (s *Service) describeExecution(in executionInput) (any, error) {
	r, err := s.execution(in.ExecutionARN)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return nil, r.broken
	}
	v := r.view()
	v.Input, v.InputDetails = &r.rec.Input, &dataCWE{true}
	if r.rec.Output != nil {
		v.Output, v.OutputDetails = r.rec.Output, &dataCWE{true}
	}
	if f := r.rec.Failure; f != nil {
		v.Error, v.Cause = optional(f.Error), optional(f.Cause)
	}
	v.RedriveStatus, v.RedriveReason = "NOT_REDRIVABLE", "The emulator does not support redrive"
	return v, nil
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

type stopExecutionInput struct {
	ExecutionARN *string `json:"executionArn"`
	Error        string  `json:"error"`
	Cause        string  `json:"cause"`
}

func (s *Service) stopExecution(in stopExecutionInput) (any, error) {
	r, err := s.execution(in.ExecutionARN)
	if err != nil {
		return nil, err
	}
	if err := checkError(in.Error, in.Cause); err != nil {
		return nil, err
	}
	err = r.commit(func(c *change) {
		var f *failure
		if in.Error != "" || in.Cause != "" {
			f = &failure{in.Error, in.Cause}
		}
		c.stop(aborted, 0, nil, f)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec.Status == running || r.broken != nil {
		return nil, err
	}
	return struct {
		StopDate epoch `json:"stopDate"`
	}{epoch(r.rec.Stop)}, nil
}

type listExecutionsInput struct {
	StateMachineARN *string `json:"stateMachineArn"`
	StatusFilter    string  `json:"statusFilter"`
	MaxResults      int     `json:"maxResults"`
	NextToken       string  `json:"nextToken"`
}

// listExecutions lists the executions of a machine, the youngest first.
func (s *Service) listExecutions(in listExecutionsInput) (any, error) {
	machine, err := s.nameOfMachine(in.StateMachineARN)
	if err != nil {
		return nil, err
	}
	if err := s.machineExists(machine); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"", running, succeeded, failed, timedOut, aborted}, in.StatusFilter) {
		return nil, apiErrorf("ValidationException", "unsupported statusFilter %q", in.StatusFilter)
	}
	below, size, err := page(in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	var views []executionView
	for _, r := range s.runsOf(machine) {
		r.mu.Lock()
		v := r.view()
		r.mu.Unlock()
		if (in.StatusFilter == "" || v.Status == in.StatusFilter) && (below == 0 || v.sequence < below) {
			views = append(views, v)
		}
	}
	slices.SortFunc(views, func(a, b executionView) int { return int(b.sequence - a.sequence) })
	next := ""
	if len(views) > size {
		views = views[:size]
		next = pageToken(views[size-1].sequence)
	}
	return struct {
		Executions []executionView `json:"executions"`
		NextToken  string          `json:"nextToken,omitempty"`
	}{append([]executionView{}, views...), next}, nil
}

func (s *Service) runsOf(machine string) []*run {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*run
	for _, r := range s.runs {
		if r.rec.Machine == machine {
			list = append(list, r)
		}
	}
	return list
}

type historyInput struct {
	ExecutionARN *string `json:"executionArn"`
	MaxResults   int     `json:"maxResults"`
	NextToken    string  `json:"nextToken"`
	ReverseOrder bool    `json:"reverseOrder"`
	IncludeData  *bool   `json:"includeExecutionData"`
}

func (s *Service) getExecutionHistory(in historyInput) (any, error) {
	r, err := s.execution(in.ExecutionARN)
	if err != nil {
		return nil, err
	}
	first, size, err := page(in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	total := r.rec.Events
	r.mu.Unlock()
	step := int64(1)
	if in.ReverseOrder {
		step = -1
	}
	switch {
	case first == 0 && in.ReverseOrder:
		first = total
	case first == 0:
		first = 1
	}
	events, err := s.store.events(r.rec.ARN, first, size, in.ReverseOrder)
	if err != nil {
		return nil, err
	}
	next := ""
	if after := first + step*int64(len(events)); len(events) == size && after >= 1 && after <= total {
		next = pageToken(after)
	}
	for i := range events {
		if in.IncludeData != nil && !*in.IncludeData {
			events[i] = withoutData(events[i])
		}
	}
	return struct {
		Events    []json.RawMessage `json:"events"`
		NextToken string            `json:"nextToken,omitempty"`
	}{append([]json.RawMessage{}, events...), next}, nil
}

type sendTaskSuccessInput struct {
	TaskToken *string `json:"taskToken"`
	Output    *string `json:"output"`
}

func (s *Service) sendTaskSuccess(in sendTaskSuccessInput) (any, error) {
	if in.Output == nil {
		return nil, missing("output")
	}
	if len(*in.Output) > maxData {
		return nil, apiErrorf("InvalidOutput", "Invalid Output: more than %d bytes", maxData)
	}
	output, err := decode([]byte(*in.Output))
	if err != nil {
		return nil, apiErrorf("InvalidOutput", "Invalid Output: %v", err)
	}
	return s.answerTask(in.TaskToken, func(c *change, b *branch, st *state) {
		c.taskSucceeded(b, st, output)
	})
}

type sendTaskFailureInput struct {
	TaskToken *string `json:"taskToken"`
	Error     string  `json:"error"`
	Cause     string  `json:"cause"`
}

func (s *Service) sendTaskFailure(in sendTaskFailureInput) (any, error) {
	if err := checkError(in.Error, in.Cause); err != nil {
		return nil, err
	}
	return s.answerTask(in.TaskToken, func(c *change, b *branch, st *state) {
		c.taskFailed(b, st, "TaskFailed", &failure{in.Error, in.Cause})
	})
}

type sendTaskHeartbeatInput struct {
	TaskToken *string `json:"taskToken"`
}

func (s *Service) sendTaskHeartbeat(in sendTaskHeartbeatInput) (any, error) {
	return s.answerTask(in.TaskToken, func(c *change, b *branch, _ *state) {
		if t := b.Task; t.Heartbeat > 0 {
			t.Due = c.now.Add(time.Duration(t.Heartbeat) * time.Second)
		}
	})
}

// answerTask applies the answer to a task token, which must be pending.
func (s *Service) answerTask(token *string, apply func(c *change, b *branch, st *state)) (any, error) {
	if token == nil {
		return nil, missing("taskToken")
	}
	if !validToken(*token) {
		return nil, apiErrorf("InvalidToken", "Invalid Token: 'Invalid token'")
	}
	arn, err := s.store.owner(*token)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	r := s.runs[arn]
	s.mu.Unlock()
	if r == nil {
		return nil, apiErrorf("TaskDoesNotExist", "Task Does Not Exist: no task was given this token")
	}
	waiting, err := r.answer(*token, apply)
	if waiting {
		return struct{}{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil || r.rec.Status == running && r.s.ctx.Err() != nil {
		return nil, err
	}
	return nil, apiErrorf("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
}

// MachineOf is the ARN of the state machine whose execution was given a task
// token, or "" where none was.
func (s *Service) MachineOf(token string) string {
	arn, err := s.store.owner(token)
	if err != nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.runs[arn]; r != nil {
		return s.machineARN(r.rec.Machine)
	}
	return ""
}

type listStateMachinesInput struct {
	MaxResults int    `json:"maxResults"`
	NextToken  string `json:"nextToken"`
}

type machineView struct {
	ARN        string `json:"stateMachineArn"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Created    epoch  `json:"creationDate"`
	Definition string `json:"definition,omitempty"`
	RoleARN    string `json:"roleArn,omitempty"`
	Status     string `json:"status,omitempty"`
}

func (s *Service) listStateMachines(in listStateMachinesInput) (any, error) {
	first, size, err := page(in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.machines))
	names = names[min(int(first), len(names)):]
	next := ""
	if len(names) > size {
		names = names[:size]
		next = pageToken(first + int64(size))
	}
	list := []machineView{}
	for _, name := range names {
		list = append(list, machineView{ARN: s.machineARN(name), Name: name, Type: "STANDARD", Created: epoch(s.machines[name].Created)})
	}
	return struct {
		StateMachines []machineView `json:"stateMachines"`
		NextToken     string        `json:"nextToken,omitempty"`
	}{list, next}, nil
}

type describeStateMachineInput struct {
	StateMachineARN *string `json:"stateMachineArn"`
}

func (s *Service) describeStateMachine(in describeStateMachineInput) (any, error) {
	name, err := s.nameOfMachine(in.StateMachineARN)
	if err != nil {
		return nil, err
	}
	if err := s.machineExists(name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	reg := s.machines[name]
	return machineView{
		ARN: s.machineARN(name), Name: name, Type: "STANDARD", Created: epoch(reg.Created),
		Definition: reg.Definition, RoleARN: s.roleARN(), Status: "ACTIVE",
	}, nil
}

func (s *Service) machineExists(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.machines[name] == nil {
		return apiErrorf("StateMachineDoesNotExist", "State Machine Does Not Exist: '%s'", s.machineARN(name))
	}
	return nil
}

// nameOfMachine takes the name out of a state machine's ARN.
func (s *Service) nameOfMachine(arn *string) (string, error) {
	if arn == nil {
		return "", missing("stateMachineArn")
	}
	name, ok := strings.CutPrefix(*arn, s.machineARN(""))
	if ok && validName(name) {
		return name, nil
	}
	if parts := strings.Split(*arn, ":"); len(parts) == 7 && strings.HasPrefix(*arn, "arn:aws:states:") && parts[5] == "stateMachine" && validName(parts[6]) {
		return "", apiErrorf("StateMachineDoesNotExist", "State Machine Does Not Exist: '%s'", *arn)
	}
	return "", apiErrorf("InvalidArn", "Invalid Arn: '%s'", *arn)
}

// execution finds an execution by its ARN.
func (s *Service) execution(arn *string) (*run, error) {
	if arn == nil {
		return nil, missing("executionArn")
	}
	s.mu.Lock()
	r := s.runs[*arn]
	s.mu.Unlock()
	if r != nil {
		return r, nil
	}
	if parts := strings.Split(*arn, ":"); len(parts) != 8 || !strings.HasPrefix(*arn, "arn:aws:states:") || parts[5] != "execution" {
		return nil, apiErrorf("InvalidArn", "Invalid Arn: '%s'", *arn)
	}
	return nil, apiErrorf("ExecutionDoesNotExist", "Execution Does Not Exist: '%s'", *arn)
}

func missing(member string) error {
	return apiErrorf("ValidationException", "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member)
}

// checkError applies the lengths of an error's name and cause (API reference).
func checkError(name, cause string) error {
	if len(name) > 256 || len(cause) > 32768 {
		return apiErrorf("ValidationException", "error takes 256 characters and cause 32768")
	}
	return nil
}

// page reads where a page begins (0: at the start) and how long it is: 100
// unless asked otherwise, at most 1000.
func page(token string, size int) (at int64, n int, err error) {
	if size < 0 || size > 1000 {
		return 0, 0, apiErrorf("ValidationException", "maxResults must be from 0 to 1000")
	}
	if size == 0 {
		size = 100
	}
	if token == "" {
		return 0, size, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		at, err = strconv.ParseInt(string(text), 10, 64)
	}
	if err != nil || at < 1 {
		return 0, 0, apiErrorf("InvalidToken", "Invalid Token: '%s'", token)
	}
	return at, size, nil
}

func pageToken(at int64) string {
	return base64.RawURLEncoding.EncodeToString(strconv.AppendInt(nil, at, 10))
}
