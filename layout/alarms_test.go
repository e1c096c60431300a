package layout

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The rules for the template's alarms. policy_test.go explains the rules.

// mustWarn are the alarms that must exist.
var mustWarn = []string{"ApiErrorsAlarm", "CallTasksFailAlarm", "RequestTasksFailAlarm", "ThrottledAlarm", "CallsFailedAlarm", "RequestsFailedAlarm",
	"DeliveriesFailedAlarm", "DeliveriesLateAlarm", "EventsLateAlarm", "EndsLateAlarm", "EventTasksFailAlarm", "SweepSilentAlarm", "NumberSweepSilentAlarm", "SweepHeldBackAlarm", "ApprovedTooLongAlarm", "OutcomeUnknownAlarm", "DialsAlarm", "TransfersUnknownAlarm"}

// metric is a metric that an alarm watches.
type metric struct {
	id, namespace, name string
	dimensions          map[string]string // as written
}

// metrics are the metrics of an alarm, whether it names one metric or a list.
func (r resource) metrics() (all []metric) {
	if r.Properties["MetricName"] != nil {
		return []metric{metricOf("", r.Properties)}
	}
	list, _ := r.Properties["Metrics"].([]any)
	for _, item := range list {
		m, _ := item.(map[string]any)
		stat, _ := m["MetricStat"].(map[string]any)
		if of, ok := stat["Metric"].(map[string]any); ok {
			all = append(all, metricOf(fmt.Sprint(m["Id"]), of))
		}
	}
	return all
}

func metricOf(id string, m map[string]any) metric {
	out := metric{id, written(m["Namespace"]), written(m["MetricName"]), map[string]string{}}
	list, _ := m["Dimensions"].([]any)
	for _, item := range list {
		d, _ := item.(map[string]any)
		out.dimensions[fmt.Sprint(d["Name"])] = written(d["Value"])
	}
	return out
}

const alarm = "AWS::CloudWatch::Alarm"

func requiredAlarms(s stack) (complaints []string) {
	for _, id := range mustWarn {
		if s.Resources[id].Type != alarm {
			complaints = append(complaints, "there is no alarm "+id)
		}
	}
	return complaints
}

// alarmsNotify: each alarm notifies a topic. A sweep that does not run sends no data, and its alarm
// must fire then. For all other alarms missing data is good news.
func alarmsNotify(s stack) (complaints []string) {
	for id, res := range s.of(alarm) {
		actions := texts(res.Properties["AlarmActions"])
		if !slices.ContainsFunc(actions, func(a string) bool { return s.Resources[a].Type == "AWS::SNS::Topic" }) {
			complaints = append(complaints, id+" tells nobody")
		}
		want := "notBreaching"
		if strings.HasSuffix(id, "SilentAlarm") {
			want = "breaching"
		}
		if got := res.Properties["TreatMissingData"]; got != want {
			complaints = append(complaints, fmt.Sprintf("%s takes missing data as %v, want %s", id, got, want))
		}
		if res.Properties["AlarmDescription"] == nil {
			complaints = append(complaints, id+" does not say what has happened")
		}
	}
	return complaints
}

// alarmMetrics: the expression of an alarm adds up all its metrics. A metric that is left out could
// never raise the alarm.
func alarmMetrics(s stack) (complaints []string) {
	for id, res := range s.of(alarm) {
		found := res.metrics()
		if len(found) == 0 {
			complaints = append(complaints, id+" looks at nothing")
		}
		list, _ := res.Properties["Metrics"].([]any)
		var terms []string
		for _, item := range list {
			m, _ := item.(map[string]any)
			if e, ok := m["Expression"].(string); ok {
				terms = append(terms, strings.Split(e, " + ")...)
			}
		}
		var ids []string
		for _, m := range found {
			if m.id != "" {
				ids = append(ids, m.id)
			}
		}
		if !sameSet(terms, ids) {
			complaints = append(complaints, fmt.Sprintf("%s adds up %v of %v", id, terms, ids))
		}
	}
	return complaints
}

var counted = regexp.MustCompile(`obs\.Count\(ctx, "(\w+)", [^,)]+((?:, [^\n]+)?)\)\n`)

// countedMetrics: an alarm on a metric of ours names it as the code does, with its dimensions.
func countedMetrics(s stack) (complaints []string) {
	code := map[string][]string{} // the dimensions as written in the code, by metric
	for _, dir := range []string{"../functions", "../shared"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range counted.FindAllStringSubmatch(string(text), -1) {
				code[m[1]] = append(code[m[1]], m[2])
			}
			return err
		})
		if err != nil {
			complaints = append(complaints, err.Error())
		}
	}
	for id, res := range s.of(alarm) {
		for _, m := range res.metrics() {
			if !strings.HasPrefix(m.namespace, "KrosTelephony/") {
				continue
			}
			dimensions := ""
			for name, value := range m.dimensions {
				dimensions += fmt.Sprintf(", %q, %q", name, value)
			}
			if !slices.Contains(code[m.name], dimensions) {
				complaints = append(complaints, fmt.Sprintf("%s: nothing counts %s%s, only %v", id, m.name, dimensions, code[m.name]))
			}
		}
	}
	return complaints
}

// watched reports whether an alarm watches a metric of a resource.
func (s stack) watched(namespace, name, dimension, id string) bool {
	for _, res := range s.of(alarm) {
		if slices.ContainsFunc(res.metrics(), func(m metric) bool {
			return m.namespace == namespace && m.name == name && m.dimensions[dimension] == id
		}) {
			return true
		}
	}
	return false
}

func machineAlarms(s stack) (complaints []string) {
	for id := range s.of("AWS::Serverless::StateMachine") {
		for _, name := range []string{"ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"} {
			if !s.watched("AWS/States", name, "StateMachineArn", id) {
				complaints = append(complaints, "nobody watches "+name+" of "+id)
			}
		}
	}
	return complaints
}

// taskAlarms: an alarm watches the errors of every function without a route. The API's alarm covers
// the functions with a route.
func taskAlarms(s stack) (complaints []string) {
	for id, res := range s.of("AWS::Serverless::Function") {
		if len(res.events("HttpApi")) > 0 {
			continue
		}
		if !s.watched("AWS/Lambda", "Errors", "FunctionName", id) {
			complaints = append(complaints, fmt.Sprintf("errors of %s are watched by no alarm", id))
		}
	}
	return complaints
}

// dashboard: the dashboard is JSON and shows every alarm.
func dashboard(s stack) (complaints []string) {
	for id, res := range s.of("AWS::CloudWatch::Dashboard") {
		body := written(res.Properties["DashboardBody"])
		var page struct{ Widgets []any }
		if err := json.Unmarshal([]byte(body), &page); err != nil || len(page.Widgets) == 0 {
			complaints = append(complaints, fmt.Sprintf("%s has %d widgets, %v", id, len(page.Widgets), err))
		}
		for name := range s.of(alarm) {
			if !strings.Contains(body, `"${`+name+`.Arn}"`) {
				complaints = append(complaints, id+" does not show "+name)
			}
		}
	}
	return complaints
}
