// A program that uses the generated types. It compiles if they say what the API takes and answers.
import createClient from "openapi-fetch";
import type { paths } from "./api";

const client = createClient<paths>({ baseUrl: "http://127.0.0.1:8080" });

export async function place(): Promise<string | undefined> {
  const { data, error } = await client.POST("/outbound-calls/create", {
    body: { phone_number: "+14155550100" },
  });
  if (error) return error.code;
  const details = await client.GET("/outbound-calls/{call_id}", {
    params: { path: { call_id: data.call_id } },
  });
  return details.data?.transfer?.phone_number;
}
