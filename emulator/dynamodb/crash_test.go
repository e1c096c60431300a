package dynamodb_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/krosai/telephony/emulator/dynamodb"
)

// crashFile tells a child process of this test binary where to write until it is killed.
const crashFile = "DYNAMODB_CRASH_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		writeForever(path)
		return
	}
	os.Exit(m.Run())
}

// writeForever writes pairs of items in transactions from several goroutines and prints
// the name of each pair once it is acknowledged.
func writeForever(path string) {
	db, err := dynamodb.Open(path, dynamodb.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	c := connect(db.Client(), "http://dynamodb")
	var out sync.Mutex
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d-%d", worker, i)
				if _, err := c.TransactWriteItems(context.Background(), pair(name)); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Println(name)
				out.Unlock()
			}
		})
	}
	all.Wait()
}

func pair(name string) *sdk.TransactWriteItemsInput {
	in := &sdk.TransactWriteItemsInput{}
	for _, side := range []string{"left", "right"} {
		in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Put: &types.Put{
			TableName: aws.String("pairs"), Item: with(key(side, name), attributes{"g": str(side), "n": num(1), "x": str(name)}),
		}})
	}
	return in
}

// TestKill kills a process that is writing and finds in its file all that was acknowledged,
// no half transactions, and the index and the stream in step with the table.
func TestKill(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/db"
	db, err := dynamodb.Open(path, dynamodb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in := tableInput("pairs")
	in.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage}
	stream := must[*sdk.CreateTableOutput](t)(connect(db.Client(), "http://dynamodb").CreateTable(t.Context(), in)).TableDescription.LatestStreamArn
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]bool{}
	for round := range 3 {
		for _, name := range writeAndKill(t, path, 200) {
			acknowledged[name] = true
		}
		db, err := dynamodb.Open(path, dynamodb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := connect(db.Client(), "http://dynamodb")
		left, right := names(t, c, "pk = :s", nil, "left"), names(t, c, "pk = :s", nil, "right")
		indexed := names(t, c, "g = :s", aws.String("by-g"), "left")
		if strings.Join(left, " ") != strings.Join(right, " ") || len(indexed) != len(left) {
			t.Errorf("round %d: %d left, %d right, %d in the index", round, len(left), len(right), len(indexed))
		}
		s, streamed := streams(db.Client()), []string{}
		for _, r := range read(t, s, iterator(t, s, stream, "TRIM_HORIZON", nil)) {
			streamed = append(streamed, r.Dynamodb.Keys["pk"].(*streamtypes.AttributeValueMemberS).Value+" "+r.Dynamodb.Keys["sk"].(*streamtypes.AttributeValueMemberS).Value)
		}
		items := []string{}
		for _, name := range left {
			items = append(items, "left "+name, "right "+name)
		}
		if slices.Sort(streamed); !slices.Equal(streamed, slices.Sorted(slices.Values(items))) {
			t.Errorf("round %d: %d items and %d records", round, len(items), len(streamed))
		}
		stored := map[string]bool{}
		for _, name := range left {
			stored[name] = true
		}
		for name := range acknowledged {
			if !stored[name] {
				t.Errorf("round %d: %s was acknowledged and is lost", round, name)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// writeAndKill runs writeForever in a child until it has acknowledged enough, kills it and
// returns all it acknowledged.
func writeAndKill(t *testing.T, path string, enough int) []string {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), executable)
	child.Env = append(os.Environ(), crashFile+"="+path)
	child.Stderr = os.Stderr
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var acknowledged []string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if acknowledged = append(acknowledged, lines.Text()); len(acknowledged) == enough {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || len(acknowledged) < enough {
		t.Fatalf("child ended by itself after %d: %v", len(acknowledged), err)
	}
	return acknowledged
}

func names(t *testing.T, c *sdk.Client, condition string, index *string, side string) []string {
	t.Helper()
	var all []string
	in := &sdk.QueryInput{TableName: aws.String("pairs"), IndexName: index, KeyConditionExpression: &condition, ExpressionAttributeValues: attributes{":s": str(side)}}
	for pages := sdk.NewQueryPaginator(c, in); pages.HasMorePages(); {
		for _, it := range must[*sdk.QueryOutput](t)(pages.NextPage(t.Context())).Items {
			all = append(all, it["sk"].(*types.AttributeValueMemberS).Value)
		}
	}
	return all
}
