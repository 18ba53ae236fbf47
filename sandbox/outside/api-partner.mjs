/** api.partner.example: an API of a third party that requires a credential for every request. */
import { answer } from "../services/answer.mjs";
import { echo } from "../services/echo.mjs";
import { basicOf } from "./basic.mjs";
import { isAccessToken, isFixed } from "./partner.mjs";

const KEY_HEADERS = ["x-api-key", "x-partner-key"];
const USER = "user";
const MOST_BYTES = 16 * 1024 * 1024;
const WITHOUT_BODY = [204, 205, 304];
const NOT_FOUND = { error: "not_found" };

const PAGE = "<!doctype html><title>Partner</title><script>document.title = 'run'</script><p>A page.</p>";

/** api.partner.example. */
export function apiPartner(call, state) {
  if (!isGood(call, state)) return answer(401, { error: "unauthorized" }, { "www-authenticate": 'Bearer realm="partner"' });
  const { method, path, query } = call;
  switch (`${method} ${path}`) {
    case "GET /health":
      return answer(200, { status: "ok" });
    case "GET /me":
      return answer(200, { login: "partner" });
    case "GET /redirect":
      return redirect(query.to);
    case "GET /big":
      return big(Number(query.bytes));
    case "GET /html":
      return html();
    case "GET /headers":
      return saying(query);
  }
  const [, folder, name] = /^\/(echo|status|things)(?:\/(.*))?$/s.exec(path) ?? [];
  if (folder === "echo") return echo(call);
  if (folder === "status") return statusOnly(Number(name));
  if (folder === "things" && /^[^/]+$/.test(name) && ["DELETE", "PUT", "PATCH", "POST"].includes(method)) return answer(200, { id: name, method });
  return answer(404, NOT_FOUND);
}

/** Whether one of the credentials is valid. */
function isGood({ authorization, headers, at }, state) {
  if (KEY_HEADERS.some((name) => isFixed(headers[name], state))) return true;
  const bearer = /^Bearer +(\S+)$/i.exec(authorization)?.[1];
  if (bearer !== undefined) return isFixed(bearer, state) || isAccessToken(bearer, at, state);
  const basic = basicOf(authorization);
  return basic?.user === USER && isFixed(basic.password, state);
}

function redirect(to = "") {
  if (!/^[\x21-\x7e]+$/.test(to)) return answer(400, { error: "to is required" });
  return { status: 302, headers: { location: to }, body: null };
}

/** JSON of exactly `bytes` bytes. */
function big(bytes) {
  const empty = JSON.stringify({ filler: "" }).length;
  if (!Number.isInteger(bytes) || bytes < empty || bytes > MOST_BYTES) return answer(400, { error: `bytes is a number from ${empty} to ${MOST_BYTES}` });
  return answer(200, { filler: "x".repeat(bytes - empty) });
}

/** A page that a proxy must not pass on unchanged: it runs a script and sets a cookie. */
function html() {
  const headers = { "content-type": "text/html; charset=utf-8", "set-cookie": "partner_session=1; Path=/; HttpOnly", etag: '"partner-1"' };
  return { status: 200, headers, body: PAGE };
}

/** An answer with the headers of the query: `?nel=x&etag="1"`. */
function saying(headers) {
  return Object.keys(headers).every((name) => /^[a-z0-9-]{1,64}$/.test(name)) ? answer(200, {}, headers) : answer(400, { error: "a name is no header's" });
}

function statusOnly(status) {
  if (!Number.isInteger(status) || status < 200 || status > 599) return answer(400, { error: "the status is a number from 200 to 599" });
  return WITHOUT_BODY.includes(status) ? { status, headers: {}, body: null } : answer(status, {});
}
