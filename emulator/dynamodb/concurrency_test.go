package dynamodb_test

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/krosai/telephony/emulator/dynamodb"
)

// TestLimitHolds: 200 callers count one item up to a limit; exactly limit of them get in.
func TestLimitHolds(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"memory", "disk"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			const callers, limit = 200, 50
			path := ""
			if where == "disk" {
				path = t.TempDir() + "/db"
			}
			db, err := dynamodb.Open(path, dynamodb.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			c := connect(db.Client(), "http://dynamodb")
			createTable(t, c, "limits")
			var in atomic.Int32
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					_, err := c.UpdateItem(t.Context(), &sdk.UpdateItemInput{
						TableName: aws.String("limits"), Key: key("u", "hour"),
						UpdateExpression:          aws.String("ADD used :one"),
						ConditionExpression:       aws.String("attribute_not_exists(used) OR used < :limit"),
						ExpressionAttributeValues: attributes{":one": num(1), ":limit": num(limit)},
					})
					var failed *types.ConditionalCheckFailedException
					switch {
					case err == nil:
						in.Add(1)
					case !errors.As(err, &failed):
						t.Error(err)
					}
				})
			}
			all.Wait()
			got := must[*sdk.GetItemOutput](t)(c.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("limits"), Key: key("u", "hour")}))
			if used := got.Item["used"].(*types.AttributeValueMemberN).Value; in.Load() != limit || used != fmt.Sprint(limit) {
				t.Errorf("%d callers got in, item says %s, want %d", in.Load(), used, limit)
			}
		})
	}
}

// TestTransactionsAreAtomic moves money between accounts while readers sum it up.
func TestTransactionsAreAtomic(t *testing.T) {
	t.Parallel()
	const accounts, each, movers = 5, 100, 20
	_, c := inProcess(t, dynamodb.Options{})
	createTable(t, c, "accounts")
	var reads []types.TransactGetItem
	for i := range accounts {
		must[*sdk.PutItemOutput](t)(c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("accounts"), Item: with(key(fmt.Sprint(i), "x"), attributes{"sum": num(each)})}))
		reads = append(reads, types.TransactGetItem{Get: &types.Get{TableName: aws.String("accounts"), Key: key(fmt.Sprint(i), "x")}})
	}
	move := func(account, amount int) types.TransactWriteItem {
		return types.TransactWriteItem{Update: &types.Update{
			TableName: aws.String("accounts"), Key: key(fmt.Sprint(account), "x"),
			UpdateExpression:          aws.String("SET #sum = #sum + :amount"),
			ConditionExpression:       aws.String("#sum >= :least"),
			ExpressionAttributeNames:  map[string]string{"#sum": "sum"},
			ExpressionAttributeValues: attributes{":amount": num(amount), ":least": num(max(0, -amount))},
		}}
	}
	total := func() int {
		out := must[*sdk.TransactGetItemsOutput](t)(c.TransactGetItems(t.Context(), &sdk.TransactGetItemsInput{TransactItems: reads}))
		sum := 0
		for _, response := range out.Responses {
			n, err := strconv.Atoi(response.Item["sum"].(*types.AttributeValueMemberN).Value)
			if err != nil || n < 0 {
				t.Errorf("account holds %d: %v", n, err)
			}
			sum += n
		}
		return sum
	}
	var all sync.WaitGroup
	var refused atomic.Int32
	for i := range movers {
		all.Go(func() {
			for j := range 20 {
				from, amount := (i+j)%accounts, 30+i
				_, err := c.TransactWriteItems(t.Context(), &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
					move((from+1+i%3)%accounts, amount), move(from, -amount),
				}})
				var canceled *types.TransactionCanceledException
				switch {
				case errors.As(err, &canceled):
					refused.Add(1)
				case err != nil:
					t.Error(err)
				}
				if sum := total(); sum != accounts*each {
					t.Errorf("accounts sum up to %d, want %d", sum, accounts*each)
				}
			}
		})
	}
	all.Wait()
	if refused.Load() == 0 {
		t.Error("no transaction was refused: the test does not test that")
	}
}

// BenchmarkConditionalUpdate counts limited counters up, as many callers at once.
func BenchmarkConditionalUpdate(b *testing.B) {
	for _, where := range []string{"memory", "disk"} {
		b.Run(where, func(b *testing.B) {
			path := ""
			if where == "disk" {
				path = b.TempDir() + "/db"
			}
			db, err := dynamodb.Open(path, dynamodb.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			c := connect(db.Client(), "http://dynamodb")
			createTable(b, c, "limits")
			var next atomic.Int64
			b.SetParallelism(16)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, err := c.UpdateItem(b.Context(), &sdk.UpdateItemInput{
						TableName: aws.String("limits"), Key: key("u", fmt.Sprint(next.Add(1)%1000)),
						UpdateExpression:          aws.String("SET g = :g, n = :one ADD used :one"),
						ConditionExpression:       aws.String("attribute_not_exists(used) OR used < :limit"),
						ExpressionAttributeValues: attributes{":one": num(1), ":limit": num(1 << 40), ":g": str("G")},
					})
					if err != nil {
						b.Fatal(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}

func BenchmarkGetItem(b *testing.B) {
	_, c := inProcess(b, dynamodb.Options{})
	createTable(b, c, "calls")
	must[*sdk.PutItemOutput](b)(c.PutItem(b.Context(), &sdk.PutItemInput{TableName: aws.String("calls"), Item: key("a", "b")}))
	for b.Loop() {
		must[*sdk.GetItemOutput](b)(c.GetItem(b.Context(), &sdk.GetItemInput{TableName: aws.String("calls"), Key: key("a", "b")}))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}
