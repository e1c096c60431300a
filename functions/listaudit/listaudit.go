// Package listaudit serves GET /admin/audit.
package listaudit

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/numberrequest"
)

// Entries lists audit entries, at most limit of them, starting after the position after. Audit
// lists those of one subject, oldest first. WholeAudit lists those of all subjects, newest first.
type Entries interface {
	Audit(ctx context.Context, subject string, limit int, after string) (entries []numberrequest.Entry, next string, err error)
	WholeAudit(ctx context.Context, limit int, after string) (lines []numberrequest.Line, next string, err error)
}

// Endpoint shows administrators the audit.
type Endpoint struct{ Entries Entries }

// Input selects a page of the list.
type Input struct {
	Subject string `query:"subject" pattern:"^(calls|[a-z]+_[0-9A-Za-z._|:@-]+)$" patternDescription:"calls, or an id with its prefix, such as req_01KAMPJ5V0SAMP0REQ00000000" maxLength:"133" doc:"The subject: req_…, pn_…, call_…, key_…, user_ and a user id for their policy, or calls for the switch of all calls. If left out, every subject" example:"req_01KAMPJ5V0SAMP0REQ00000000"`
	Limit   int    `query:"limit" minimum:"1" maximum:"100" default:"25" doc:"The most entries in the answer"`
	Cursor  string `query:"cursor" doc:"next_cursor of the page before, with the same subject"`
}

// Output is the page.
type Output struct{ Body api.Page[AuditEntry] }

// AuditEntry is one entry.
type AuditEntry struct {
	Subject string   `json:"subject"`
	At      api.Time `json:"at"`
	Actor   string   `json:"actor" doc:"The user who acted, or platform"`
	Action  string   `json:"action"`
	From    *string  `json:"from" doc:"The state before; null without one"`
	To      *string  `json:"to" doc:"The state after"`
	Note    *string  `json:"note"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "list-audit", Method: http.MethodGet, Path: "/admin/audit",
		Summary: "List the audit",
		Description: "With a subject oldest first, without one newest first. Entries are never changed. " +
			"Without a subject a page may hold fewer entries than the limit, even none, and still have a next_cursor: follow it.",
		Tags: []string{"Review"}, Security: api.Needs(account.Admin)}, e.list)
}

func (e *Endpoint) list(ctx context.Context, in *Input) (*Output, error) {
	page, err := api.List(ctx, in.Cursor, in.Subject, in.Limit, view, func(after string, limit int) ([]numberrequest.Line, string, error) {
		if in.Subject == "" {
			return e.Entries.WholeAudit(ctx, limit, after)
		}
		entries, next, err := e.Entries.Audit(ctx, in.Subject, limit, after)
		lines := make([]numberrequest.Line, len(entries))
		for i, entry := range entries {
			lines[i] = numberrequest.Line{Subject: in.Subject, Entry: entry}
		}
		return lines, next, err
	})
	return &Output{page}, err
}

func view(l numberrequest.Line) AuditEntry {
	return AuditEntry{Subject: l.Subject, At: api.Time(l.At), Actor: l.Actor, Action: l.Action,
		From: api.TextOrNull(l.From), To: api.TextOrNull(l.To), Note: api.TextOrNull(l.Note)}
}
