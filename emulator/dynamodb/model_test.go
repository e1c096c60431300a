package dynamodb_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/krosai/telephony/emulator/dynamodb"
)

// row is an item of the model: what a naive program would keep in a map.
type row struct {
	pk, sk string
	g      string // "" is absent
	n      int
	hasN   bool
}

func (r row) attributes() attributes {
	it := key(r.pk, r.sk)
	if r.g != "" {
		it["g"] = str(r.g)
	}
	if r.hasN {
		it["n"] = num(r.n)
	}
	return it
}

func fromItem(it attributes) row {
	r := row{pk: it["pk"].(*types.AttributeValueMemberS).Value, sk: it["sk"].(*types.AttributeValueMemberS).Value}
	if g, ok := it["g"].(*types.AttributeValueMemberS); ok {
		r.g = g.Value
	}
	if n, ok := it["n"].(*types.AttributeValueMemberN); ok {
		r.hasN = true
		_, _ = fmt.Sscan(n.Value, &r.n) // a wrong text stays 0 and is then seen
	}
	return r
}

// TestModel runs random operations against the emulator and against a map, and compares
// every answer and, after each, whole partitions read in pages of random size.
func TestModel(t *testing.T) {
	t.Parallel()
	_, c := inProcess(t, dynamodb.Options{})
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		m := &model{c: c, table: fmt.Sprintf("run-%d", run), rows: map[string]row{}}
		createTable(t, c, m.table)
		rt.Repeat(map[string]func(*rapid.T){
			"put":    func(rt *rapid.T) { m.put(t, rt) },
			"get":    func(rt *rapid.T) { m.get(t, rt) },
			"add":    func(rt *rapid.T) { m.add(t, rt) },
			"delete": func(rt *rapid.T) { m.delete(t, rt) },
			"query":  func(rt *rapid.T) { m.query(t, rt) },
			"index":  func(rt *rapid.T) { m.queryIndex(t, rt) },
		})
	})
}

type model struct {
	c     *sdk.Client
	table string
	rows  map[string]row
}

var (
	pks = rapid.SampledFrom([]string{"a", "a\x00", "b", "é"})
	sks = rapid.StringOfN(rapid.SampledFrom([]rune("ab\x00\x01\u00ff\uffff😀")), 1, 3, -1)
	gs  = rapid.SampledFrom([]string{"", "G", "G\x00", "H"})
	ns  = rapid.IntRange(-12, 12)
)

func draw(rt *rapid.T) row {
	return row{pk: pks.Draw(rt, "pk"), sk: sks.Draw(rt, "sk"), g: gs.Draw(rt, "g"), n: ns.Draw(rt, "n"), hasN: rapid.Bool().Draw(rt, "has n")}
}

func (r row) id() string { return r.pk + "/" + r.sk }

func (m *model) put(t *testing.T, rt *rapid.T) {
	r := draw(rt)
	if !r.hasN {
		r.n = 0
	}
	onlyNew := rapid.Bool().Draw(rt, "only new")
	in := &sdk.PutItemInput{TableName: &m.table, Item: r.attributes(), ReturnValues: types.ReturnValueAllOld}
	if onlyNew {
		in.ConditionExpression = aws.String("attribute_not_exists(pk)")
	}
	out, err := m.c.PutItem(t.Context(), in)
	old, existed := m.rows[r.id()]
	switch {
	case onlyNew && existed:
		if _, failed := errors.AsType[*types.ConditionalCheckFailedException](err); !failed {
			rt.Fatalf("put over %v: %v", old, err)
		}
		return
	case err != nil:
		rt.Fatal(err)
	case existed && fromItem(out.Attributes) != old, !existed && out.Attributes != nil:
		rt.Fatalf("put returned %v, was %v", out.Attributes, old)
	}
	m.rows[r.id()] = r
}

func (m *model) get(t *testing.T, rt *rapid.T) {
	r := draw(rt)
	out, err := m.c.GetItem(t.Context(), &sdk.GetItemInput{TableName: &m.table, Key: key(r.pk, r.sk)})
	if err != nil {
		rt.Fatal(err)
	}
	want, exists := m.rows[r.id()]
	if exists && fromItem(out.Item) != want || !exists && out.Item != nil {
		rt.Fatalf("got %v, want %v", out.Item, want)
	}
}

// add counts n up, but not above 5.
func (m *model) add(t *testing.T, rt *rapid.T) {
	r := draw(rt)
	out, err := m.c.UpdateItem(t.Context(), &sdk.UpdateItemInput{
		TableName: &m.table, Key: key(r.pk, r.sk),
		UpdateExpression:          aws.String("ADD n :one"),
		ConditionExpression:       aws.String("attribute_not_exists(n) OR n < :five"),
		ExpressionAttributeValues: attributes{":one": num(1), ":five": num(5)},
		ReturnValues:              types.ReturnValueAllNew,
	})
	now := m.rows[r.id()]
	if now.hasN && now.n >= 5 {
		if _, failed := errors.AsType[*types.ConditionalCheckFailedException](err); !failed {
			rt.Fatalf("add to %v: %v", now, err)
		}
		return
	}
	if err != nil {
		rt.Fatal(err)
	}
	now = row{r.pk, r.sk, now.g, now.n + 1, true}
	if got := fromItem(out.Attributes); got != now {
		rt.Fatalf("add returned %v, want %v", got, now)
	}
	m.rows[r.id()] = now
}

func (m *model) delete(t *testing.T, rt *rapid.T) {
	r := draw(rt)
	if _, err := m.c.DeleteItem(t.Context(), &sdk.DeleteItemInput{TableName: &m.table, Key: key(r.pk, r.sk)}); err != nil {
		rt.Fatal(err)
	}
	delete(m.rows, r.id())
}

// sorted returns the model's rows that belong, in order.
func (m *model) sorted(belongs func(row) bool, order func(a, b row) int, forward bool) []row {
	var rows []row
	for r := range maps.Values(m.rows) {
		if belongs(r) {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, order)
	if !forward {
		slices.Reverse(rows)
	}
	return rows
}

// pages reads in all pages of a query.
func (m *model) pages(t *testing.T, rt *rapid.T, in *sdk.QueryInput) []row {
	in.TableName = &m.table
	in.Limit = aws.Int32(rapid.Int32Range(1, 4).Draw(rt, "limit"))
	var rows []row
	for range 1000 {
		out, err := m.c.Query(t.Context(), in)
		if err != nil {
			rt.Fatal(err)
		}
		if out.Count > *in.Limit || int(out.Count) != len(out.Items) {
			rt.Fatalf("page of %d, count %d, limit %d", len(out.Items), out.Count, *in.Limit)
		}
		for _, it := range out.Items {
			rows = append(rows, fromItem(it))
		}
		if in.ExclusiveStartKey = out.LastEvaluatedKey; in.ExclusiveStartKey == nil {
			return rows
		}
	}
	rt.Fatal("pages do not end")
	return nil
}

func (m *model) query(t *testing.T, rt *rapid.T) {
	pk, bound, high := pks.Draw(rt, "pk"), sks.Draw(rt, "bound"), sks.Draw(rt, "high")
	high = max(bound, high)
	terms := map[string]func(sk string) bool{
		"":                             func(string) bool { return true },
		" AND sk = :b":                 func(sk string) bool { return sk == bound },
		" AND sk < :b":                 func(sk string) bool { return sk < bound },
		" AND sk <= :b":                func(sk string) bool { return sk <= bound },
		" AND sk > :b":                 func(sk string) bool { return sk > bound },
		" AND sk >= :b":                func(sk string) bool { return sk >= bound },
		" AND begins_with(sk, :b)":     func(sk string) bool { return strings.HasPrefix(sk, bound) },
		" AND sk BETWEEN :b AND :high": func(sk string) bool { return bound <= sk && sk <= high },
	}
	term := rapid.SampledFrom(slices.Sorted(maps.Keys(terms))).Draw(rt, "term")
	forward := rapid.Bool().Draw(rt, "forward")
	values := attributes{":pk": str(pk)}
	if term != "" {
		values[":b"] = str(bound)
	}
	if strings.Contains(term, ":high") {
		values[":high"] = str(high)
	}
	got := m.pages(t, rt, &sdk.QueryInput{
		KeyConditionExpression: aws.String("pk = :pk" + term), ExpressionAttributeValues: values, ScanIndexForward: &forward,
	})
	want := m.sorted(func(r row) bool { return r.pk == pk && terms[term](r.sk) }, func(a, b row) int { return strings.Compare(a.sk, b.sk) }, forward)
	if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(row{})); diff != "" {
		rt.Fatalf("pk = %q%s (-want +got)\n%s", pk, term, diff)
	}
}

func (m *model) queryIndex(t *testing.T, rt *rapid.T) {
	g, from, forward := gs.Filter(func(s string) bool { return s != "" }).Draw(rt, "g"), ns.Draw(rt, "from"), rapid.Bool().Draw(rt, "forward")
	got := m.pages(t, rt, &sdk.QueryInput{
		IndexName: aws.String("by-g"), KeyConditionExpression: aws.String("g = :g AND n >= :from"),
		ExpressionAttributeValues: attributes{":g": str(g), ":from": num(from)}, ScanIndexForward: &forward,
	})
	want := m.sorted(func(r row) bool { return r.g == g && r.hasN && r.n >= from }, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.n, b.n), cmp.Compare(a.pk, b.pk), cmp.Compare(a.sk, b.sk))
	}, forward)
	if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(row{})); diff != "" {
		rt.Fatalf("g = %q AND n >= %d (-want +got)\n%s", g, from, diff)
	}
}
