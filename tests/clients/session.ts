/** A session of a TypeScript client: the types are generated from /openapi.json, and every answer is used by them. */
import createClient from "openapi-fetch";
import type { components, paths } from "./types.js";

type Problem = components["schemas"]["Problem"];

/** The body of an answer that must be a success. */
function good<T>(answer: { data?: T; error?: unknown; response: Response }): NonNullable<T> {
  if (answer.data === undefined || answer.data === null) throw new Error(`${answer.response.status}: ${JSON.stringify(answer.error)}`);
  return answer.data;
}

/** The problem of an answer that must be a refusal with this code. */
function refused(answer: { error?: Problem; response: Response }, code: Problem["code"]): Problem {
  if (answer.error?.code !== code) throw new Error(`${answer.response.status} instead of ${code}: ${JSON.stringify(answer)}`);
  return answer.error;
}

function same<T>(actual: T, expected: T): void {
  if (actual !== expected) throw new Error(`${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`);
}

/** Runs the session as somebody whom nobody knows yet. */
export async function run(baseUrl: string, token: string): Promise<void> {
  const api = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${token}` } });

  const health = good(await api.GET("/health"));
  same(health.service, "chittyconnect");

  // Oneself.
  const before = good(await api.GET("/v1/actors/me"));
  same(before.actor.registered, false);
  const { actor } = good(await api.POST("/v1/actors/register", { body: { actor_type: "ai", display_name: "A client" } }));
  const me = good(await api.GET("/v1/actors/me"));
  same("actor_type" in me.actor ? me.actor.actor_type : undefined, "ai");
  const shown = good(await api.GET("/v1/actors/{id}", { params: { path: { id: actor.chitty_id } } }));
  same(shown.actor.display_name, "A client");

  // Contexts: made once, changed by who has seen the last version, listed, found, deleted.
  const key = { "Idempotency-Key": "session-1" };
  const created = await api.POST("/v1/contexts", { params: { header: key }, body: { name: "release-42", tools: ["search"] } });
  const { context } = good(created);
  const again = await api.POST("/v1/contexts", { params: { header: key }, body: { name: "release-42", tools: ["search"] } });
  same(good(again).context.chitty_id, context.chitty_id);
  same(again.response.headers.get("idempotency-replayed"), "true");
  const taken = refused(await api.POST("/v1/contexts", { body: { name: "release-42" } }), "name_taken");
  same(taken.existing_chitty_id, context.chitty_id);
  const one = { path: { id: context.chitty_id } };
  const etag = created.response.headers.get("etag") ?? "";
  const changed = good(await api.PATCH("/v1/contexts/{id}", { params: { ...one, header: { "If-Match": etag } }, body: { status: "inactive" } }));
  same(changed.context.status, "inactive");
  refused(await api.PATCH("/v1/contexts/{id}", { params: { ...one, header: { "If-Match": etag } }, body: { name: "late" } }), "precondition_failed");
  good(await api.POST("/v1/contexts", { body: { name: "release-43" } }));
  const first = good(await api.GET("/v1/contexts", { params: { query: { limit: 1, status: "all" } } }));
  const rest = good(await api.GET("/v1/contexts", { params: { query: { limit: 1, status: "all", cursor: first.next_cursor ?? "" } } }));
  same([first, rest].flatMap((page) => page.contexts).length, 2);
  same(good(await api.GET("/v1/contexts/search", { params: { query: { q: "search", status: "all" } } })).contexts[0]?.chitty_id, context.chitty_id);
  const errors = refused(await api.GET("/v1/contexts", { params: { query: { limit: 1000 } } }), "validation_failed").errors ?? [];
  same(errors[0]?.pointer, "?limit");

  // Others who act for oneself.
  const { delegation } = good(await api.POST("/v1/delegate", { body: { target_service: "chittyconnect", scopes: ["contexts:read"], expires_in_seconds: 60 } }));
  const verdict = good(await api.POST("/v1/delegate/validate", { body: { token: delegation.token ?? "", target_service: "ChittyConnect" } }));
  same(verdict.active && verdict.aud, "ChittyConnect");
  good(await api.DELETE("/v1/delegate/{id}", { params: { path: { id: delegation.token_id } } }));
  same(good(await api.POST("/v1/delegate/validate", { body: { token: delegation.token ?? "" } })).active, false);
  const { key: made } = good(await api.POST("/v1/keys", { body: { name: "deployment", scopes: ["contexts:read"] } }));
  const byKey = createClient<paths>({ baseUrl, headers: { "x-api-key": made.key ?? "" } });
  same(good(await byKey.GET("/v1/contexts/{id}", { params: one })).name, "release-42");
  refused(await byKey.GET("/v1/keys"), "insufficient_scope");
  good(await api.POST("/v1/keys/{id}/rotate", { params: { path: { id: made.key_id } }, body: { grace_seconds: 0 } }));
  refused(await byKey.GET("/v1/contexts"), "invalid_token");

  // A connection to a service.
  const { connection } = good(
    await api.POST("/v1/connections", {
      body: { source_chitty_id: context.chitty_id, source_type: "context", target_service: "chittycanon", scopes: ["read"], credentials: { type: "bearer", token: "secret" } },
    }),
  );
  const at = { path: { id: connection.connection_id } };
  same(good(await api.GET("/v1/connections/{id}/status", { params: at })).status, "active");
  good(await api.DELETE("/v1/connections/{id}", { params: at }));

  // What has happened.
  const events = good(await api.GET("/v1/events", { params: { query: { entity: context.chitty_id } } }));
  same(events.events.at(-1)?.type, "context.created");
  const audit = good(await api.GET("/v1/audit", { params: { query: { entity: context.chitty_id } } }));
  same(audit.entries[0]?.outcome, "done");
  same(good(await api.GET("/v1/ecosystem")).services.some(({ service }) => service === "chittyid"), true);

  good(await api.DELETE("/v1/contexts/{id}", { params: one }));
  refused(await api.GET("/v1/contexts/{id}", { params: one }), "not_found");
}
