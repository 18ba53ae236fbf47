/**
 * The sample requests of `tests/requests.json`, which the native tests send too (`tests/native/world/samples.rs`
 * describes the file): one sound request for every route that asks for a permission, with what `other` actors meet
 * who send it with the same id.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

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

const SAMPLES = JSON.parse(readFileSync(new URL("../../requests.json", import.meta.url), "utf8"));

/** The tables in which a request changes something, each with the columns that show it. */
export const WATCHED = SAMPLES.watched;

/** `value` with ids in the places of their kinds: `{context}` is the id of a context. */
const filled = (value, ids) => JSON.parse(JSON.stringify(value).replace(/\{(\w+)\}/g, (all, kind) => ids[kind] ?? all));

/** Makes one of each kind of entity that `known` lacks, and gives the ids of all by their kinds. */
export async function makeEntities(call, known) {
  const ids = { ...known };
  for (const { kind, path, body, id } of SAMPLES.entities) {
    if (kind in ids) continue;
    const { status, text, json } = await call("POST", path, { body: filled(body, { ...ids, n: 1 }) });
    assert.ok(status < 300, `${kind}: ${text}`);
    ids[kind] = id.split("/").slice(1).reduce((value, name) => value[name], json);
  }
  return ids;
}

/** Requests by the route's name in the API description. `entities` has the ids of one actor's things. */
export const requests = (entities) => filled(SAMPLES.requests, entities);

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
