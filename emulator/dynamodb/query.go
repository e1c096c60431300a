package dynamodb

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

const maxPage = 1 << 20 // bytes of items that one Query or Scan evaluates

// scanInput is the request of Query and of Scan.
type scanInput struct {
	expressionInput
	TableName              *string
	IndexName              *string
	ConsistentRead         bool
	KeyConditionExpression *string
	FilterExpression       *string
	ProjectionExpression   *string
	Limit                  *int
	ExclusiveStartKey      item
	ScanIndexForward       *bool
	Select                 *string
	Segment, TotalSegments *int
	ReturnConsumedCapacity *string
}

type scanOutput struct {
	Items            *[]item `json:",omitempty"` // absent for Select COUNT
	Count            int
	ScannedCount     int
	LastEvaluatedKey item              `json:",omitempty"`
	ConsumedCapacity *consumedCapacity `json:",omitempty"`
}

// page is a checked Query or Scan: which entries to read, in which order, and what to
// make of them.
type page struct {
	t       *table
	index   *index // nil reads the table
	keys    keySchema
	span    keySpan
	start   []byte // read only what comes behind; nil reads from the beginning
	reverse bool
	limit   int // 0 for none
	filter  *node
	paths   []path
	count   bool              // return no items
	within  func([]byte) bool // whether an entry belongs to the scan's segment
}

// keySpan is the stored keys from low up to but not including high; a nil high is no end.
type keySpan struct{ low, high []byte }

func (s keySpan) contains(key []byte) bool {
	return bytes.Compare(key, s.low) >= 0 && (s.high == nil || bytes.Compare(key, s.high) < 0)
}

// query checks in the order in which DynamoDB does; scan has another.
func (db *DB) query(in *scanInput) (*scanOutput, error) {
	p, err := db.page(in)
	if err != nil {
		return nil, err
	}
	if err := p.setLimit(in.Limit); err != nil {
		return nil, err
	}
	if err := p.setIndex(in.IndexName); err != nil {
		return nil, err
	}
	if err := in.needExpressions(in.ProjectionExpression, "FilterExpression and KeyConditionExpression are null", in.KeyConditionExpression, in.FilterExpression); err != nil {
		return nil, err
	}
	condition, err := p.parse(in)
	if err != nil {
		return nil, err
	}
	if condition == nil {
		return nil, invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	for _, paths := range [][]path{p.filter.paths(), p.paths, condition.paths()} {
		if err := p.t.checkScalars(paths); err != nil {
			return nil, err
		}
	}
	if p.index != nil && in.ConsistentRead {
		return nil, invalid("Consistent read cannot be true when querying a GSI")
	}
	if p.span, err = p.keyCondition(condition); err != nil {
		return nil, err
	}
	if err := p.startAfter(in.ExclusiveStartKey); err != nil {
		return nil, err
	}
	if err := p.checkFilter(); err != nil {
		return nil, err
	}
	if err := p.checkSelect(in); err != nil {
		return nil, err
	}
	if err := p.checkProjection(); err != nil {
		return nil, err
	}
	p.reverse = in.ScanIndexForward != nil && !*in.ScanIndexForward
	return db.readPage(p, in)
}

func (db *DB) scan(in *scanInput) (*scanOutput, error) {
	p, err := db.page(in)
	if err != nil {
		return nil, err
	}
	if err := p.setIndex(in.IndexName); err != nil {
		return nil, err
	}
	if p.index != nil && in.ConsistentRead {
		return nil, invalid("Consistent read cannot be true when scanning a GSI")
	}
	if err := in.needExpressions(in.ProjectionExpression, "FilterExpression is null", in.FilterExpression); err != nil {
		return nil, err
	}
	if err := p.setLimit(in.Limit); err != nil {
		return nil, err
	}
	if _, err := p.parse(in); err != nil {
		return nil, err
	}
	if err := p.startAfter(in.ExclusiveStartKey); err != nil {
		return nil, err
	}
	if err := p.checkSelect(in); err != nil {
		return nil, err
	}
	if err := p.segment(in.Segment, in.TotalSegments); err != nil {
		return nil, err
	}
	for _, paths := range [][]path{p.filter.paths(), p.paths} {
		if err := p.t.checkScalars(paths); err != nil {
			return nil, err
		}
	}
	if err := p.checkProjection(); err != nil {
		return nil, err
	}
	return db.readPage(p, in)
}

// page begins a page of the request's table.
func (db *DB) page(in *scanInput) (*page, error) {
	if err := in.checkEnums(); err != nil {
		return nil, err
	}
	t, err := db.table(in.TableName)
	if err != nil {
		return nil, err
	}
	return &page{t: t, keys: t.Keys, count: is(in.Select, "COUNT")}, nil
}

func (in *scanInput) checkEnums() error {
	if err := checkEnum("select", in.Select, "SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"); err != nil {
		return err
	}
	return checkCapacityDetail(in.ReturnConsumedCapacity)
}

func (p *page) setLimit(limit *int) error {
	if limit == nil {
		return nil
	}
	if p.limit = *limit; p.limit < 1 {
		return unsatisfied(fmt.Sprintf("'%d'", p.limit), "limit", "Member must have value greater than or equal to 1")
	}
	return nil
}

func (p *page) setIndex(name *string) error {
	if name == nil {
		return nil
	}
	ix, err := p.t.index(*name)
	p.index, p.keys = &ix, ix.Keys
	return err
}

// parse resolves the expressions and returns the key condition, or nil.
func (p *page) parse(in *scanInput) (*node, error) {
	s, err := newScope(in.expressionInput)
	if err != nil {
		return nil, err
	}
	if p.filter, err = s.condition("FilterExpression", in.FilterExpression); err != nil {
		return nil, err
	}
	if p.paths, err = s.projection(in.ProjectionExpression); err != nil {
		return nil, err
	}
	condition, err := s.condition(keyParameter, in.KeyConditionExpression)
	if err != nil {
		return nil, err
	}
	return condition, s.checkUsed()
}

// checkSelect refuses what the request selects and the table or index does not hold.
func (p *page) checkSelect(in *scanInput) error {
	projected := in.ProjectionExpression != nil
	if in.Select == nil {
		return nil
	}
	switch *in.Select {
	case "SPECIFIC_ATTRIBUTES":
		if !projected {
			return invalid("Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES")
		}
	case "COUNT":
		if projected {
			return invalid("Cannot specify the ProjectionExpression when choosing to get only the Count")
		}
	case "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES":
		if projected {
			return invalid("Cannot specify the ProjectionExpression when choosing to get %s", *in.Select)
		}
		if *in.Select == "ALL_PROJECTED_ATTRIBUTES" && p.index == nil {
			return invalid("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
		}
		if *in.Select == "ALL_ATTRIBUTES" && p.index != nil && p.index.Projection.ProjectionType != "ALL" {
			return invalid("One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary index %s because its projection type is not ALL", p.index.Name)
		}
	}
	return nil
}

// checkProjection refuses a projection to what the index does not hold.
func (p *page) checkProjection() error {
	if absent := p.absent(p.paths); absent != nil {
		return invalid("One or more parameter values were invalid: Global secondary index %s does not project %s", p.index.Name, absent)
	}
	return nil
}

// absent lists the attributes that paths name and the index does not hold.
func (p *page) absent(paths []path) path {
	var names path
	for _, q := range paths {
		if p.index != nil && !p.t.projects(*p.index, q[0].name) && !slices.Contains(names, q[0]) {
			names = append(names, q[0])
		}
	}
	slices.SortFunc(names, func(a, b step) int { return strings.Compare(a.name, b.name) })
	return names
}

// paths lists the document paths in n, which may be nil.
func (n *node) paths() []path {
	var all []path
	if n != nil {
		n.walk(func(n *node) {
			if n.isPath() {
				all = append(all, n.path)
			}
		})
	}
	return all
}

// checkFilter refuses a filter of a Query that names its keys, or what the index does not hold.
func (p *page) checkFilter() error {
	for _, key := range p.keys.attributes() {
		if slices.ContainsFunc(p.filter.paths(), func(q path) bool { return q[0].name == key.Name }) {
			return invalid("Filter Expression can only contain non-primary key attributes: Primary key attribute: %s", key.Name)
		}
	}
	if absent := p.absent(p.filter.paths()); absent != nil {
		return invalid("One or more parameter values were invalid: Secondary index %s does not project one or more filter attributes: %s", p.index.Name, absent)
	}
	return nil
}

// segment restricts a scan to one of total parts, by a hash of the partition key.
func (p *page) segment(segment, total *int) error {
	switch {
	case segment == nil && total == nil:
		return nil
	case total == nil:
		return invalid("If segment is specified, total segment must also be specified")
	case segment == nil:
		return invalid("If total segments is specified, a particular segment must also be specified for this request")
	case *total < 1:
		return invalid("1 validation error detected: Value '%d' at 'totalSegments' failed to satisfy constraint: Member must have value greater than or equal to 1", *total)
	case *total > 1000000:
		return invalid("1 validation error detected: Value '%d' at 'totalSegments' failed to satisfy constraint: Member must have value less than or equal to 1000000", *total)
	case *segment < 0:
		return invalid("1 validation error detected: Value '%d' at 'segment' failed to satisfy constraint: Member must have value greater than or equal to 0", *segment)
	case *segment >= *total:
		return invalid("1 validation error detected: Value '%d' at 'segment' failed to satisfy constraint: Member must have value less than or equal to %d", *segment, *total-1)
	}
	p.within = func(hash []byte) bool {
		h := fnv.New64a()
		_, _ = h.Write(hash) // a hash never fails
		return h.Sum64()%uint64(*total) == uint64(*segment)
	}
	return nil
}

// startAfter checks an ExclusiveStartKey and begins the page behind it.
func (p *page) startAfter(given item) error {
	if given == nil {
		return nil
	}
	if err := given.check(); err != nil {
		return err
	}
	needed := p.t.Keys.attributes()
	if p.index != nil {
		for _, key := range p.index.Keys.attributes() {
			if !p.t.Keys.has(key.Name) {
				needed = append(needed, key)
			}
		}
	}
	if len(given) != len(needed) {
		return invalid("Exclusive Start Key must have same size as table's key schema")
	}
	for _, key := range needed {
		switch v := given[key.Name]; {
		case !v.exists():
			return invalid("The provided starting key is invalid")
		case v.kind != key.Kind:
			return invalid("Type mismatch for attribute to update")
		case v.text == "":
			return p.emptyStart(key)
		}
	}
	p.start = p.keys.encode(given)
	if p.index != nil {
		p.start = append(p.start, p.t.Keys.encode(given)...)
	}
	if !p.span.contains(p.start) {
		return invalid("The provided starting key does not match the range key predicate")
	}
	return nil
}

// emptyStart refuses a starting key because of an empty value.
func (p *page) emptyStart(key keyAttribute) error {
	beginning := "The provided starting key is invalid: "
	if key.Name == p.t.Keys.Hash.Name || key.Name == p.keys.Hash.Name {
		beginning = "The query can return at most one row and cannot be restarted. " + beginning
	}
	return invalid("%s%s", beginning, p.emptyKey(key))
}

// emptyKey says that the value given for a key of the table or index is empty.
func (p *page) emptyKey(key keyAttribute) string {
	empty := fmt.Sprintf("The AttributeValue for a key attribute cannot contain an empty %s value.", emptyKind(key.Kind))
	if p.index != nil && p.keys.has(key.Name) {
		return fmt.Sprintf("One or more parameter values are not valid. A value specified for a secondary index key is not supported. %s IndexName: %s, IndexKey: %s", empty, p.index.Name, key.Name)
	}
	return fmt.Sprintf("One or more parameter values are not valid. %s Key: %s", empty, key.Name)
}

func (db *DB) readPage(p *page, in *scanInput) (*scanOutput, error) {
	var out *scanOutput
	size := 0
	err := db.view(func(tx *bbolt.Tx) error {
		s := p.t.open(tx)
		entries := s.items
		if p.index != nil {
			at := slices.IndexFunc(p.t.Indexes, func(ix index) bool { return ix.Name == p.index.Name })
			entries = s.indexes[at]
		}
		var err error
		out, size, err = p.read(entries.Cursor())
		return err
	})
	if err != nil {
		return nil, err
	}
	spent, of := usage{"": 0}, ""
	if p.index != nil {
		of = p.index.Name
	}
	spent[of] = readUnits(size, in.ConsistentRead)
	out.ConsumedCapacity = spent.report(p.t.Name, in.ReturnConsumedCapacity)
	return out, nil
}

// read evaluates entries until the page is full; size is the bytes it evaluated.
func (p *page) read(c *bbolt.Cursor) (out *scanOutput, size int, err error) {
	items := []item{}
	out = &scanOutput{}
	single := p.index == nil && p.keys.Range.Name == "" && p.span.low != nil // one item, and no page behind it
	for key, encoded := p.first(c); key != nil && p.span.contains(key); key, encoded = p.next(c) {
		it, err := decodeItem(encoded)
		if err != nil {
			return nil, 0, err
		}
		if p.within != nil && !p.within(appendKey(nil, it[p.keys.Hash.Name])) {
			continue
		}
		out.ScannedCount++
		size += it.size()
		if p.filter.holds(it) {
			out.Count++
			items = append(items, keep(it, p.paths))
		}
		if (out.ScannedCount == p.limit || size > maxPage) && !single {
			out.LastEvaluatedKey = p.lastKey(it)
			break
		}
	}
	if !p.count {
		out.Items = &items
	}
	return out, size, nil
}

func (p *page) first(c *bbolt.Cursor) (key, encoded []byte) {
	switch {
	case !p.reverse && p.start != nil:
		if key, encoded = c.Seek(p.start); bytes.Equal(key, p.start) {
			return c.Next()
		}
		return key, encoded
	case !p.reverse:
		return c.Seek(p.span.low)
	}
	end := p.span.high
	if p.start != nil {
		end = p.start
	}
	if end == nil {
		return c.Last()
	}
	if key, _ = c.Seek(end); key == nil {
		return c.Last()
	}
	return c.Prev()
}

func (p *page) next(c *bbolt.Cursor) (key, encoded []byte) {
	if p.reverse {
		return c.Prev()
	}
	return c.Next()
}

// lastKey is the LastEvaluatedKey of a page that ends with it.
func (p *page) lastKey(it item) item {
	last := item{}
	for _, key := range append(p.t.Keys.attributes(), p.keys.attributes()...) {
		last[key.Name] = it[key.Name]
	}
	return last
}
