/**
 * chronicle.chitty.cc. Each path has two spellings, its health is an array, and entries need `service` and
 * `action`.
 */
import { answer, isObject, iso } from "./answer.mjs";

const STATUSES = ["success", "failed", "pending"];
const LIMITS = { service: 50, action: 100 };
const OPTIONAL = ["userId", "userEmail", "metadata", "relatedEvents", "triggeredBy", "integrations", "errorMessage"];
const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;

/** chronicle.chitty.cc. */
export function chronicle(call, state) {
  const wait = state.rateLimit.wait(call.at);
  if (wait > 0) return answer(429, { error: "Too many requests" }, { "retry-after": String(wait) });
  switch (`${call.method} ${call.path}`) {
    case "GET /health":
      return answer(200, state.chronicle.health());
    case "POST /events":
    case "POST /api/entries":
      return record(call, state);
    case "GET /events":
    case "GET /api/entries":
      return list(call, state);
    case "GET /timeline":
      return timeline(call, state);
    case "GET /statistics":
      return answer(200, state.chronicle.statistics());
  }
  const audit = /^GET \/audit\/([^/]+)$/.exec(`${call.method} ${call.path}`);
  if (audit) {
    const entityId = decodeURIComponent(audit[1]);
    return answer(200, state.chronicle.find({ entityId, entityType: call.query.entityType, limit: MAX_LIMIT }));
  }
  return answer(404, { error: "Not found" });
}

function record(call, state) {
  const refusal = refusalOf(call.body);
  if (refusal) return answer(400, { error: refusal });
  const { service, action, status = "success" } = call.body;
  const entry = { id: crypto.randomUUID(), timestamp: iso(call.at), service, action, status };
  for (const field of OPTIONAL) entry[field] = call.body[field] ?? null;
  state.chronicle.append(entry, call.at);
  return answer(200, { id: entry.id, timestamp: entry.timestamp });
}

function refusalOf(body) {
  if (!isObject(body)) return "The body must be a JSON object";
  for (const [field, limit] of Object.entries(LIMITS)) {
    const value = body[field];
    if (typeof value !== "string" || value === "") return `${field} is required`;
    if ([...value].length > limit) return `${field} is longer than VARCHAR(${limit})`;
  }
  if (body.status !== undefined && !STATUSES.includes(body.status)) return `status must be one of ${STATUSES.join(", ")}`;
  return null;
}

function list(call, state) {
  const dates = datesOf(call.query);
  if (!dates) return answer(400, { error: "startDate and endDate must be dates" });
  const { service, action, userId, status, query } = call.query;
  return answer(200, state.chronicle.find({ service, action, userId, status, text: query, ...dates, limit: limitOf(call.query) }));
}

/** Entries, oldest first; with `groupBy=hour|day`, `[{period, count, events}]`. */
function timeline(call, state) {
  const dates = datesOf(call.query);
  if (!dates) return answer(400, { error: "startDate and endDate must be dates" });
  const services = call.query.services?.split(",");
  const events = state.chronicle.find({ services, ...dates, limit: MAX_LIMIT }).reverse();
  const length = { hour: 13, day: 10 }[call.query.groupBy];
  if (!length) return answer(200, events);
  const groups = Map.groupBy(events, (event) => event.timestamp.slice(0, length));
  return answer(200, [...groups].map(([period, members]) => ({ period, count: members.length, events: members })));
}

function datesOf({ startDate, endDate }) {
  const from = startDate === undefined ? undefined : Date.parse(startDate);
  const to = endDate === undefined ? undefined : Date.parse(endDate);
  return Number.isNaN(from) || Number.isNaN(to) ? null : { from, to };
}

function limitOf({ limit }) {
  const asked = Number(limit);
  return Number.isInteger(asked) && asked > 0 ? Math.min(asked, MAX_LIMIT) : DEFAULT_LIMIT;
}
