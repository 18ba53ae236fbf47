/**
 * One sound request for every route that asks for a permission: what its `{id}` is of, its body, and what
 * `other` actors meet who send it with the same id.
 */

/** It works, on what is the other actor's own. */
export const OWN = "own";
/** It works, and there is nothing of anybody in it. */
export const COMMON = "common";
/** 404 `not_found`, as if there were no such thing. */
export const HIDDEN = "hidden";
/** It works, and shows what everybody may know. */
export const PUBLIC = "public";
/** 403 `insufficient_scope`: for administrators. */
export const ADMIN = "admin";

const PARTNER = "https://api.partner.example";

/** Requests by the route's name in the API description. `entities` has the ids of one actor's things. */
export const requests = (entities) => {
  const { actor } = entities;
  const service = { id: "canon", other: ADMIN };
  const proxied = { id: entities.connection, rest: "echo/x", other: HIDDEN };
  return {
    "GET /v1/contexts": { other: OWN },
    "GET /v1/contexts/list": { other: OWN },
    "GET /v1/contexts/search": { other: OWN },
    "POST /v1/contexts": { body: { name: "from the table" }, other: OWN },
    "POST /v1/contexts/create": { body: { name: "from the table too" }, other: OWN },
    "GET /v1/contexts/{id}": { id: entities.context, other: HIDDEN },
    "POST /v1/contexts/{id}/verify": { id: entities.context, other: HIDDEN },
    "GET /v1/contexts/{id}/lineage": { id: entities.context, other: HIDDEN },
    "PATCH /v1/contexts/{id}": { id: entities.context, body: { name: "changed" }, other: HIDDEN },
    "DELETE /v1/contexts/{id}": { id: entities.context, other: HIDDEN },

    "POST /v1/actors/register": { body: { actor_type: "human" }, other: OWN },
    "GET /v1/actors/me": { other: OWN },
    "GET /v1/actors": { other: ADMIN },
    "GET /v1/actors/list": { other: ADMIN },
    "GET /v1/actors/{id}": { id: actor, other: PUBLIC },
    "PATCH /v1/actors/{id}": { id: actor, body: { display_name: "Somebody else" }, other: HIDDEN },
    "GET /v1/actors/{id}/capabilities": { id: actor, other: HIDDEN },
    "PUT /v1/actors/{id}/capabilities": { id: actor, body: { capabilities: ["admin"] }, other: ADMIN },

    "GET /v1/keys": { other: OWN },
    "POST /v1/keys": { body: { name: "from the table", scopes: ["read"] }, other: OWN },
    "GET /v1/keys/{id}": { id: entities.key, other: HIDDEN },
    "DELETE /v1/keys/{id}": { id: entities.key, other: HIDDEN },
    "POST /v1/keys/{id}/rotate": { id: entities.key, body: {}, other: HIDDEN },

    "GET /v1/delegate": { other: OWN },
    "POST /v1/delegate": { body: { target_service: "chittyconnect" }, other: OWN },
    "DELETE /v1/delegate/{id}": { id: entities.delegation, other: HIDDEN },

    "GET /v1/audit": { other: OWN },
    "GET /v1/audit/verify": { other: ADMIN },

    "GET /v1/connections": { other: OWN },
    "GET /v1/connections/list": { other: OWN },
    "POST /v1/connections": {
      body: { source_chitty_id: entities.context, source_type: "context", target_service: "partner", target_endpoint: `${PARTNER}/things` },
      other: HIDDEN,
    },
    "GET /v1/connections/{id}": { id: entities.connection, other: HIDDEN },
    "PATCH /v1/connections/{id}": { id: entities.connection, body: { status: "inactive" }, other: HIDDEN },
    "DELETE /v1/connections/{id}": { id: entities.connection, other: HIDDEN },
    "GET /v1/connections/{id}/status": { id: entities.connection, other: HIDDEN },
    "GET /v1/connections/{id}/history": { id: entities.connection, other: HIDDEN },
    "POST /v1/connections/{id}/check": { id: entities.connection, other: HIDDEN },
    "GET /v1/connections/{id}/proxy": proxied,
    "POST /v1/connections/{id}/proxy": { ...proxied, body: {} },
    "PUT /v1/connections/{id}/proxy": { ...proxied, body: {} },
    "PATCH /v1/connections/{id}/proxy": { ...proxied, body: {} },
    "DELETE /v1/connections/{id}/proxy": proxied,
    "GET /v1/connections/{id}/proxy/{path}": proxied,
    "POST /v1/connections/{id}/proxy/{path}": { ...proxied, body: {} },
    "PUT /v1/connections/{id}/proxy/{path}": { ...proxied, body: {} },
    "PATCH /v1/connections/{id}/proxy/{path}": { ...proxied, body: {} },
    "DELETE /v1/connections/{id}/proxy/{path}": proxied,

    "GET /v1/events": { query: `?entity=${entities.context}`, other: HIDDEN },
    "GET /v1/events/dead-letters": { other: ADMIN },
    "POST /v1/events/dead-letters/replay": { body: {}, other: ADMIN },
    "GET /v1/events/dead-letters/{id}": { id: "dl_none", other: ADMIN },
    "POST /v1/events/dead-letters/{id}/replay": { id: "dl_none", other: ADMIN },
    "DELETE /v1/events/dead-letters/{id}": { id: "dl_none", other: ADMIN },

    "GET /v1/ecosystem": { other: COMMON },
    "GET /v1/ecosystem/events": { other: COMMON, isStream: true },
    "GET /v1/ecosystem/{id}": { id: "canon", other: COMMON },
    "POST /v1/ecosystem/{id}/check": service,
    "POST /v1/ecosystem/{id}/connect": service,
    "POST /v1/ecosystem/{id}/disconnect": service,
    "POST /v1/ecosystem/{id}/reset": service,

    "GET /v1/github/installations": { other: OWN },
    "GET /v1/github/installations/{id}": { id: entities.installation, other: HIDDEN },
    "DELETE /v1/github/installations/{id}/owner": { id: entities.installation, other: HIDDEN },
    "GET /v1/github/installations/{id}/repositories": { id: entities.installation, other: HIDDEN },

    "POST /api/chittyid/mint": { body: { entity: "EVNT" }, other: OWN },
    "POST /api/chittyid/validate": { body: { chittyId: actor }, other: COMMON },
    "GET /api/chittyid/validate/{id}": { id: actor, other: COMMON },

    "GET /v1/orchestrations/{id}": { id: entities.orchestration, other: HIDDEN },
    "POST /v1/orchestrations/{id}": { id: "secure-user", body: { email: "table@example.org" }, other: OWN },
  };
};

/** What asks for a permission and what does not, by the API description: `{scoped: Map(route, permission), open}`. */
export function routesOf({ paths }) {
  const all = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, { security }]) => [`${method.toUpperCase()} ${path}`, security]),
  );
  const scopeOf = ([, [first]]) => first?.bearer?.[0];
  const scoped = all.filter(scopeOf).map((route) => [route[0], scopeOf(route)]);
  return { scoped: new Map(scoped), open: all.filter((route) => !scopeOf(route)).map(([route]) => route) };
}

/** The request as `[method, path, options]`; `id` and `body` come over the row's own. */
export function requestOf(route, { id, rest, query = "", body }, over = {}) {
  const [method, path] = route.split(" ");
  const target = path.replace("{id}", over.id ?? id).replace("{path}", rest) + query;
  const sent = over.body ?? body;
  return [method, target, sent === undefined ? {} : { body: sent }];
}
