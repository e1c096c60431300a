// Places a call with the client that openapi-typescript and openapi-fetch make from openapi.json.
// KROS_URL and KROS_TOKEN name the platform.
import createClient from "openapi-fetch";
import type { paths } from "./api.js";

const { KROS_URL, KROS_TOKEN } = process.env;
const client = createClient<paths>({ baseUrl: KROS_URL!, headers: { Authorization: `Bearer ${KROS_TOKEN}` } });

async function place() {
  const { data, error } = await client.POST("/outbound-calls/create", {
    params: { header: { "Idempotency-Key": "test-openapi-typescript" } },
    body: { phone_number: "+14155550100", metadata: { client: "openapi-fetch" } },
  });
  if (error) throw new Error(error.code);
  return data.call_id;
}

const id = await place();
if ((await place()) !== id) throw new Error("the repetition has placed another call");

const path = { call_id: id };
const call = await client.GET("/outbound-calls/{call_id}", { params: { path } });
if (call.data?.metadata?.client !== "openapi-fetch") throw new Error(JSON.stringify(call));
await client.POST("/outbound-calls/{call_id}/hangup", { params: { path } });

const unknown = await client.GET("/outbound-calls/{call_id}", { params: { path: { call_id: "call_00000000000000000000000000" } } });
if (unknown.error?.code !== "NOT_FOUND") throw new Error(JSON.stringify(unknown));
console.log(`openapi-fetch placed ${id} (${call.data.status}) and hung it up`);
