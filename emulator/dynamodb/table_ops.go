package dynamodb

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
)

type (
	tableDescription struct {
		TableName                 string
		TableStatus               string
		TableArn                  string
		KeySchema                 []keySchemaElement
		AttributeDefinitions      []attributeDefinition
		CreationDateTime          float64
		ItemCount                 int
		TableSizeBytes            int
		DeletionProtectionEnabled bool
		BillingModeSummary        billingModeSummary
		ProvisionedThroughput     provisionedThroughput
		TableClassSummary         *tableClassSummary   `json:",omitempty"`
		SSEDescription            *sseDescription      `json:",omitempty"`
		StreamSpecification       *streamSpecification `json:",omitempty"`
		LatestStreamLabel         string               `json:",omitempty"`
		LatestStreamArn           string               `json:",omitempty"`
		GlobalSecondaryIndexes    []indexDescription   `json:",omitempty"`
	}
	indexDescription struct {
		IndexName             string
		IndexStatus           string
		IndexArn              string
		KeySchema             []keySchemaElement
		Projection            projection
		ItemCount             int
		IndexSizeBytes        int
		ProvisionedThroughput provisionedThroughput
	}
	billingModeSummary struct {
		BillingMode                       string
		LastUpdateToPayPerRequestDateTime float64
	}
	provisionedThroughput struct {
		NumberOfDecreasesToday, ReadCapacityUnits, WriteCapacityUnits int
	}
	tableClassSummary struct{ TableClass string }
	sseDescription    struct {
		Status          string
		SSEType         string
		KMSMasterKeyArn string `json:",omitempty"`
	}
)

// contents counts the items of a table and the entries of its indexes, by bucket.
type contents map[string]struct{ count, size int }

func (db *DB) describe(t *table, c contents) *tableDescription {
	created := float64(t.Created.UnixMilli()) / 1000
	d := &tableDescription{
		TableName: t.Name, TableStatus: "ACTIVE", TableArn: db.arn(t),
		KeySchema: t.Keys.elements(), AttributeDefinitions: t.Definitions, CreationDateTime: created,
		ItemCount: c[string(itemsBucket)].count, TableSizeBytes: c[string(itemsBucket)].size,
		DeletionProtectionEnabled: t.DeletionProtection,
		BillingModeSummary:        billingModeSummary{"PAY_PER_REQUEST", created},
	}
	if t.Class != "" {
		d.TableClassSummary = &tableClassSummary{t.Class}
	}
	if t.SSE != nil && t.SSE.Enabled {
		d.SSEDescription = &sseDescription{"ENABLED", "KMS", t.SSE.KMSMasterKeyId}
	}
	if t.Stream != nil {
		d.StreamSpecification = &streamSpecification{true, t.Stream.ViewType}
		d.LatestStreamLabel, d.LatestStreamArn = t.Stream.Label, db.streamARN(t)
	}
	for _, ix := range t.Indexes {
		held := c[string(indexBucket(ix.Name))]
		d.GlobalSecondaryIndexes = append(d.GlobalSecondaryIndexes, indexDescription{
			IndexName: ix.Name, IndexStatus: "ACTIVE", IndexArn: d.TableArn + "/index/" + ix.Name,
			KeySchema: ix.Keys.elements(), Projection: ix.Projection,
			ItemCount: held.count, IndexSizeBytes: held.size,
		})
	}
	return d
}

func (s keySchema) elements() []keySchemaElement {
	elements := []keySchemaElement{{s.Hash.Name, "HASH"}}
	if s.Range.Name != "" {
		elements = append(elements, keySchemaElement{s.Range.Name, "RANGE"})
	}
	return elements
}

// count reads through all items: DescribeTable is exact here, where the service's figures
// are up to six hours old.
func (t *table) count(tx *bbolt.Tx) (contents, error) {
	c := contents{}
	data := tx.Bucket(dataBucket).Bucket([]byte(t.Name))
	return c, data.ForEachBucket(func(name []byte) error {
		if bytes.Equal(name, streamBucket) {
			return nil
		}
		return data.Bucket(name).ForEach(func(_, encoded []byte) error {
			it, err := decodeItem(encoded)
			held := c[string(name)]
			held.count, held.size = held.count+1, held.size+it.size()
			c[string(name)] = held
			return err
		})
	})
}

type tableNameInput struct{ TableName *string }

func (db *DB) describeTable(in *tableNameInput) (*tableOutput, error) {
	t, err := db.defined(in.TableName)
	if err != nil {
		return nil, err
	}
	var c contents
	err = db.view(func(tx *bbolt.Tx) error {
		c, err = t.count(tx)
		return err
	})
	return &tableOutput{Table: db.describe(t, c)}, err
}

func (db *DB) deleteTable(in *tableNameInput) (*tableOutput, error) {
	t, err := db.defined(in.TableName)
	if err != nil {
		return nil, err
	}
	if t.DeletionProtection {
		return nil, invalid("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
	}
	err = db.file.Update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket(dataBucket).DeleteBucket([]byte(t.Name)); err != nil {
			return err
		}
		return tx.Bucket(tablesBucket).Delete([]byte(t.Name))
	})
	if err != nil {
		return nil, err
	}
	delete(db.tables, t.Name)
	d := db.describe(t, nil)
	d.TableStatus = "DELETING"
	return &tableOutput{TableDescription: d}, nil
}

type updateTableInput struct {
	TableName                 *string
	DeletionProtectionEnabled *bool
}

func (db *DB) updateTable(in *updateTableInput) (*tableOutput, error) {
	t, err := db.defined(in.TableName)
	if err != nil {
		return nil, err
	}
	if in.DeletionProtectionEnabled == nil {
		return nil, invalid("At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required")
	}
	changed := *t
	changed.DeletionProtection = *in.DeletionProtectionEnabled
	return &tableOutput{TableDescription: db.describe(&changed, nil)}, db.replace(&changed)
}

// replace stores a changed definition.
func (db *DB) replace(t *table) error {
	if err := db.file.Update(t.save); err != nil {
		return err
	}
	db.tables[t.Name] = t
	return nil
}

type listTablesInput struct {
	ExclusiveStartTableName *string
	Limit                   *int
}

type listTablesOutput struct {
	TableNames             []string
	LastEvaluatedTableName string `json:",omitempty"`
}

func (db *DB) listTables(in *listTablesInput) (*listTablesOutput, error) {
	limit := 100
	if in.Limit != nil {
		limit = *in.Limit
	}
	switch {
	case limit < 1:
		return nil, unsatisfied(fmt.Sprintf("'%d'", limit), "limit", "Member must have value greater than or equal to 1")
	case limit > 100:
		return nil, unsatisfied(fmt.Sprintf("'%d'", limit), "limit", "Member must have value less than or equal to 100")
	}
	out := &listTablesOutput{TableNames: []string{}}
	for _, name := range slices.Sorted(maps.Keys(db.tables)) {
		if in.ExclusiveStartTableName != nil && name <= *in.ExclusiveStartTableName {
			continue
		}
		if len(out.TableNames) == limit {
			out.LastEvaluatedTableName = out.TableNames[limit-1]
			break
		}
		out.TableNames = append(out.TableNames, name)
	}
	return out, nil
}

type (
	timeToLiveSpecification struct {
		AttributeName string
		Enabled       bool
	}
	updateTimeToLive struct {
		TableName               *string                  `json:",omitempty"`
		TimeToLiveSpecification *timeToLiveSpecification `json:",omitempty"`
	}
	timeToLiveDescription struct {
		TimeToLiveStatus string
		AttributeName    string `json:",omitempty"`
	}
	describeTimeToLiveOutput struct{ TimeToLiveDescription timeToLiveDescription }
)

func (db *DB) updateTimeToLive(in *updateTimeToLive) (*updateTimeToLive, error) {
	t, err := db.defined(in.TableName)
	if err != nil {
		return nil, err
	}
	ttl := in.TimeToLiveSpecification
	switch {
	case ttl == nil:
		return nil, invalid("TimeToLiveSpecification cannot be null")
	case ttl.AttributeName == "" || len(ttl.AttributeName) > 255:
		return nil, invalid("Names of key attributes and attributes projected into an index must be between 1 and 255 characters, inclusive")
	case ttl.Enabled && t.TTLAttribute == ttl.AttributeName:
		return nil, invalid("TimeToLive is already enabled")
	case !ttl.Enabled && t.TTLAttribute == "":
		return nil, invalid("TimeToLive is already disabled")
	case t.TTLAttribute != "" && t.TTLAttribute != ttl.AttributeName:
		return nil, invalid("TimeToLive is active on a different AttributeName")
	}
	changed := *t
	changed.TTLAttribute = ""
	if ttl.Enabled {
		changed.TTLAttribute = ttl.AttributeName
	}
	return &updateTimeToLive{TimeToLiveSpecification: ttl}, db.replace(&changed)
}

func (db *DB) describeTimeToLive(in *tableNameInput) (*describeTimeToLiveOutput, error) {
	t, err := db.defined(in.TableName)
	if err != nil {
		return nil, err
	}
	if t.TTLAttribute == "" {
		return &describeTimeToLiveOutput{timeToLiveDescription{TimeToLiveStatus: "DISABLED"}}, nil
	}
	return &describeTimeToLiveOutput{timeToLiveDescription{"ENABLED", t.TTLAttribute}}, nil
}

// Sweep deletes every item whose time to live ended at or before now and returns how
// many it deleted. As in the service, items whose attribute is no number or lies more
// than five years back stay. It also forgets the ClientRequestTokens that have expired.
func (db *DB) Sweep(now time.Time) (int, error) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	deleted := 0
	for _, t := range db.tables {
		if t.TTLAttribute == "" {
			continue
		}
		var expired int
		err := db.update(func(tx *bbolt.Tx) error {
			var err error
			s := t.open(tx)
			s.expiring = true
			expired, err = s.deleteExpired(now)
			return err
		})
		if err != nil {
			return deleted, err
		}
		deleted += expired
	}
	return deleted, db.update(db.forget)
}

func (s store) deleteExpired(now time.Time) (int, error) {
	newest := epoch(now)
	oldest := epoch(now.AddDate(-5, 0, 0))
	expired := map[string]item{}
	err := s.items.ForEach(func(key, encoded []byte) error {
		it, err := decodeItem(encoded)
		if err != nil {
			return err
		}
		if end := it[s.t.TTLAttribute]; end.kind == kindN && end.number().compare(newest) <= 0 && end.number().compare(oldest) >= 0 {
			expired[string(key)] = it
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, key := range slices.Sorted(maps.Keys(expired)) {
		if err := s.replace([]byte(key), expired[key], nil); err != nil {
			return 0, err
		}
	}
	return len(expired), nil
}

func epoch(t time.Time) number { return parsed(strconv.FormatInt(t.Unix(), 10)) }
