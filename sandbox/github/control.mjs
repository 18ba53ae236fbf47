/** The control routes of GitHub: its settings, its contents, and deliveries. */
import { answer, isObject } from "../services/answer.mjs";
import { listWritten, putIssue } from "./api-issues.mjs";
import { listCheckRuns } from "./api-checks.mjs";
import { blobSha, fromBase64, putFile, putPull } from "./contents.mjs";
import { listTokens, revokeTokens } from "./credentials.mjs";
import { plan } from "./deliver.mjs";
import { deliveryDetail, deliveryView } from "./deliveries.mjs";
import { changeInstallation, findInstallation, findRepository, install, listInstallations, repositoriesOf, uninstall } from "./installations.mjs";
import { limitsInForce, setPrimary, setSecondary } from "./rate.mjs";
import { changeGithubConfig, githubConfig } from "./settings.mjs";

export const GITHUB_ROUTES = [
  ["GET /_sandbox/github/config", "the settings of GitHub", config],
  ["PUT /_sandbox/github/config", "change them: {webhook_url, callback_url, user: {login, id, organizations, repositories} or null, token_lifetime, delivery_timeout_ms}", changeConfig],
  ["GET /_sandbox/github/installations", "the installations of the App, with their repositories", installations],
  ["POST /_sandbox/github/installations", "install it: {id?, account: {login, id?, type?}, repositories?, permissions?, events?, repository_selection?, suspended?}", addInstallation],
  ["PATCH /_sandbox/github/installations/{id}", "change an installation", patchInstallation],
  ["DELETE /_sandbox/github/installations/{id}", "remove it", removeInstallation],
  ["PUT /_sandbox/github/repositories/{owner}/{repo}/contents/{path...}", "put a file there: {content, encoding?: base64, ref?}", addFile],
  ["POST /_sandbox/github/repositories/{owner}/{repo}/pulls", "open a pull request, or replace it: {number, title, files: [...], ...}", addPull],
  ["POST /_sandbox/github/repositories/{owner}/{repo}/issues", "open an issue, or replace it: {number, title, body?}", addIssue],
  ["GET /_sandbox/github/rate-limit", "the rate limits that were set", limits],
  ["PUT /_sandbox/github/rate-limit", "set them: {installation_id?, limit?, remaining?, reset_in?, secondary?: {status?, retry_after?, times?} or null}", changeLimits],
  ["POST /_sandbox/github/deliver", "deliver: {event, payload, guid?, secret?, signature?, headers?, count?, concurrency?}, or an array of those", deliver],
  ["GET /_sandbox/github/deliveries", "deliveries in order, and their total: ?guid= &event= &limit= (1000)", deliveries],
  ["GET /_sandbox/github/deliveries/{id}", "one, with what was sent and what came back", delivery],
  ["GET /_sandbox/github/comments", "comments on issues and pull requests", (_request, state) => list("comments", listWritten("comments", state))],
  ["GET /_sandbox/github/labels", "the labels of issues and pull requests", (_request, state) => list("labels", listWritten("labels", state))],
  ["GET /_sandbox/github/check-runs", "check runs", (_request, state) => list("check_runs", listCheckRuns(state))],
  ["GET /_sandbox/github/tokens", "the tokens that were issued, without the tokens", (_request, state) => list("tokens", listTokens(state))],
  ["DELETE /_sandbox/github/tokens", "revoke every token", endTokens],
];

const isText = (value) => typeof value === "string" && value !== "";
const isNumber = (value) => Number.isInteger(value) && value > 0;
const isCount = (value) => Number.isInteger(value) && value >= 0;
const isUrl = (value) => value === null || (isText(value) && URL.canParse(value));
const isAccount = (value) => isObject(value) && isText(value.login);
const isRepositories = (value) => Array.isArray(value) && value.every((one) => isText(one) || (isObject(one) && isText(one.name)));
const isOrganizations = (value) => Array.isArray(value) && value.every((one) => isAccount(one) && isOptional(isRole)(one.role));
const isRole = (value) => ["admin", "member"].includes(value);
const isOptional = (rule) => (value) => value === undefined || rule(value);

const CONFIG = {
  webhook_url: isUrl,
  callback_url: isUrl,
  user: (value) => value === null || (isAccount(value) && isNumber(value.id) && isOptional(isOrganizations)(value.organizations)),
  token_lifetime: isCount,
  delivery_timeout_ms: isNumber,
};
const INSTALLATION = {
  id: isNumber,
  account: isAccount,
  repositories: isRepositories,
  permissions: isObject,
  events: Array.isArray,
  repository_selection: (value) => ["all", "selected"].includes(value),
  suspended: (value) => typeof value === "boolean",
};
const FILE = { content: (value) => typeof value === "string", encoding: (value) => ["utf-8", "base64"].includes(value), ref: isText };
const LIMITS = {
  installation_id: isNumber,
  limit: isNumber,
  remaining: isCount,
  reset_in: isCount,
  secondary: (value) => value === null || (isObject(value) && fits(value, SECONDARY)),
};
const SECONDARY = { status: (value) => value === 403 || value === 429, retry_after: isCount, times: isNumber };

/** Whether every field is known and its value follows the rule. */
function fits(body, rules) {
  return isObject(body) && Object.entries(body).every(([name, value]) => Object.hasOwn(rules, name) && rules[name](value));
}

function wrong(message) {
  return answer(422, { error: "invalid_request", message });
}

function missing(what) {
  return answer(404, { error: "not_found", message: `There is no such ${what}.` });
}

function list(name, all) {
  return answer(200, { total: all.length, [name]: all });
}

function config(_request, state) {
  return answer(200, githubConfig(state));
}

function changeConfig({ body }, state) {
  if (!fits(body, CONFIG)) return wrong("webhook_url and callback_url are URLs or null; user is {login, id} or null; token_lifetime and delivery_timeout_ms are numbers.");
  changeGithubConfig(body, state);
  return config(null, state);
}

function shown(installation, state) {
  return { ...installation, repositories: repositoriesOf(installation.id, state).map(({ id, full_name }) => ({ id, full_name })) };
}

function installations(_request, state) {
  return list("installations", listInstallations(state).map((one) => shown(one, state)));
}

function addInstallation({ body, at }, state) {
  if (!fits(body, INSTALLATION) || body.account === undefined) return wrong("account has a login; repositories are names or have one; permissions is an object.");
  if (body.id !== undefined && findInstallation(body.id, state)) return wrong("There is such an installation already.");
  return answer(201, shown(install(body, at, state), state));
}

function patchInstallation({ params, body, at }, state) {
  const found = findInstallation(params.id, state);
  if (!found) return missing("installation");
  if (!fits(body, INSTALLATION) || body.id !== undefined || body.account !== undefined) return wrong("An installation keeps its id and its account; all else can be changed.");
  return answer(200, shown(changeInstallation(found, body, at, state), state));
}

function removeInstallation({ params }, state) {
  const found = findInstallation(params.id, state);
  if (!found) return missing("installation");
  uninstall(found, state);
  return answer(200, { removed: found.id });
}

async function addFile({ params, body }, state) {
  const repository = findRepository(params.owner, params.repo, state);
  if (!repository) return missing("repository");
  if (!fits(body, FILE) || body.content === undefined) return wrong('content is text; encoding is "utf-8" or "base64"; ref is a branch.');
  const bytes = body.encoding === "base64" ? fromBase64(body.content) : new TextEncoder().encode(body.content);
  const { path, ref, size, sha } = putFile({ repository, path: params.path, ref: body.ref, bytes, sha: await blobSha(bytes) }, state);
  return answer(200, { path, ref, size, sha });
}

function addPull({ params, body, at }, state) {
  const repository = findRepository(params.owner, params.repo, state);
  if (!repository) return missing("repository");
  const isRight = isObject(body) && isNumber(body.number) && isOptional(Array.isArray)(body.files) && (body.files ?? []).every((file) => isText(file?.filename));
  if (!isRight) return wrong("number is a number; files are objects with a filename.");
  return answer(201, putPull(repository, body, at, state));
}

function addIssue({ params, body }, state) {
  const repository = findRepository(params.owner, params.repo, state);
  if (!repository) return missing("repository");
  if (!isObject(body) || !isNumber(body.number) || !isText(body.title)) return wrong("number is a number; title is a text.");
  return answer(201, putIssue(repository, body, state));
}

function limits(_request, state) {
  return answer(200, limitsInForce(state));
}

function changeLimits({ body, at }, state) {
  if (!fits(body, LIMITS)) return wrong("limit, remaining and reset_in are numbers; secondary is {status: 403 or 429, retry_after, times} or null.");
  const { secondary, installation_id, ...primary } = body;
  const bucket = installation_id === undefined ? undefined : `installation:${installation_id}`;
  if (secondary !== undefined) setSecondary(secondary, at, state);
  if (Object.keys(primary).length > 0) setPrimary({ ...primary, bucket }, at, state);
  return limits(null, state);
}

function deliver({ body, at }, state) {
  if (githubConfig(state).webhook_url === null) return wrong("There is no webhook_url to deliver to.");
  const planned = plan(body, at, state);
  return planned ? { ...answer(200, {}), deliver: planned } : wrong("event and guid are text; payload is an object or text; signature is text or null; count is a number.");
}

function deliveries({ query }, state) {
  const { guid, event } = query;
  const limit = /^\d{1,5}$/.test(query.limit ?? "") ? Number(query.limit) : 1000;
  const newest = state.github.deliveries({ guid, event, limit });
  return answer(200, { total: state.github.countDeliveries({ guid, event }), deliveries: newest.reverse().map(deliveryView) });
}

function delivery({ params }, state) {
  const found = state.github.delivery(Number(params.id));
  return found ? answer(200, deliveryDetail(found, state.github.payload(found.id))) : missing("delivery");
}

function endTokens(_request, state) {
  revokeTokens(state);
  return answer(200, { revoked: listTokens(state).length });
}
