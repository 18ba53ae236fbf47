/** Answers of the simulated services: plain data, which the Durable Object can return to the Worker. */

/** An answer with a JSON body. */
export function answer(status, body, headers = {}) {
  return { status, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) };
}

/** ISO-8601 UTC with milliseconds. */
export function iso(time) {
  return new Date(time).toISOString();
}

/** Whether a parsed JSON body has named fields. */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
