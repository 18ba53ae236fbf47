/** The routes under /_sandbox: they show what the services have received, and set faults. */
import { AUTH_ROUTES } from "./control/auth.mjs";
import { OUTSIDE_ROUTES } from "./control/outside.mjs";
import { GITHUB_ROUTES } from "./github/control.mjs";
import { compile } from "./routes.mjs";
import { answer, isObject } from "./services/answer.mjs";
import { FAULT_MODES, refusalOf } from "./state/faults.mjs";

const MOST_ENTRIES = 10_000;

/**
 * The lists of documents: the kind under which they are stored, and the fields to show if not all are shown.
 */
const VIEWS = {
  registered: { kind: "registered", purpose: "the registered services", fields: ["name", "chitty_id", "status"] },
  tokens: { kind: "credential", purpose: "tokens and keys that auth has created", fields: ["id", "chittyId", "kind", "revoked"] },
  records: { kind: "record", purpose: "canonical records" },
  beacons: { kind: "beacon", purpose: "signs of life that beacon has received, also ?event=" },
  certificates: { kind: "certificate", purpose: "certificates, revoked ones too" },
  dna: { kind: "dna", purpose: "lineages, with the newest 100 events of each" },
};

const KINDS = [...Object.values(VIEWS).map(({ kind }) => kind), "outside"];

/** Method, path and purpose of every control route. */
export const CONTROL_ROUTES = [
  ["GET /_sandbox/calls", "calls in order: ?service= &host= &path= (its start) &method= &after= (a seq) &limit= (100, up to 1000)", calls],
  ["GET /_sandbox/calls/count", "how many since the last reset: ?service=, and of the 10,000 kept &host= &path= (its start)", callCount],
  ["GET /_sandbox/minted", "ids minted since the last reset: ?limit= (1000)", minted],
  ["GET /_sandbox/entries", "chronicle entries and their total: ?entityId= &eventId= &action= &limit= (100, up to 10000)", entries],
  ["GET /_sandbox/kept/{kind}", `whole documents without their secrets: ?limit= (1000); ${KINDS.join(", ")}`, kept],
  ...Object.entries(VIEWS).map(([name, { purpose }]) => [`GET /_sandbox/${name}`, `${purpose}: ?limit= (1000)`, (request, state) => view(name, request, state)]),
  ["GET /_sandbox/faults", "the faults in force", faults],
  ["PUT /_sandbox/faults/{service}", "set a fault on a service, or on all", setFault],
  ["DELETE /_sandbox/faults", "clear every fault", clearFaults],
  ["DELETE /_sandbox/faults/{service}", "clear the faults of a service, or those on all", clearFaults],
  ["GET /_sandbox/settings", "the settings", settings],
  ["PUT /_sandbox/settings", "change them: {chronicle_per_minute: calls a minute, or null}", changeSettings],
  ...AUTH_ROUTES,
  ...OUTSIDE_ROUTES,
  ...GITHUB_ROUTES,
  ["POST /_sandbox/reset", "delete everything except the position of the mint's sequence", reset],
].map(([route, purpose, handle]) => {
  const [method, path] = route.split(" ");
  const [{ names, pattern }] = compile([[route]]);
  return { method, path, purpose, handle, names, pattern };
});

/** Answers `{method, path, query, body}`. */
export function control(request, state) {
  const known = CONTROL_ROUTES.filter(({ pattern }) => pattern.test(request.path));
  if (known.length === 0) return answer(404, { error: "not_found", routes: CONTROL_ROUTES.map(({ method, path }) => `${method} ${path}`) });
  const route = known.find(({ method }) => method === request.method);
  const allow = known.map(({ method }) => method).join(", ");
  if (!route) return answer(405, { error: "method_not_allowed", allow }, { allow });
  const [, named, ...others] = route.pattern.exec(request.path);
  const params = Object.fromEntries(route.names.map((name, index) => [name, decodeURIComponent([named, ...others][index])]));
  return route.handle({ ...request, named, params }, state);
}

function calls({ query }, state) {
  const { service, host, path, method } = query;
  return answer(200, { calls: state.calls.list({ service, host, path, method, after: wholeNumber(query.after), limit: wholeNumber(query.limit) }) });
}

function callCount({ query }, state) {
  const { service, host, path } = query;
  const isExact = host === undefined && path === undefined;
  return answer(200, isExact ? state.calls.count(service) : state.calls.countKept({ service, host, path }));
}

function minted({ query }, state) {
  return answer(200, state.mints.list(wholeNumber(query.limit)));
}

function entries({ query }, state) {
  const { entityId, eventId, action } = query;
  const filters = { entityId, eventId, action };
  const found = state.chronicle.find({ ...filters, limit: Math.min(wholeNumber(query.limit) ?? 100, MOST_ENTRIES) });
  return answer(200, { total: state.chronicle.count(filters), entries: found.reverse() });
}

function kept({ named: kind, query }, state) {
  if (!KINDS.includes(kind)) return answer(404, { error: "not_found", kinds: KINDS });
  const documents = state.documents.list(kind, wholeNumber(query.limit)).map(({ secret: _, ...document }) => document);
  return answer(200, { total: state.documents.count(kind), [kind]: documents });
}

/** Lists the newest `limit` documents, oldest first, with the total. */
function view(name, { query }, state) {
  const { kind, fields } = VIEWS[name];
  const limit = wholeNumber(query.limit) ?? 1000;
  const matching = kind === "beacon" && query.event !== undefined ? state.documents.find(kind, "event", query.event) : null;
  const documents = matching ? matching.slice(Math.max(0, matching.length - limit)) : state.documents.list(kind, limit);
  const shown = fields ? documents.map((document) => Object.fromEntries(fields.map((field) => [field, document[field]]))) : documents;
  return answer(200, { total: matching ? matching.length : state.documents.count(kind), [name]: shown });
}

function faults(_request, state) {
  return answer(200, { faults: state.faults.list(), modes: FAULT_MODES });
}

function setFault({ named: service, body }, state) {
  const refusal = refusalOf(service, body);
  if (refusal) return answer(422, refusal);
  state.faults.set(service, body);
  return answer(200, { faults: state.faults.list() });
}

function clearFaults({ named: service }, state) {
  state.faults.clear(service);
  return answer(200, { faults: state.faults.list() });
}

function settings(_request, state) {
  return answer(200, state.settings.read());
}

function changeSettings({ body, at }, state) {
  const limit = isObject(body) ? body.chronicle_per_minute : undefined;
  if (limit !== null && !(Number.isInteger(limit) && limit >= 0)) {
    return answer(422, { error: "invalid_settings", message: "chronicle_per_minute is a whole number of calls a minute, or null." });
  }
  state.settings.write("chronicle_per_minute", limit);
  state.rateLimit.restart(at);
  return answer(200, state.settings.read());
}

function reset(_request, state) {
  for (const part of [state.calls, state.mints, state.chronicle, state.documents, state.faults, state.settings, state.sightings, state.github]) part.clear();
  return answer(200, { reset: true });
}

function wholeNumber(text) {
  const number = Number(text);
  return text !== undefined && Number.isInteger(number) && number >= 0 ? number : undefined;
}
