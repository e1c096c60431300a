package bridge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// recording is one file of testdata/recordings. It shows LiveKit SIP's behavior for one request
// or call.
type recording struct {
	name         string
	Request      json.RawMessage `json:"request"`
	Result       json.RawMessage `json:"result"`
	Error        json.RawMessage `json:"error"`
	DispatchRule json.RawMessage `json:"dispatch_rule"`
	Timeline     []entry         `json:"timeline"`
}

// entry is one line of a timeline. The source determines the fields that are set.
type entry struct {
	T      float64 `json:"t_ms"`
	Source string  `json:"source"` // webhook, carrier, agent, client, poll

	Event    word              `json:"event"` // webhook, agent
	Body     json.RawMessage   `json:"body"`  // webhook: the event; carrier: the SIP body, a string
	Identity string            `json:"identity"`
	Changed  map[string]string `json:"changed"`
	Digit    string            `json:"digit"`
	Code     uint32            `json:"code"`
	From     string            `json:"from"`

	Dir     string          `json:"dir"` // carrier
	SIP     string          `json:"sip"`
	Headers json.RawMessage `json:"headers"` // carrier: a list of lines
	Note    string          `json:"note"`

	Call     string          `json:"call"` // client
	Phase    string          `json:"phase"`
	Request  json.RawMessage `json:"request"`
	Response json.RawMessage `json:"response"`
}

// word is a string. Any other JSON value becomes an empty one, because the carrier's entries have
// numbers under the same name.
type word string

func (w *word) UnmarshalJSON(raw []byte) error {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		*w = word(s)
	}
	return nil
}

func readRecordings(t *testing.T) []recording {
	t.Helper()
	dir := os.Getenv("RECORDINGS")
	if dir == "" {
		dir = "testdata/recordings"
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings in %s: %v", dir, err)
	}
	var all []recording
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		r := recording{name: strings.TrimSuffix(filepath.Base(f), ".json")}
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all = append(all, r)
	}
	return all
}

// outcome is the comparable content of a timeline, with ids, tags and ports made equal. Two
// timelines agree if their outcomes are equal.
type outcome struct {
	// Webhooks are the events of the room ("room") and of each participant, in order.
	Webhooks map[string][]string
	// Answers are the API's answers, in the order of the requests.
	Answers []string
	// Status is the sequence of sip.callStatus. The first one is from the webhook, the others are
	// from the agent's events.
	Status []string
	// SIP are the messages between LiveKit (>) and the carrier (<), by call, in order.
	SIP map[string][]string
	// AgentDigits and CarrierDigits are the digits that the agent and the carrier received.
	AgentDigits, CarrierDigits string

	asked []string  // methods of all requests
	took  []float64 // how long their answers took, in ms
}

// lines returns the outcome as lines, for a readable diff.
func (o outcome) lines() []string {
	var all []string
	for _, who := range slices.Sorted(maps.Keys(o.Webhooks)) {
		for _, w := range o.Webhooks[who] {
			all = append(all, "webhook "+who+": "+w)
		}
	}
	for _, a := range o.Answers {
		all = append(all, "answer "+a)
	}
	all = append(all, "status "+strings.Join(o.Status, " "), "digits to agent "+o.AgentDigits, "digits to carrier "+o.CarrierDigits)
	for _, id := range slices.Sorted(maps.Keys(o.SIP)) {
		for _, m := range o.SIP[id] {
			all = append(all, id+" "+m)
		}
	}
	return all
}

// diff lists the lines of only one side, marked - and +, in order (longest common subsequence).
func diff(want, got []string) string {
	table := make([][]int, len(want)+1)
	for i := range table {
		table[i] = make([]int, len(got)+1)
	}
	for i, line := range slices.Backward(want) {
		for j := len(got) - 1; j >= 0; j-- {
			if line == got[j] {
				table[i][j] = table[i+1][j+1] + 1
			} else {
				table[i][j] = max(table[i+1][j], table[i][j+1])
			}
		}
	}
	var out strings.Builder
	for i, j := 0, 0; i < len(want) || j < len(got); {
		switch {
		case i < len(want) && j < len(got) && want[i] == got[j]:
			i, j = i+1, j+1
		case j == len(got) || i < len(want) && table[i+1][j] >= table[i][j+1]:
			fmt.Fprintf(&out, "- %s\n", want[i])
			i++
		default:
			fmt.Fprintf(&out, "+ %s\n", got[j])
			j++
		}
	}
	return out.String()
}

func digestOf(timeline []entry) outcome {
	o := outcome{Webhooks: map[string][]string{}, SIP: map[string][]string{}}
	names := participantNames{}
	repeated := map[string]bool{}
	for _, e := range timeline {
		switch {
		case e.Source == "webhook":
			who, what := names.webhook(e.Body)
			o.Webhooks[who] = append(o.Webhooks[who], what)
			if _, after, ok := strings.Cut(what, "sip.callStatus="); ok && e.Event == "participant_joined" {
				o.addStatus(strings.Fields(after)[0])
			}
		case e.Source == "agent" && e.Event == "attributes_changed":
			o.addStatus(e.Changed["sip.callStatus"])
		case e.Source == "agent" && e.Event == "sip_dtmf":
			o.AgentDigits += e.Digit
		case e.Source == "carrier" && e.Note == "DTMF received":
			o.CarrierDigits += e.Digit
		case e.Source == "carrier" && e.SIP != "":
			id, what := sipLine(e)
			if !strings.HasPrefix(e.SIP, "SIP/2.0") {
				// A request with a known branch is a repetition.
				key := e.SIP + regexp.MustCompile(`branch=[^;]+`).FindString(header(e, "Via"))
				if repeated[key] {
					continue
				}
				repeated[key] = true
			}
			o.SIP[id] = append(o.SIP[id], what)
		}
	}
	o.SIP = numbered(o.SIP, timeline)
	for _, x := range exchanges(timeline) {
		o.Answers = append(o.Answers, x.String())
		o.asked, o.took = append(o.asked, x.method), append(o.took, x.reply.TookMS)
	}
	return o
}

func (o *outcome) addStatus(s string) {
	if n := len(o.Status); s != "" && (n == 0 || o.Status[n-1] != s) {
		o.Status = append(o.Status, s)
	}
}

// numbered replaces Call-IDs with numbers in the order of their first messages.
func numbered(byID map[string][]string, timeline []entry) map[string][]string {
	out := map[string][]string{}
	seen := map[string]bool{}
	for _, e := range timeline {
		if e.Source != "carrier" || e.SIP == "" {
			continue
		}
		if id := header(e, "Call-ID"); !seen[id] {
			seen[id] = true
			out[fmt.Sprintf("call %d", len(seen))] = byID[id]
		}
	}
	return out
}

// participantNames distinguishes participants that follow each other under one identity.
type participantNames struct {
	sids []string
}

// webhook returns the participant or room of an event, and the compared part of the event.
func (n *participantNames) webhook(body json.RawMessage) (who, what string) {
	var e struct {
		Event string
		Room  struct {
			EmptyTimeout, DepartureTimeout int
			Metadata                       string
		}
		Participant *struct {
			SID, Identity, State, Name, Metadata, Kind, DisconnectReason string
			Attributes                                                   map[string]string
		}
		Track *struct{ Name, Source, MimeType, Stream string }
	}
	must(json.Unmarshal(body, &e))
	if e.Participant == nil {
		what = e.Event
		if e.Event == "room_started" {
			what += fmt.Sprintf(" empty=%d departure=%d metadata=%s", e.Room.EmptyTimeout, e.Room.DepartureTimeout, e.Room.Metadata)
		}
		return "room", what
	}
	p := e.Participant
	i := slices.Index(n.sids, p.SID)
	if i < 0 {
		i = len(n.sids)
		n.sids = append(n.sids, p.SID)
	}
	who = same(p.Identity)
	if first := slices.IndexFunc(n.sids, func(s string) bool { return s == p.SID }); first > 1 && !strings.HasPrefix(who, "agent") {
		who = fmt.Sprintf("%s (participant %d)", who, i+1)
	}
	what = e.Event
	if e.Track != nil {
		what += fmt.Sprintf(" track=%s source=%s", e.Track.MimeType, e.Track.Source)
	} else {
		what += fmt.Sprintf(" kind=%s state=%s name=%s metadata=%s reason=%s", p.Kind, p.State, p.Name, p.Metadata, p.DisconnectReason)
		for _, k := range slices.Sorted(maps.Keys(p.Attributes)) {
			v := p.Attributes[k]
			switch k {
			case attrCallIDFull, attrCallTag, attrInviteTime, attrAnswerTime:
				v = "…"
			}
			what += " " + k + "=" + same(v)
		}
	}
	return who, what
}

// same makes random ids equal.
func same(s string) string {
	s = regexp.MustCompile(`\b(SCL|PA|ST|RM|TR|SDR|AJ|EV|AD)_[A-Za-z0-9]+`).ReplaceAllString(s, "${1}_…")
	return regexp.MustCompile(`(_\+[0-9]+_)[A-Za-z0-9]{12}\b`).ReplaceAllString(s, "${1}…")
}

// sipLine returns the Call-ID of a message and its compared part: much of a message from LiveKit,
// but only the start line of a message from the carrier.
func sipLine(e entry) (callID, line string) {
	callID = header(e, "Call-ID")
	method := strings.Fields(header(e, "CSeq") + " ?")[1]
	start := strings.TrimSuffix(e.SIP, " SIP/2.0")
	if status, ok := strings.CutPrefix(start, "SIP/2.0 "); ok {
		start = status + " to " + method
	} else if e.Dir == "carrier->livekit" {
		start = method
	}
	if e.Dir == "carrier->livekit" {
		code, _, _ := strings.Cut(start, " ")
		if strings.Contains(start, " to ") {
			start = code + " to " + method
		}
		return callID, "< " + start
	}
	line = "> " + start
	for _, name := range []string{"From", "To", "Contact", "Refer-To", "Reason"} {
		if v := header(e, name); v != "" {
			line += " | " + name + ": " + regexp.MustCompile(`;tag=[^;]+`).ReplaceAllString(v, ";tag=…")
		}
	}
	line += " | " + strings.Join(headerNames(e), " ")
	var body string
	if len(e.Body) > 0 && json.Unmarshal(e.Body, &body) == nil && body != "" {
		line += " | " + sdpSummary(body)
	}
	return callID, line
}

func sdpSummary(body string) string {
	var lines []string
	for l := range strings.Lines(body) {
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "m=") || strings.HasPrefix(l, "a=") || strings.HasPrefix(l, "c=") {
			lines = append(lines, regexp.MustCompile(`^(m=audio) \d+`).ReplaceAllString(l, "$1 port"))
		}
	}
	return strings.Join(lines, " ")
}

func headerLines(e entry) []string {
	var lines []string
	if len(e.Headers) > 0 {
		must(json.Unmarshal(e.Headers, &lines))
	}
	return lines
}

func header(e entry, name string) string {
	for _, l := range headerLines(e) {
		if n, v, _ := strings.Cut(l, ":"); strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func headerNames(e entry) []string {
	var names []string
	for _, l := range headerLines(e) {
		n, _, _ := strings.Cut(l, ":")
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// exchange is a request to the API and its answer.
type exchange struct {
	at      float64 // of the request
	method  string
	request json.RawMessage
	reply   reply
	after   int // number of earlier requests answered before this one
}

func (x exchange) String() string {
	var body any
	if len(x.reply.Body) > 0 {
		must(json.Unmarshal(x.reply.Body, &body))
	}
	if x.method == "CreateRoom" || x.method == "CreateDispatch" {
		body = nil // only LiveKit's server decides about them
	}
	raw, err := json.Marshal(body)
	must(err)
	text := fmt.Sprintf("%s: %d %s", x.method, x.reply.HTTPStatus, same(string(raw)))
	if x.reply.TransportError != "" {
		_, why, _ := strings.Cut(x.reply.TransportError, `": `)
		text += " " + why
	}
	return text
}

// exchanges pairs requests and answers. Answers may come in another order. Each says how long
// it took.
func exchanges(timeline []entry) []exchange {
	var xs []exchange
	var answered []float64
	for _, e := range timeline {
		if e.Source == "client" && e.Phase == "request" && e.Call != "ListRooms" {
			n := len(slices.DeleteFunc(slices.Clone(answered), func(t float64) bool { return t > e.T }))
			xs = append(xs, exchange{at: e.T, method: e.Call, request: e.Request, after: n})
		}
		if e.Source == "client" && e.Phase == "response" && e.Call != "ListRooms" {
			answered = append(answered, e.T)
			var r reply
			must(json.Unmarshal(e.Response, &r))
			best := slices.MinFunc(xs, func(a, b exchange) int {
				return cmp.Compare(distance(a, e, r), distance(b, e, r))
			})
			for i := range xs {
				if xs[i].at == best.at && xs[i].method == e.Call && xs[i].reply.TookMS == 0 {
					xs[i].reply = r
					break
				}
			}
		}
	}
	return xs
}

func distance(x exchange, e entry, r reply) float64 {
	if x.method != e.Call || x.reply.TookMS != 0 {
		return 1e9
	}
	return max(e.T-r.TookMS-x.at, x.at-e.T+r.TookMS)
}

func (c client) post(ctx context.Context, path, token string, body []byte) reply {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, bytes.NewReader(body))
	if err != nil {
		return reply{TransportError: err.Error()}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{TransportError: err.Error()}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return reply{TransportError: err.Error()}
	}
	return reply{HTTPStatus: res.StatusCode, Body: raw}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
