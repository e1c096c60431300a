// Package importnumbers serves POST /admin/phone-numbers/import.
package importnumbers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
	"github.com/krosai/telephony/shared/fault"
	"github.com/krosai/telephony/shared/number"
	"github.com/krosai/telephony/shared/numberrequest"
	"github.com/krosai/telephony/shared/validate/destination"
)

// Numbers keeps the inventory. AddNumber fails with fault.Conflict when the number is in it
// already. For a retired number the code is NUMBER_RETIRED.
type Numbers interface {
	AddNumber(ctx context.Context, n number.Number, by string) error
}

// Endpoint adds many numbers to the inventory and offers them to the requests that wait for one.
type Endpoint struct {
	Numbers  Numbers
	Requests numberrequest.Requests
	Workflow numberrequest.Workflow
	Now      func() time.Time
	Log      *slog.Logger
}

// Input is a table in JSON or CSV.
type Input struct {
	ContentType string `header:"Content-Type" doc:"application/json or text/csv"`
	RawBody     []byte `contentType:"text/csv"`
}

// The limits of an import: bytes of the body, rows, and concurrent writes.
const (
	maxBody = 200 << 10
	maxRows = 500
	atOnce  = 16
)

// Output is the result of the import.
type Output struct{ Body ImportResult }

// ImportResult counts the rows that were accepted and lists those that were not.
type ImportResult struct {
	Added   int             `json:"added" doc:"The numbers that are new in the inventory"`
	Known   int             `json:"known" doc:"The rows whose number was in the inventory already. They change nothing"`
	Refused []ImportRefusal `json:"refused"`
}

// ImportRefusal is the reason why a row was not accepted.
type ImportRefusal struct {
	Row         int    `json:"row" doc:"Its place in the table, from 1"`
	PhoneNumber string `json:"phone_number" doc:"As given in the request"`
	Code        string `json:"code"`
	Detail      string `json:"detail"`
}

// Register adds the operation to the API.
func (e *Endpoint) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "import-phone-numbers", Method: http.MethodPost, Path: "/admin/phone-numbers/import",
		DefaultStatus: http.StatusOK, Summary: "Add many numbers to the inventory", Tags: []string{"Review"}, MaxBodyBytes: maxBody,
		Description: "At most 500 rows: JSON {\"numbers\":[…]} with the members of POST /admin/phone-numbers, or CSV with their names in its first line " +
			"and several capabilities in a cell with spaces between them. An invalid row is refused alone. The request may be repeated.",
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schema(a)}}},
		Metadata:    map[string]any{api.RawBody: true}, SkipValidateBody: true, // rows are validated one by one
		Errors: []int{http.StatusUnsupportedMediaType}, Security: api.Needs(account.Admin)}, e.load)
}

func (e *Endpoint) load(ctx context.Context, in *Input) (*Output, error) {
	rows, err := read(in.ContentType, in.RawBody)
	if err != nil {
		return nil, err
	}

	result, added, err := e.add(ctx, rows)
	if err != nil {
		return nil, err
	}
	if err := numberrequest.Offer(ctx, e.Requests, e.Workflow, added...); err != nil {
		e.Log.Warn("numbers not offered, the sweep will", "http_request_id", api.RequestID(ctx), "error", err.Error())
	}

	return &Output{result}, nil
}

// add adds the rows, several at a time, and also returns the new numbers. When the database fails,
// some numbers may have been added. Repeating the import adds the rest.
func (e *Endpoint) add(ctx context.Context, rows []row) (result ImportResult, added []number.Number, err error) {
	by, now := api.CallerOf(ctx).UserID, e.Now()
	errs, seen := make([]error, len(rows)), map[string]bool{}
	var wg sync.WaitGroup
	place := make(chan struct{}, atOnce)
	for i := range rows {
		n := rows[i].number(now)
		if errs[i] = rows[i].err; errs[i] == nil {
			errs[i] = destination.Assignable(n)
		}
		if errs[i] != nil {
			continue
		}
		if seen[n.ID] {
			errs[i] = fault.New(fault.Conflict, "CONFLICT", "the phone number is in the table twice")
			continue
		}
		seen[n.ID] = true
		wg.Go(func() {
			place <- struct{}{}
			defer func() { <-place }()
			errs[i] = e.Numbers.AddNumber(ctx, n, by)
		})
	}
	wg.Wait()
	result.Refused = []ImportRefusal{}
	for i, err := range errs {
		f, ok := errors.AsType[*fault.Error](err)
		switch {
		case err == nil:
			result.Added++
			added = append(added, rows[i].number(now))
		case !ok || f.Kind == fault.Upstream:
			return result, nil, err
		case f.Code == "CONFLICT":
			result.Known++
		default:
			result.Refused = append(result.Refused, refusal(i+1, rows[i], f))
		}
	}
	return result, added, nil
}

func refusal(place int, r row, f *fault.Error) ImportRefusal {
	code, detail := f.Code, f.Detail
	if len(f.Fields) > 0 {
		code, detail = f.Fields[0].Code, f.Fields[0].Field+": "+f.Fields[0].Detail
	}
	return ImportRefusal{Row: place, PhoneNumber: r.shown(), Code: code, Detail: detail}
}
