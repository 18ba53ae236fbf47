/** github.com for browsers and OAuth clients: installing the App, and exchanging a code for a token. */
import { answer } from "../services/answer.mjs";
import { APP_SLUG, CLIENT_ID, TEST_ONLY_CLIENT_SECRET } from "./app.mjs";
import { issueCode, issueUserToken, redeemCode } from "./credentials.mjs";
import { install, listInstallations } from "./installations.mjs";
import { githubConfig } from "./settings.mjs";

const JSON_TYPE = /\bjson\b/;
const NEW = `/apps/${APP_SLUG}/installations/new`;
const HELP = "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/";
const ERRORS = {
  incorrect_client_credentials: "The client_id and/or client_secret passed are incorrect.",
  bad_verification_code: "The code passed is incorrect or expired.",
};

/** Answers a call below /_github/web. */
export function web(call, state) {
  switch (`${call.method} ${call.path.replace(/\/$/, "")}`) {
    case `GET ${NEW}`:
      return installFor(githubConfig(state), call, state);
    case "POST /login/oauth/access_token":
      return accessToken(call, state);
  }
  return page(404, "Not Found");
}

/**
 * Installs the App as if the user agreed at once, on the user's own account or on the organization that
 * `target_id` names, and redirects the browser back. If the App is installed there already, this is an
 * update.
 */
function installFor({ user, callback_url }, { query, origin, path, search, at }, state) {
  if (user === null) return redirect(`${origin}/_github/web/login?${new URLSearchParams({ return_to: path + search })}`);
  if (callback_url === null) return page(400, "The App has no callback URL.");
  const { organizations = [], repositories = [], ...self } = user;
  const target = query.target_id ?? query.suggested_target_id;
  const account = [self, ...organizations.map(({ role: _, ...one }) => ({ type: "Organization", ...one }))].find(({ id }) => target === undefined || String(id) === target);
  if (!account) return page(404, "Not Found");
  const earlier = listInstallations(state).find((one) => one.account.id === account.id);
  const { id } = earlier ?? install({ account, repositories, repository_selection: "all" }, at, state);
  const back = new URL(callback_url);
  const given = { code: issueCode(user, at, state), installation_id: String(id), setup_action: earlier ? "update" : "install", state: query.state };
  for (const [name, value] of Object.entries(given)) if (value !== undefined) back.searchParams.set(name, value);
  return redirect(back.href);
}

/**
 * Exchanges a code for a token. An error is a 200 too. The parameters may be in a form, in JSON or in the
 * query.
 */
function accessToken({ headers, body, text, query, at }, state) {
  const form = body === undefined ? Object.fromEntries(new URLSearchParams(text)) : body;
  const { client_id, client_secret, code } = { ...query, ...form };
  const made = client_id === CLIENT_ID && client_secret === TEST_ONLY_CLIENT_SECRET ? tokenFor(code, at, state) : failure("incorrect_client_credentials");
  if (JSON_TYPE.test(headers.accept ?? "")) return answer(200, made, { "content-type": "application/json; charset=utf-8" });
  return { status: 200, headers: { "content-type": "application/x-www-form-urlencoded; charset=utf-8" }, body: new URLSearchParams(made).toString() };
}

function tokenFor(code, at, state) {
  const user = redeemCode(code, at, state);
  return user ? { access_token: issueUserToken(user, at, state).secret, token_type: "bearer", scope: "" } : failure("bad_verification_code");
}

function failure(error) {
  return { error, error_description: ERRORS[error], error_uri: `${HELP}#${error.replaceAll("_", "-")}` };
}

function redirect(location) {
  return { status: 302, headers: { location }, body: null };
}

function page(status, title) {
  return { status, headers: { "content-type": "text/html; charset=utf-8" }, body: `<!doctype html><title>${title}</title><p>${title}</p>` };
}
