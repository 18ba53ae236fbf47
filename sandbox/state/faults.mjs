/** The active faults, and which of them applies to a call. */
import { CALLED_NAMES } from "../services/directory.mjs";

/** The description of each mode, which the control routes show. */
export const FAULT_MODES = {
  fail: "answers `status` (503), with `retry_after`, `body` and `content_type` if given",
  delay: "waits `delay_ms`, then answers normally",
  hang: "never answers; the connection ends with the caller, or after 120 s",
  garbage: "answers 200 (or `status`) with text that is not JSON, or with `body` exactly as given",
  reset: "starts a 200 and breaks the connection in the middle of its body",
  drip: "sends a body a few bytes every `delay_ms` (100), for ever",
  huge: "answers 200 with 3 MiB of JSON and no Content-Length",
  redirect: "answers 302 (or `status`) to another host",
  fallback: "id only: the mint answers 200 with `fallback: true` and an error id",
};

const isInteger = (from, to) => (value) => Number.isInteger(value) && value >= from && value <= to;
const isText = (value) => typeof value === "string";

/** Each field of a fault: the rule for its value, and that rule in words. */
const FIELDS = {
  mode: [(value) => Object.hasOwn(FAULT_MODES, value), `one of ${Object.keys(FAULT_MODES).join(", ")}`],
  path: [(value) => isText(value) && value.startsWith("/"), "the start of the paths it applies to, such as /v1/mint; outside and of GitHub also with the host, as /login.partner.example/token"],
  times: [isInteger(1, 1_000_000), "a number of calls, after which it clears itself"],
  rate: [(value) => typeof value === "number" && value >= 0 && value <= 1, "the share of calls, from 0 to 1"],
  effect: [(value) => typeof value === "boolean", "true when the work is to be done at once in spite of the fault"],
  status: [isInteger(200, 599), "an HTTP status from 200 to 599"],
  retry_after: [(value) => isText(value) || isInteger(0, 86_400)(value), "seconds, or an HTTP date"],
  delay_ms: [isInteger(1, 120_000), "milliseconds from 1 to 120000"],
  body: [(value) => value !== undefined, "text, sent exactly so, or a JSON value"],
  content_type: [isText, "a media type"],
};

/** Why `fault` cannot be set on `service`, as a 422 body; `null` when it can. */
export function refusalOf(service, fault) {
  if (service !== "all" && !CALLED_NAMES.includes(service)) {
    return refusal(`There is no service "${service}".`, { services: ["all", ...CALLED_NAMES] });
  }
  if (!Object.hasOwn(FAULT_MODES, String(fault?.mode))) return refusal("There is no such mode.", { modes: FAULT_MODES });
  for (const [name, value] of Object.entries(fault)) {
    if (!FIELDS[name]?.[0](value)) return refusal(`"${name}" is not as it should be.`, { fields: describeFields() });
  }
  if (fault.mode === "fallback" && service !== "id") return refusal("Only id falls back.", { services: ["id"] });
  return null;
}

function refusal(message, choices) {
  return { error: "invalid_fault", message, ...choices };
}

function describeFields() {
  return Object.fromEntries(Object.entries(FIELDS).map(([name, [, rule]]) => [name, rule]));
}

export class Faults {
  #sql;

  constructor(sql) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS standing_faults (
      service TEXT, path TEXT, fault TEXT, hits INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (service, path))`);
  }

  /** Sets a fault; replaces the one for the same service and path. */
  set(service, fault) {
    const path = fault.path ?? (fault.mode === "fallback" ? "/v1/mint" : "/");
    this.#sql.exec("INSERT OR REPLACE INTO standing_faults (service, path, fault) VALUES (?, ?, ?)", service, path, JSON.stringify({ ...fault, path }));
  }

  list() {
    return this.#rows("TRUE").map((row) => ({ service: row.service, ...row.fault }));
  }

  /** Removes the faults of a service; without a service, all faults. */
  clear(service) {
    this.#sql.exec("DELETE FROM standing_faults WHERE ?1 IS NULL OR service = ?1", service ?? null);
  }

  /**
   * The fault that applies to this call, or `null`. A service's own fault takes precedence over one on all, a
   * longer path over a shorter one. For a call with a `host` (outside or GitHub), the path of a fault may
   * begin with the host.
   */
  take({ service, host, path }) {
    const paths = host ? [path, `/${host}${path}`] : [path];
    const met = this.#rows("service IN (?1, 'all')", service)
      .filter((row) => paths.some((one) => one.startsWith(row.fault.path)))
      .sort((a, b) => (a.service === "all") - (b.service === "all") || b.fault.path.length - a.fault.path.length)[0];
    if (!met || !this.#isHit(met)) return null;
    if (met.fault.times !== undefined) this.#useUp(met);
    return met.fault;
  }

  /** Hits exactly the share `rate` of the calls, evenly spread, so that tests are deterministic. */
  #isHit({ service, fault, hits = 0 }) {
    const rate = fault.rate ?? 1;
    if (rate === 1) return true;
    this.#sql.exec("UPDATE standing_faults SET hits = ? WHERE service = ? AND path = ?", hits + 1, service, fault.path);
    return Math.floor((hits + 1) * rate) > Math.floor(hits * rate);
  }

  #useUp({ service, fault }) {
    if (fault.times > 1) return this.set(service, { ...fault, times: fault.times - 1 });
    this.#sql.exec("DELETE FROM standing_faults WHERE service = ? AND path = ?", service, fault.path);
  }

  #rows(where, ...bindings) {
    return this.#sql
      .exec(`SELECT service, fault, hits FROM standing_faults WHERE ${where} ORDER BY service, path`, ...bindings)
      .toArray()
      .map((row) => ({ service: row.service, fault: JSON.parse(row.fault), hits: row.hits }));
  }
}
