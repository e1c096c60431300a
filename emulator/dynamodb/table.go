package dynamodb

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// table is a table's definition. It is never changed in place.
type table struct {
	Name               string
	Definitions        []attributeDefinition
	Keys               keySchema
	Indexes            []index
	Created            time.Time
	DeletionProtection bool
	Class              string
	SSE                *sseSpecification
	Tags               []tag
	TTLAttribute       string // "" while TTL is off
	Stream             *streamDefinition

	feed *feed
}

// keySchema names the key attributes; Range.Name is "" when there is no sort key.
type keySchema struct{ Hash, Range keyAttribute }

type keyAttribute struct {
	Name string
	Kind kind
}

// attributes lists the hash key and, if there is one, the range key.
func (s keySchema) attributes() []keyAttribute {
	if s.Range.Name == "" {
		return []keyAttribute{s.Hash}
	}
	return []keyAttribute{s.Hash, s.Range}
}

func (s keySchema) has(name string) bool {
	return name == s.Hash.Name || name == s.Range.Name && name != ""
}

// index is a global secondary index.
type index struct {
	Name       string
	Keys       keySchema
	Projection projection
}

type (
	attributeDefinition struct {
		AttributeName string
		AttributeType kind
	}
	keySchemaElement struct{ AttributeName, KeyType string }
	projection       struct {
		ProjectionType   string   `json:",omitempty"`
		NonKeyAttributes []string `json:",omitempty"`
	}
	indexDefinition struct {
		IndexName  string
		KeySchema  []keySchemaElement
		Projection projection
	}
	sseSpecification struct {
		Enabled        bool
		SSEType        string `json:",omitempty"`
		KMSMasterKeyId string `json:",omitempty"`
	}
	tag struct{ Key, Value string }
)

type createTableInput struct {
	TableName                 string
	KeySchema                 []keySchemaElement
	AttributeDefinitions      []attributeDefinition
	GlobalSecondaryIndexes    []indexDefinition
	BillingMode               string
	DeletionProtectionEnabled bool
	TableClass                string
	SSESpecification          *sseSpecification
	StreamSpecification       *streamSpecification
	Tags                      []tag
}

type tableOutput struct {
	TableDescription *tableDescription `json:",omitempty"`
	Table            *tableDescription `json:",omitempty"`
}

func decodeTable(definition []byte) (*table, error) {
	t := new(table)
	return t, json.Unmarshal(definition, t)
}

func (db *DB) createTable(in *createTableInput) (*tableOutput, error) {
	t, err := db.defineTable(in)
	if err != nil {
		return nil, err
	}
	if _, exists := db.tables[t.Name]; exists {
		return nil, &Error{Type: "ResourceInUseException", Message: "Cannot create preexisting table"}
	}
	err = db.file.Update(func(tx *bbolt.Tx) error {
		data, err := tx.Bucket(dataBucket).CreateBucket([]byte(t.Name))
		if err != nil {
			return err
		}
		if _, err := data.CreateBucket(itemsBucket); err != nil {
			return err
		}
		if _, err := data.CreateBucket(streamBucket); err != nil {
			return err
		}
		for _, ix := range t.Indexes {
			if _, err := data.CreateBucket(indexBucket(ix.Name)); err != nil {
				return err
			}
		}
		return t.save(tx)
	})
	if err != nil {
		return nil, err
	}
	db.tables[t.Name] = t
	return &tableOutput{TableDescription: db.describe(t, contents{})}, nil
}

func (t *table) save(tx *bbolt.Tx) error {
	definition, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return tx.Bucket(tablesBucket).Put([]byte(t.Name), definition)
}

// defineTable checks a CreateTable request and returns what it asks for.
func (db *DB) defineTable(in *createTableInput) (*table, error) {
	if err := checkName(in.TableName); err != nil {
		return nil, err
	}
	switch {
	case in.AttributeDefinitions == nil:
		return nil, invalid("No Attribute Schema Defined")
	case in.BillingMode == "":
		return nil, invalid("No provisioned throughput specified for the table")
	case in.BillingMode != "PAY_PER_REQUEST":
		return nil, unsupported("BillingMode %s", in.BillingMode)
	case !slices.Contains([]string{"", "STANDARD", "STANDARD_INFREQUENT_ACCESS"}, in.TableClass):
		return nil, invalid("1 validation error detected: Value '%s' at 'tableClass' failed to satisfy constraint: Member must satisfy enum value set: [STANDARD, STANDARD_INFREQUENT_ACCESS]", in.TableClass)
	}
	kinds := map[string]kind{}
	for _, d := range in.AttributeDefinitions {
		if d.AttributeType != kindS && d.AttributeType != kindN && d.AttributeType != kindB {
			return nil, invalid("Member must satisfy enum value set: [B, N, S]")
		}
		if _, twice := kinds[d.AttributeName]; twice {
			return nil, invalid("Cannot have two attributes with the same name")
		}
		kinds[d.AttributeName] = d.AttributeType
	}
	used := map[string]bool{}
	keys, err := defineKeys(in.KeySchema, kinds, used, "Hash Key not specified in Attribute Definitions.  Type unknown.", "Range Key not specified in Attribute Definitions.  Type unknown.")
	if err != nil {
		return nil, err
	}
	indexes, err := defineIndexes(in.GlobalSecondaryIndexes, kinds, used)
	if err != nil {
		return nil, err
	}
	if len(used) != len(kinds) {
		return nil, invalid("The number of attributes in key schema must match the number of attributes defined in attribute definitions.")
	}
	stream, err := in.StreamSpecification.define(db.opts.Now())
	if err != nil {
		return nil, err
	}
	return &table{
		Name: in.TableName, Definitions: in.AttributeDefinitions, Keys: keys, Indexes: indexes,
		Created: db.opts.Now().UTC(), DeletionProtection: in.DeletionProtectionEnabled,
		Class: in.TableClass, SSE: in.SSESpecification, Tags: in.Tags, Stream: stream, feed: &feed{db: db},
	}, nil
}

// checkName refuses what cannot be the name of a table or index.
func checkName(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
	if len(name) < 3 || len(name) > 255 || strings.Trim(name, letters) != "" {
		return invalid("Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'")
	}
	return nil
}

// defineKeys reads a key schema, marking its attributes as used.
func defineKeys(elements []keySchemaElement, kinds map[string]kind, used map[string]bool, noHash, noRange string) (keySchema, error) {
	var s keySchema
	switch {
	case elements == nil:
		return s, invalid("No defined key schema.  A key schema containing at least a hash key must be defined for all tables")
	case len(elements) > 2:
		return s, invalid("Key Schema too big.  Key Schema must at most consist of the hash and range key of a table")
	}
	hashes := 0
	for i, e := range elements {
		key := keyAttribute{e.AttributeName, kinds[e.AttributeName]}
		switch e.KeyType {
		case "HASH":
			if hashes++; hashes > 1 {
				return s, invalid("Too many hash keys specified.  All Dynamo DB tables must have exactly one hash key")
			}
			if i > 0 {
				return s, invalid("Invalid key order. Hash Key must be specified first in key schema, Range Key must be specifed second")
			}
			s.Hash = key
		case "RANGE":
			s.Range = key
		case "":
			return s, invalid("One or more keys is not specified as being hash or range.")
		}
		used[e.AttributeName] = true
	}
	switch {
	case hashes == 0:
		return s, invalid("No Hash Key specified in schema.  All Dynamo DB tables must have exactly one hash key")
	case s.Hash.Kind == "":
		return s, invalid("%s", noHash)
	case s.Hash.Name == s.Range.Name:
		return s, invalid("Two keys can not have the same name")
	case s.Range.Name != "" && s.Range.Kind == "":
		return s, invalid("%s", noRange)
	}
	return s, nil
}

func defineIndexes(definitions []indexDefinition, kinds map[string]kind, used map[string]bool) ([]index, error) {
	const maxIndexes, maxProjected = 20, 100
	projected := 0
	if definitions != nil && len(definitions) == 0 {
		return nil, invalid("GSI list is empty/invalid")
	}
	var indexes []index
	for _, d := range definitions {
		if err := checkName(d.IndexName); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(indexes, func(ix index) bool { return ix.Name == d.IndexName }) {
			return nil, invalid("Two global secondary indices have the same name")
		}
		keys, err := defineKeys(d.KeySchema, kinds, used, "Global Secondary Index hash key not specified in Attribute Definitions.Type unknown.", "Global Secondary Index range key not specified in Attribute Definitions.Type unknown.")
		if err != nil {
			return nil, err
		}
		if err := checkProjection(d.Projection); err != nil {
			return nil, err
		}
		if projected += len(d.Projection.NonKeyAttributes); projected > maxProjected {
			return nil, invalid("The number of projected attributes of all indexes exceeds the per-table limit of %d", maxProjected)
		}
		indexes = append(indexes, index{d.IndexName, keys, d.Projection})
	}
	if len(indexes) > maxIndexes {
		return nil, invalid("GlobalSecondaryIndex count exceeds the per-table limit")
	}
	return indexes, nil
}

func checkProjection(p projection) error {
	switch p.ProjectionType {
	case "":
		return invalid("Indexes must have a projection specified")
	case "ALL", "KEYS_ONLY":
		if len(p.NonKeyAttributes) > 0 {
			return invalid("No attributes should be specified to be projected unless projection type is INCLUDE")
		}
		return nil
	case "INCLUDE":
	default:
		return invalid("Projection type must be INCLUDE, ALL, or KEYS_ONLY")
	}
	if len(p.NonKeyAttributes) == 0 {
		return invalid("If Projection type INCLUDE is specified, some non-key attributes to include in the projection must be specified as well")
	}
	if sorted := slices.Sorted(slices.Values(p.NonKeyAttributes)); len(slices.Compact(sorted)) != len(p.NonKeyAttributes) {
		return invalid("Cannot have two attributes with the same name")
	}
	return nil
}

func checkTableName(name *string) error {
	if name == nil {
		return null("tableName")
	}
	return checkName(*name)
}

// table finds a table by the name in a request.
func (db *DB) table(name *string) (*table, error) {
	if err := checkTableName(name); err != nil {
		return nil, err
	}
	t, found := db.tables[*name]
	if !found {
		return nil, noTable()
	}
	return t, nil
}

// defined is like table, for requests about the table itself: the error names it.
func (db *DB) defined(name *string) (*table, error) {
	t, err := db.table(name)
	if e, ok := errors.AsType[*Error](err); ok && e.Type == "ResourceNotFoundException" {
		e.Message += ": Table: " + *name + " not found"
	}
	return t, err
}

func (t *table) index(name string) (index, error) {
	for _, ix := range t.Indexes {
		if ix.Name == name {
			return ix, nil
		}
	}
	return index{}, invalid("The table does not have the specified index: %s", name)
}

func (db *DB) arn(t *table) string {
	return fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s", db.opts.Region, db.opts.AccountID, t.Name)
}
