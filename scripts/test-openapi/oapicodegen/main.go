//go:build ignore

// Command main places a call with the client that oapi-codegen makes from openapi.json. KROS_URL
// and KROS_TOKEN name the platform.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	api "oapicodegen"
)

var metadata = map[string]string{"client": "oapi-codegen"}

func main() {
	log.SetFlags(0)
	client, err := api.NewClientWithResponses(os.Getenv("KROS_URL"), api.WithRequestEditorFn(authorize))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	id := place(ctx, client)
	if again := place(ctx, client); again != id {
		log.Fatal("the repetition has placed another call")
	}
	call, err := client.ReadCallWithResponse(ctx, id, nil)
	if err != nil || call.JSON200 == nil || call.JSON200.Metadata["client"] != metadata["client"] {
		log.Fatalf("read the call: %v, %s", err, call.Body)
	}
	if _, err := client.HangUpCallWithResponse(ctx, id, nil); err != nil {
		log.Fatal(err)
	}
	unknown, err := client.ReadCallWithResponse(ctx, "call_00000000000000000000000000", nil)
	if err != nil || unknown.ApplicationproblemJSON404 == nil || unknown.ApplicationproblemJSON404.Code != "NOT_FOUND" {
		log.Fatalf("read an unknown call: %v, %s", err, unknown.Body)
	}
	fmt.Printf("oapi-codegen placed %s (%s) and hung it up\n", id, call.JSON200.Status)
}

func authorize(_ context.Context, r *http.Request) error {
	r.Header.Set("Authorization", "Bearer "+os.Getenv("KROS_TOKEN"))
	return nil
}

// place places the call, or gets the answer of the request that did.
func place(ctx context.Context, client *api.ClientWithResponses) string {
	key := "test-openapi-oapi-codegen"
	call, err := client.CreateCallWithResponse(ctx, &api.CreateCallParams{IdempotencyKey: &key},
		api.CreateCallJSONRequestBody{PhoneNumber: "+14155550100", Metadata: &metadata})
	if err != nil || call.JSON201 == nil {
		log.Fatalf("place a call: %v, %s", err, call.Body)
	}
	return call.JSON201.CallId
}
