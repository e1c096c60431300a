package dynamodb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

const (
	targetPrefix = "DynamoDB_20120810." // that of DynamoDB Streams is streamsPrefix
	contentType  = "application/x-amz-json-1.0"
	maxRequest   = 16 << 20 // largest request body that DynamoDB takes
)

// operation is one API action: the members of its request that are supported, and what
// carries it out.
type operation struct {
	members string
	run     func(db *DB, body []byte) (any, error)
	alone   bool // changes definitions of tables: runs while nothing else does
}

// operations lists the whole API that is served.
func operations(name string) (operation, bool) {
	const (
		names  = " ExpressionAttributeNames"
		values = names + " ExpressionAttributeValues"
		write  = values + " TableName ConditionExpression ReturnValues ReturnValuesOnConditionCheckFailure ReturnConsumedCapacity ReturnItemCollectionMetrics"
		read   = " TableName ConsistentRead ProjectionExpression ReturnConsumedCapacity"
		scan   = values + read + " IndexName FilterExpression Limit ExclusiveStartKey Select"
	)
	switch name {
	case "CreateTable":
		return operation{"TableName KeySchema AttributeDefinitions GlobalSecondaryIndexes BillingMode DeletionProtectionEnabled SSESpecification StreamSpecification Tags TableClass", serve((*DB).createTable), true}, true
	case "UpdateTable":
		return operation{"TableName DeletionProtectionEnabled", serve((*DB).updateTable), true}, true
	case "DeleteTable":
		return operation{"TableName", serve((*DB).deleteTable), true}, true
	case "DescribeTable":
		return operation{"TableName", serve((*DB).describeTable), false}, true
	case "ListTables":
		return operation{"ExclusiveStartTableName Limit", serve((*DB).listTables), false}, true
	case "UpdateTimeToLive":
		return operation{"TableName TimeToLiveSpecification", serve((*DB).updateTimeToLive), true}, true
	case "DescribeTimeToLive":
		return operation{"TableName", serve((*DB).describeTimeToLive), false}, true
	case "GetItem":
		return operation{"Key" + names + read, serve((*DB).getItem), false}, true
	case "PutItem":
		return operation{"Item" + write, serve((*DB).putItem), false}, true
	case "UpdateItem":
		return operation{"Key UpdateExpression" + write, serve((*DB).updateItem), false}, true
	case "DeleteItem":
		return operation{"Key" + write, serve((*DB).deleteItem), false}, true
	case "Query":
		return operation{"KeyConditionExpression ScanIndexForward" + scan, serve((*DB).query), false}, true
	case "Scan":
		return operation{"Segment TotalSegments" + scan, serve((*DB).scan), false}, true
	case "BatchGetItem":
		return operation{"RequestItems ReturnConsumedCapacity", serve((*DB).batchGet), false}, true
	case "BatchWriteItem":
		return operation{"RequestItems ReturnConsumedCapacity ReturnItemCollectionMetrics", serve((*DB).batchWrite), false}, true
	case "TransactGetItems":
		return operation{"TransactItems ReturnConsumedCapacity", serve((*DB).transactGet), false}, true
	case "TransactWriteItems":
		return operation{"TransactItems ClientRequestToken ReturnConsumedCapacity ReturnItemCollectionMetrics", serve((*DB).transactWrite), false}, true
	}
	return operation{}, false
}

func serve[In, Out any](do func(*DB, *In) (*Out, error)) func(*DB, []byte) (any, error) {
	return func(db *DB, body []byte) (any, error) {
		in := new(In)
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(in); err != nil {
			return nil, decodeError(err)
		}
		return do(db, in)
	}
}

// ServeHTTP speaks the AWS JSON 1.0 protocol. Signatures are not verified, but a request
// without any is refused as the service refuses it.
func (db *DB) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := db.handle(r)
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func (db *DB) handle(r *http.Request) (any, error) {
	if r.Method != http.MethodPost {
		return nil, unknownOperation(r.Header.Get("X-Amz-Target"))
	}
	service, name, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	find := map[string]func(string) (operation, bool){targetPrefix: operations, streamsPrefix: streamOperations}[service+"."]
	if find == nil {
		return nil, unknownOperation(r.Header.Get("X-Amz-Target"))
	}
	if r.Header.Get("Authorization") == "" {
		return nil, &Error{Type: "MissingAuthenticationTokenException", Message: "Request is missing Authentication Token"}
	}
	op, found := find(name)
	if !found {
		return nil, unknownOperation(r.Header.Get("X-Amz-Target"))
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		return nil, serialization("%s", err)
	}
	if len(body) > maxRequest {
		return nil, &Error{Type: "RequestEntityTooLarge", Message: "Request body is too large", Status: http.StatusRequestEntityTooLarge}
	}
	if err := db.admit(name, op, body); err != nil {
		return nil, err
	}
	if op.alone {
		db.mu.Lock()
		defer db.mu.Unlock()
	} else {
		db.mu.RLock()
		defer db.mu.RUnlock()
	}
	return op.run(db, body)
}

// admit refuses members that are not supported and asks the hook.
func (db *DB) admit(name string, op operation, body []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return decodeError(err)
	}
	if err := checkMembers(members, name, op.members); err != nil {
		return err
	}
	if db.opts.Hook == nil {
		return nil
	}
	for _, table := range tablesNamed(members) {
		if err := db.opts.Hook(name, table); err != nil {
			return err
		}
	}
	return nil
}

// checkMembers refuses members of a JSON object that are not among the supported, which
// are separated by spaces. of names the object.
func checkMembers(members map[string]json.RawMessage, of, supported string) error {
	for _, member := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(strings.Fields(supported), member) {
			return unsupported("member %s of %s", member, of)
		}
	}
	return nil
}

// tablesNamed lists the tables of a request, each once, or "" when it names none.
func tablesNamed(members map[string]json.RawMessage) []string {
	var one string
	if json.Unmarshal(members["TableName"], &one) == nil {
		return []string{one}
	}
	var perTable map[string]json.RawMessage
	if json.Unmarshal(members["RequestItems"], &perTable) == nil {
		return slices.Sorted(maps.Keys(perTable))
	}
	var entries []map[string]struct{ TableName string }
	if json.Unmarshal(members["TransactItems"], &entries) != nil {
		return []string{""}
	}
	tables := map[string]bool{}
	for _, entry := range entries {
		for _, part := range entry {
			tables[part.TableName] = true
		}
	}
	return slices.Sorted(maps.Keys(tables))
}

func unknownOperation(name string) *Error {
	return &Error{Type: "UnknownOperationException", Message: "An unknown operation was requested: " + name}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		panic(fmt.Errorf("dynamodb: answer of type %T: %w", body, err))
	}
	raw := bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Content-Length", strconv.Itoa(len(raw)))
	header.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(raw)), 10))
	header.Set("X-Amzn-Requestid", uuid.NewString())
	w.WriteHeader(status)
	_, _ = w.Write(raw) // a client that is gone cannot be told
}
