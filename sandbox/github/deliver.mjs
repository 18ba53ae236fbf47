/** Turns the body of `POST /_sandbox/github/deliver` into deliveries to send. */
import { isObject } from "../services/answer.mjs";
import { aboutOf, beginDelivery, parsed } from "./deliveries.mjs";

const MOST = 10_000;
const MOST_AT_ONCE = 100;

const isText = (value) => typeof value === "string" && value !== "";
const isNumber = (most) => (value) => Number.isInteger(value) && value > 0 && value <= most;

const RULES = {
  event: isText,
  payload: (value) => isObject(value) || typeof value === "string",
  guid: isText,
  secret: isText,
  signature: (value) => value === null || isText(value),
  headers: (value) => isObject(value) && Object.values(value).every((one) => one === null || typeof one === "string"),
  count: isNumber(MOST),
};

/**
 * Stores the deliveries and returns the Worker's task, `{deliveries: [{id, ...}], concurrency, several}`, or
 * `null` if the body is invalid. Secrets and signatures are not stored.
 */
export function plan(body, now, state) {
  const list = Array.isArray(body) ? body : body?.deliveries;
  const { concurrency, deliveries: _, ...template } = isObject(body) ? body : {};
  const given = list ?? [template];
  const isRight = Array.isArray(given) && given.every(fits) && (concurrency === undefined || isNumber(MOST_AT_ONCE)(concurrency));
  if (!isRight || (list && Object.keys(template).length > 0)) return null;
  const all = given.flatMap((one) => [...numbered(one)]);
  if (all.length > MOST) return null;
  return { deliveries: all.map((one) => begun(one, now, state)), concurrency, several: list !== undefined || template.count !== undefined };
}

function fits(given) {
  const isComplete = isObject(given) && given.event !== undefined && given.payload !== undefined;
  return isComplete && Object.entries(given).every(([name, value]) => Object.hasOwn(RULES, name) && RULES[name](value));
}

/**
 * Repeats a delivery `count` times. `{{n}}` counts from 1: `"{{n}}"` becomes a number, within a text its
 * digits.
 */
function* numbered({ count, payload, guid, ...others }) {
  const text = typeof payload === "string" ? payload : JSON.stringify(payload);
  if (count === undefined) return yield { ...others, text, guid };
  for (let n = 1; n <= count; n += 1) {
    yield { ...others, text: text.replaceAll('"{{n}}"', n).replaceAll("{{n}}", n), guid: guid?.replaceAll("{{n}}", n) };
  }
}

function begun({ event, text, guid = crypto.randomUUID(), secret, signature, headers }, now, state) {
  const { id } = beginDelivery({ guid, event, ...aboutOf(parsed(text)) }, text, now, state);
  return { id, secret, signature, headers };
}
