/** Comments and labels. In every repository, every number from 1 on is an issue or a pull request. */
import { APP_ID, APP_SLUG, botView } from "./app.mjs";
import { isObject } from "../services/answer.mjs";
import { inRepository } from "./in-repository.mjs";
import { invalid, notFound, paged, refused, reply, stamp, wholeNumber } from "./reply.mjs";

const COMMENT = "github.comment";
const LABELS = "github.labels";
const ISSUE = "github.issue";
const LONGEST = 65_536;
const READ = ["issues:read", "pull_requests:read"];
const WRITE = ["issues:write", "pull_requests:write"];

export const ISSUE_ROUTES = [
  ["GET /repos/{owner}/{repo}/issues/{number}/comments", inRepository(READ, inIssue(comments))],
  ["POST /repos/{owner}/{repo}/issues/{number}/comments", inRepository(WRITE, inIssue(addComment))],
  ["PATCH /repos/{owner}/{repo}/issues/comments/{id}", inRepository(WRITE, changeComment)],
  ["GET /repos/{owner}/{repo}/issues/{number}", inRepository(READ, inIssue(issueOf))],
  ["GET /repos/{owner}/{repo}/issues/{number}/labels", inRepository(READ, inIssue(labels))],
  ["POST /repos/{owner}/{repo}/issues/{number}/labels", inRepository(WRITE, inIssue(addLabels))],
];

/** All written `comments` or `labels`. */
export function listWritten(what, state) {
  return state.documents.list(what === "comments" ? COMMENT : LABELS, -1);
}

function inIssue(handle) {
  return (ask) => {
    const issue = wholeNumber(ask.params.number, null);
    return issue === null ? notFound() : handle({ ...ask, issue });
  };
}

/** The issue that a test has opened, or one without a text. */
function issueOf(ask) {
  const { title, body } = ask.state.documents.get(ISSUE, idOf(ask)) ?? { title: `Issue ${ask.issue}`, body: null };
  const url = `${ask.urls.api}/repos/${ask.repository.full_name}/issues/${ask.issue}`;
  return reply(200, { id: ask.issue, url, number: ask.issue, title, body, state: "open", labels: namesOf(ask).map((name) => labelView(name, ask)) });
}

/** Opens an issue, or replaces it. */
export function putIssue(repository, { number, title, body = null }, state) {
  return state.documents.put(ISSUE, idOf({ repository, issue: number }), { number, title, body, repository: repository.key });
}

function comments(ask) {
  const { repository, issue, urls, state } = ask;
  const all = state.documents.find(COMMENT, "repository", repository.full_name).filter((comment) => comment.issue === issue);
  return paged(ask, all, (page) => page.map((one) => commentView(one, urls)));
}

function addComment({ repository, issue, body, at, caller, urls, state }) {
  const refusal = bodyRefusal(body);
  if (refusal) return refusal;
  const id = state.github.nextId();
  const about = { installation_id: caller.installation.id, repository: repository.full_name, issue };
  const comment = state.documents.put(COMMENT, String(id), { id, ...about, body: body.body, created_at: stamp(at), updated_at: stamp(at) });
  return reply(201, commentView(comment, urls));
}

function changeComment({ params, repository, body, at, urls, state }) {
  const found = state.documents.get(COMMENT, params.id);
  if (found?.repository !== repository.full_name) return notFound();
  const refusal = bodyRefusal(body);
  if (refusal) return refusal;
  return reply(200, commentView(state.documents.put(COMMENT, params.id, { ...found, body: body.body, updated_at: stamp(at) }), urls));
}

function bodyRefusal({ body }) {
  if (typeof body !== "string" || body.trim() === "") return invalid("IssueComment", "body", "missing_field");
  return [...body].length > LONGEST ? refused(422, "Validation Failed", { errors: [{ resource: "IssueComment", field: "body", code: "custom", message: `body is too long (maximum is ${LONGEST} characters)` }] }) : null;
}

function commentView({ id, repository, issue, body, created_at, updated_at }, urls) {
  return {
    id,
    node_id: btoa(`IssueComment:${id}`),
    url: `${urls.api}/repos/${repository}/issues/comments/${id}`,
    html_url: `${urls.web}/${repository}/issues/${issue}#issuecomment-${id}`,
    issue_url: `${urls.api}/repos/${repository}/issues/${issue}`,
    user: botView(urls),
    created_at,
    updated_at,
    author_association: "NONE",
    body,
    performed_via_github_app: { id: APP_ID, slug: APP_SLUG },
  };
}

function labels(ask) {
  return paged(ask, namesOf(ask), (page) => page.map((name) => labelView(name, ask)));
}

/** Adds the labels that the issue does not have yet. */
function addLabels(ask) {
  const { repository, issue, body, caller, state } = ask;
  const given = (Array.isArray(body) ? body : body.labels)?.map?.((label) => (isObject(label) ? label.name : label));
  if (!given?.every((name) => typeof name === "string" && name !== "")) return invalid("Label", "name");
  const names = [...new Set([...namesOf(ask), ...given])];
  state.documents.put(LABELS, idOf(ask), { installation_id: caller.installation.id, repository: repository.full_name, issue, labels: names });
  return reply(200, names.map((name) => labelView(name, ask)));
}

function namesOf(ask) {
  return ask.state.documents.get(LABELS, idOf(ask))?.labels ?? [];
}

function idOf({ repository, issue }) {
  return `${repository.key}#${issue}`;
}

function labelView(name, { repository, urls }) {
  const url = `${urls.api}/repos/${repository.full_name}/labels/${encodeURIComponent(name)}`;
  return { id: 1, node_id: btoa("Label:1"), url, name, color: "ededed", default: false, description: null };
}
