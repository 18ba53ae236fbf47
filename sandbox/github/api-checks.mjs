/** Check runs. */
import { appView } from "./app.mjs";
import { commitOf } from "./contents.mjs";
import { isObject } from "../services/answer.mjs";
import { inRepository } from "./in-repository.mjs";
import { invalid, notFound, paged, refused, reply, stamp } from "./reply.mjs";

const KIND = "github.check_run";
const STATUSES = ["queued", "in_progress", "completed"];
const CONCLUSIONS = ["action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"];
const MOST_ANNOTATIONS = 50;
const LONGEST = 65_535;
const TAKEN = ["name", "details_url", "external_id", "status", "conclusion", "started_at", "completed_at", "output", "actions"];

export const CHECK_ROUTES = [
  ["POST /repos/{owner}/{repo}/check-runs", inRepository(["checks:write"], create)],
  ["GET /repos/{owner}/{repo}/check-runs/{id}", inRepository(["checks:read"], show)],
  ["PATCH /repos/{owner}/{repo}/check-runs/{id}", inRepository(["checks:write"], change)],
  ["GET /repos/{owner}/{repo}/commits/{ref}/check-runs", inRepository(["checks:read"], list)],
];

/** All check runs, oldest first. */
export function listCheckRuns(state) {
  return state.documents.list(KIND, -1);
}

function create({ repository, body, at, caller, urls, state }) {
  if (typeof body.head_sha !== "string" || body.head_sha === "") return invalid("CheckRun", "head_sha", "missing_field");
  if (typeof body.name !== "string" || body.name === "") return invalid("CheckRun", "name", "missing_field");
  const id = state.github.nextId();
  const about = { id, installation_id: caller.installation.id, repository: repository.full_name, head_sha: body.head_sha };
  return kept({ ...about, status: "queued", conclusion: null, started_at: stamp(at), completed_at: null, annotations: 0 }, body, at, 201, urls, state);
}

function change({ params, repository, body, at, urls, state }) {
  const found = runOf(params.id, repository, state);
  return found ? kept(found, body, at, 200, urls, state) : notFound();
}

function show({ params, repository, urls, state }) {
  const found = runOf(params.id, repository, state);
  return found ? reply(200, runView(found, urls)) : notFound();
}

/**
 * The newest check run of each name, or all with `filter=all`. The ref is a commit or a pull request's
 * branch.
 */
function list(ask) {
  const { params, query, repository, urls, state } = ask;
  const sha = commitOf(repository, params.ref, state);
  const { check_name, status } = query;
  const ofCommit = state.documents.find(KIND, "repository", repository.full_name).filter((run) => run.head_sha === sha);
  const runs = query.filter === "all" ? ofCommit : [...new Map(ofCommit.map((run) => [run.name, run])).values()];
  const fitting = runs.filter((run) => (check_name === undefined || run.name === check_name) && (status === undefined || run.status === status));
  return paged(ask, fitting, (page, total_count) => ({ total_count, check_runs: page.map((run) => runView(run, urls)) }));
}

function runOf(id, repository, state) {
  const found = state.documents.get(KIND, id);
  return found?.repository === repository.full_name ? found : null;
}

/** Stores a run. A conclusion completes it, a status without one reopens it; annotations add up. */
function kept(run, body, at, status, urls, state) {
  const given = Object.fromEntries(TAKEN.filter((name) => body[name] !== undefined).map((name) => [name, body[name]]));
  const refusal = refusalOf(given);
  if (refusal) return refusal;
  const isOver = given.conclusion !== undefined;
  const isOpen = given.status !== undefined && !isOver;
  const { annotations = [], ...output } = given.output ?? {};
  const changed = {
    ...run,
    ...given,
    ...(isOver ? { status: "completed", completed_at: given.completed_at ?? stamp(at) } : {}),
    ...(isOpen ? { conclusion: null, completed_at: null } : {}),
    output: given.output ? output : (run.output ?? null),
    annotations: run.annotations + annotations.length,
  };
  return reply(status, runView(state.documents.put(KIND, String(run.id), changed), urls));
}

function refusalOf({ status, conclusion, output }) {
  if (status !== undefined && !STATUSES.includes(status)) return invalid("CheckRun", "status");
  if (conclusion !== undefined && !CONCLUSIONS.includes(conclusion)) return invalid("CheckRun", "conclusion");
  if (status === "completed" && conclusion === undefined) return invalid("CheckRun", "conclusion", "missing_field");
  if (output === undefined) return null;
  if (!isObject(output) || typeof output.title !== "string" || typeof output.summary !== "string") return invalid("CheckRun", "output");
  if ([output.summary, output.text ?? ""].some((text) => [...text].length > LONGEST)) return refused(422, `Invalid request.\n\nOnly ${LONGEST} characters are allowed.`);
  return (output.annotations ?? []).length > MOST_ANNOTATIONS ? refused(422, `Invalid request.\n\nNo more than ${MOST_ANNOTATIONS} items are allowed; ${output.annotations.length} were supplied.`) : null;
}

function runView({ annotations, repository, installation_id: _, ...run }, urls) {
  const { id, output } = run;
  const url = `${urls.api}/repos/${repository}/check-runs/${id}`;
  const { title = null, summary = null, text = null } = output ?? {};
  return {
    node_id: btoa(`CheckRun:${id}`),
    url,
    html_url: `${urls.web}/${repository}/runs/${id}`,
    details_url: null,
    external_id: "",
    ...run,
    output: { title, summary, text, annotations_count: annotations, annotations_url: `${url}/annotations` },
    check_suite: { id },
    app: appView(urls),
    pull_requests: [],
  };
}
