package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/krosai/telephony/shared/account"
	"github.com/krosai/telephony/shared/api"
)

// shelf is a list of strings.
type shelf []string

type shelfInput struct {
	Cursor string `query:"cursor"`
	Limit  int    `query:"limit" default:"100"`
}

type shelfOutput struct{ Body api.Page[string] }

func (s shelf) Register(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "list-shelf", Method: http.MethodGet, Path: "/shelf", Security: api.Needs(account.CallsRead)},
		func(ctx context.Context, in *shelfInput) (*shelfOutput, error) {
			page, err := api.List(ctx, in.Cursor, "", in.Limit, strings.Clone, func(after string, limit int) ([]string, string, error) {
				from, _ := strconv.Atoi(after)
				till := min(from+limit, len(s))
				if till == len(s) {
					return s[from:], "", nil
				}
				return s[from:till], strconv.Itoa(till), nil
			})
			return &shelfOutput{page}, err
		})
}

// TestPagesHaveABound checks that a page ends before it exceeds the size that Lambda can return.
// Nothing of the list is lost, and each page holds one thing even if that thing is too large.
func TestPagesHaveABound(t *testing.T) {
	t.Parallel()
	many := func(n int, text string) shelf {
		s := shelf{}
		for range n {
			s = append(s, text)
		}
		return s
	}
	for name, tt := range map[string]struct {
		shelf shelf
		want  []int // things on each page
	}{
		"empty":          {shelf{}, []int{0}},
		"small":          {many(250, "x"), []int{100, 100, 50}},
		"a megabyte":     {many(9, strings.Repeat("x", 1<<20)), []int{3, 3, 3}},
		"quotes":         {many(4, strings.Repeat(`"`, 1<<20)), []int{1, 1, 1, 1}},
		"one too large":  {append(many(2, "x"), append(many(1, strings.Repeat("x", 5<<20)), "y")...), []int{2, 1, 1}},
		"exactly enough": {many(4, strings.Repeat("x", 1<<20-3)), []int{4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			h := b.edge.Handler(tt.shelf)
			var sizes []int
			all := shelf{}
			for target := "/shelf"; target != ""; {
				r := overHTTP(t, h, ask{method: "GET", target: target, key: b.reader})
				var page api.Page[string]
				if err := json.Unmarshal(r.body, &page); err != nil || r.status != 200 {
					t.Fatalf("%d %v %.200s", r.status, err, r.body)
				}
				all, sizes, target = append(all, page.Data...), append(sizes, len(page.Data)), ""
				if page.NextCursor != nil {
					target = "/shelf?cursor=" + *page.NextCursor
				}
			}
			if d := cmp.Diff(tt.want, sizes); d != "" || !cmp.Equal(tt.shelf, all) {
				t.Errorf("%d of %d things (-want +got):\n%s", len(all), len(tt.shelf), d)
			}
		})
	}
}
