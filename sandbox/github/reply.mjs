/** Answers in the form of GitHub's REST API. */
import { answer } from "../services/answer.mjs";

const TYPE = { "content-type": "application/json; charset=utf-8" };
const DOCUMENTATION = "https://docs.github.com/rest";

export function reply(status, body, headers = {}) {
  return answer(status, body, { ...TYPE, ...headers });
}

/** An error, with more members of its body. */
export function refused(status, message, more = {}) {
  return reply(status, { message, ...more, documentation_url: DOCUMENTATION, status: String(status) });
}

/** A 404. GitHub also answers it for what the caller may not see. */
export function notFound() {
  return refused(404, "Not Found");
}

/** A 422 that names the invalid field; `code` is `missing_field`, `invalid` and the like. */
export function invalid(resource, field, code = "invalid") {
  return refused(422, "Validation Failed", { errors: [{ resource, field, code }] });
}

/** A time in GitHub's form: UTC, in whole seconds. */
export function stamp(time) {
  return `${new Date(time).toISOString().slice(0, 19)}Z`;
}

/**
 * The page of `items` that the query asks for, with a `Link` to the other pages. `wrap` makes the body from
 * the page and the total.
 */
export function paged({ call, query }, items, wrap = (page) => page) {
  const size = Math.min(wholeNumber(query.per_page, 30), 100);
  const last = Math.max(1, Math.ceil(items.length / size));
  const page = wholeNumber(query.page, 1);
  const links = { prev: page > 1 && page - 1, next: page < last && page + 1, last: page < last && last, first: page > 1 && 1 };
  const there = Object.entries(links).filter(([, number]) => number);
  const link = there.map(([rel, number]) => linkTo(call, { ...query, page: String(number) }, rel)).join(", ");
  return reply(200, wrap(items.slice((page - 1) * size, page * size), items.length), link ? { link } : {});
}

/** One link of a `Link` header: the same list with another query. */
export function linkTo({ origin, host, path }, query, rel) {
  return `<${origin}/_github/${host}${path}?${new URLSearchParams(query)}>; rel="${rel}"`;
}

/** A number from 1 on, or `fallback` for anything else. */
export function wholeNumber(text, fallback) {
  return /^[1-9]\d{0,8}$/.test(text ?? "") ? Number(text) : fallback;
}
