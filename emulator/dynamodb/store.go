package dynamodb

import (
	"bytes"
	"slices"

	"go.etcd.io/bbolt"
)

// Limits of items and keys (Developer Guide, "Service, account, and table quotas").
const (
	maxItemSize  = 400 << 10
	maxHashSize  = 2048
	maxRangeSize = 1024
	maxDepth     = 32
)

var itemsBucket = []byte("items")

func indexBucket(name string) []byte { return []byte("index/" + name) }

// store is a table's data within one transaction.
type store struct {
	t       *table
	items   *bbolt.Bucket
	indexes []*bbolt.Bucket // in the order of t.Indexes
	stream  *bbolt.Bucket   // nil where the table was made without one

	expiring bool // what is deleted has expired, as the stream says
}

func (t *table) open(tx *bbolt.Tx) store {
	data := tx.Bucket(dataBucket).Bucket([]byte(t.Name))
	s := store{t: t, items: data.Bucket(itemsBucket), stream: data.Bucket(streamBucket)}
	for _, ix := range t.Indexes {
		s.indexes = append(s.indexes, data.Bucket(indexBucket(ix.Name)))
	}
	return s
}

// get returns the item stored under key, or nil.
func (s store) get(key []byte) (item, error) {
	encoded := s.items.Get(key)
	if encoded == nil {
		return nil, nil
	}
	return decodeItem(encoded)
}

// replace stores updated under key, where old was (nil means no item), and brings the
// index entries and the stream up to date.
func (s store) replace(key []byte, old, updated item) error {
	for i, ix := range s.t.Indexes {
		oldKey, _ := s.t.indexEntry(ix, old)
		newKey, entry := s.t.indexEntry(ix, updated)
		if oldKey != nil && !bytes.Equal(oldKey, newKey) {
			if err := s.indexes[i].Delete(oldKey); err != nil {
				return err
			}
		}
		if newKey != nil {
			if err := s.indexes[i].Put(newKey, entry.encode(nil)); err != nil {
				return err
			}
		}
	}
	if err := s.record(old, updated); err != nil {
		return err
	}
	if updated == nil {
		return s.items.Delete(key)
	}
	return s.items.Put(key, updated.encode(nil))
}

// indexEntry returns key and projected item of an item's entry in ix, or nil when the
// item lacks a key attribute of the index and so has no entry.
func (t *table) indexEntry(ix index, it item) ([]byte, item) {
	if it == nil {
		return nil, nil
	}
	for _, key := range ix.Keys.attributes() {
		if !it[key.Name].exists() {
			return nil, nil
		}
	}
	return append(ix.Keys.encode(it), t.Keys.encode(it)...), t.project(ix, it)
}

// encode returns the stored form of the key attributes in it, which are all there.
func (s keySchema) encode(it item) []byte {
	key := appendKey(nil, it[s.Hash.Name])
	if s.Range.Name != "" {
		key = appendKey(key, it[s.Range.Name])
	}
	return key
}

// project keeps the attributes of it that ix holds.
func (t *table) project(ix index, it item) item {
	if ix.Projection.ProjectionType == "ALL" {
		return it
	}
	kept := item{}
	for name, v := range it {
		if t.projects(ix, name) {
			kept[name] = v
		}
	}
	return kept
}

func (t *table) projects(ix index, name string) bool {
	if ix.Projection.ProjectionType == "ALL" || t.Keys.has(name) || ix.Keys.has(name) {
		return true
	}
	return slices.Contains(ix.Projection.NonKeyAttributes, name)
}

// key checks the Key of a request and returns its stored form.
func (t *table) key(given item) ([]byte, error) {
	if given == nil {
		return nil, null("key")
	}
	if err := given.check(); err != nil {
		return nil, err
	}
	if len(given) != len(t.Keys.attributes()) {
		return nil, invalid("The provided key element does not match the schema")
	}
	for _, key := range t.Keys.attributes() {
		switch v := given[key.Name]; {
		case !v.exists():
			return nil, invalid("The provided key element does not match the schema")
		case v.kind != key.Kind:
			return nil, unfit("The provided key element does not match the schema")
		}
	}
	if err := t.checkKeys(given); err != nil {
		return nil, err
	}
	return t.Keys.encode(given), nil
}

// checkKeys checks the attributes of the table's primary key in it.
func (t *table) checkKeys(it item) error {
	for _, key := range t.Keys.attributes() {
		v := it[key.Name]
		switch {
		case !v.exists():
			return invalid("One or more parameter values were invalid: Missing the key %s in the item", key.Name)
		case v.kind != key.Kind:
			return unfit("One or more parameter values were invalid: Type mismatch for key %s expected: %s actual: %s", key.Name, key.Kind, v.kind)
		case v.text == "":
			return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", emptyKind(v.kind), key.Name)
		case len(v.text) > keyLimit(t.Keys, key):
			return unfit("One or more parameter values were invalid: %s", oversized(t.Keys, key))
		}
	}
	return nil
}

func keyLimit(s keySchema, key keyAttribute) int {
	switch {
	case key.Kind == kindN:
		return 1 << 10 // a number's digits; its own limits are stricter
	case key.Name == s.Hash.Name:
		return maxHashSize
	}
	return maxRangeSize
}

func emptyKind(k kind) string {
	if k == kindB {
		return "binary"
	}
	return "string"
}

// oversized says that the value of a key is longer than its limit; the missing space is
// DynamoDB's.
func oversized(k keySchema, key keyAttribute) string {
	if key.Name == k.Hash.Name {
		return "Size of hashkey has exceeded the maximum size limit of2048 bytes"
	}
	return "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
}

// checkIndexKeys checks the attributes of it that are keys of an index. byUpdate says
// that an update expression made them, which the messages tell apart.
func (t *table) checkIndexKeys(it item, byUpdate bool) error {
	for _, ix := range t.Indexes {
		for _, key := range ix.Keys.attributes() {
			v := it[key.Name]
			switch {
			case !v.exists():
			case v.kind != key.Kind:
				return unfit("One or more parameter values were invalid: Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s", key.Name, key.Kind, v.kind, ix.Name)
			case v.text == "" && byUpdate:
				return invalid("One or more parameter values are not valid. The update expression attempted to update a secondary index key to a value that is not supported. The AttributeValue for a key attribute cannot contain an empty %s value.", emptyKind(v.kind))
			case v.text == "":
				return invalid("One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty %s value. IndexName: %s, IndexKey: %s", emptyKind(v.kind), ix.Name, key.Name)
			case len(v.text) > keyLimit(ix.Keys, key):
				return invalid("One or more parameter values were invalid: Size limit exceeded")
			}
		}
	}
	return nil
}

// checkScalars refuses paths that lead into a key attribute, of the table or an index.
func (t *table) checkScalars(paths []path) error {
	into := func(key keyAttribute) bool {
		return slices.ContainsFunc(paths, func(p path) bool { return len(p) > 1 && p[0].name == key.Name })
	}
	const refusal = "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: "
	for _, key := range t.Keys.attributes() {
		if into(key) {
			return invalid(refusal+"Key: %s", key.Name)
		}
	}
	for _, ix := range t.Indexes {
		for _, key := range ix.Keys.attributes() {
			if into(key) {
				return invalid(refusal+"IndexKey: %s", key.Name)
			}
		}
	}
	return nil
}

// checkItem checks all of an item that a request gives but its index keys.
func (t *table) checkItem(it item) error {
	if it == nil {
		return invalid("Item to put in PutItem cannot be null")
	}
	if err := it.check(); err != nil {
		return err
	}
	if err := t.checkKeys(it); err != nil {
		return err
	}
	for _, v := range it {
		if v.depth() >= maxDepth {
			return invalid("Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit")
		}
	}
	return checkSize(it)
}

func checkSize(it item) error {
	if it.size() > maxItemSize {
		return invalid("Item size has exceeded the maximum allowed size")
	}
	return nil
}
