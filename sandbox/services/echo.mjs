/** Gives a request back as it came, so that a test sees what was sent: with its credentials, which the log of calls never has. */
import { answer } from "./answer.mjs";

/** `body` is the JSON value, the text where it is none, or null; `text` is it exactly, and `search` the query. */
export function echo({ method, path, query, search, headers, body, text }) {
  return answer(200, { method, path, query, search, headers, body: body === undefined ? text || null : body, text });
}
