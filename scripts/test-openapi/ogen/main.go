//go:build ignore

// Command main places a call with the client that ogen makes from openapi.json. KROS_URL and
// KROS_TOKEN name the platform.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	api "ogen"
)

// credential gives the client the token of the platform.
type credential struct{}

// Bearer is the credential of all operations but the agent's and LiveKit's.
func (credential) Bearer(context.Context, api.OperationName) (api.Bearer, error) {
	return api.Bearer{Token: os.Getenv("KROS_TOKEN")}, nil
}

// OwnCredential is not needed here.
func (credential) OwnCredential(context.Context, api.OperationName) (api.OwnCredential, error) {
	return api.OwnCredential{}, nil
}

func main() {
	log.SetFlags(0)
	client, err := api.NewClient(os.Getenv("KROS_URL"), credential{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	id := place(ctx, client)
	if again := place(ctx, client); again != id {
		log.Fatal("the repetition has placed another call")
	}
	answer, err := client.ReadCall(ctx, api.ReadCallParams{CallID: id})
	call, ok := answer.(*api.CallDetailsHeaders)
	if err != nil || !ok {
		log.Fatalf("read the call: %v, %+v", err, answer)
	}
	if _, err := client.HangUpCall(ctx, api.HangUpCallParams{CallID: id}); err != nil {
		log.Fatal(err)
	}
	answer, err = client.ReadCall(ctx, api.ReadCallParams{CallID: "call_00000000000000000000000000"})
	if unknown, ok := answer.(*api.NotFoundHeaders); err != nil || !ok || unknown.Response.Code != "NOT_FOUND" {
		log.Fatalf("read an unknown call: %v, %+v", err, answer)
	}
	fmt.Printf("ogen placed %s (%s) and hung it up\n", id, call.Response.Status)
}

// place places the call, or gets the answer of the request that did.
func place(ctx context.Context, client *api.Client) string {
	answer, err := client.CreateCall(ctx, &api.CreateCallRequest{PhoneNumber: "+14155550100"},
		api.CreateCallParams{IdempotencyKey: api.NewOptString("test-openapi-ogen")})
	call, ok := answer.(*api.AcceptedCallHeaders)
	if err != nil || !ok {
		log.Fatalf("place a call: %v, %+v", err, answer)
	}
	return call.Response.CallID
}
