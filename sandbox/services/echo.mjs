/**
 * Returns the request as it came, so that a test sees all of it, with the credentials that the log of calls
 * lacks.
 */
import { answer } from "./answer.mjs";

/**
 * `body` is the JSON value, the text if it is not JSON, or null; `text` is the exact body, `search` the exact
 * query.
 */
export function echo({ method, path, query, search, headers, body, text }) {
  return answer(200, { method, path, query, search, headers, body: body === undefined ? text || null : body, text });
}
