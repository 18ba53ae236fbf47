/** A repository's files and pull requests. */
import { contentOf, findFile, findPull, fromBase64, listFiles, pullFiles } from "./contents.mjs";
import { accountView, repositoryView } from "./installations.mjs";
import { inRepository } from "./in-repository.mjs";
import { notFound, paged, reply } from "./reply.mjs";

export const CONTENT_ROUTES = [
  ["GET /repos/{owner}/{repo}/contents", inRepository(["contents:read"], contents)],
  ["GET /repos/{owner}/{repo}/contents/{path...}", inRepository(["contents:read"], contents)],
  ["GET /repos/{owner}/{repo}/pulls/{number}", inRepository(["pull_requests:read"], pull)],
  ["GET /repos/{owner}/{repo}/pulls/{number}/files", inRepository(["pull_requests:read"], files)],
];

/**
 * The largest file whose content GitHub puts into JSON, and the most files of a pull request that it lists.
 */
const MOST_BYTES = 1_048_576;
const MOST_FILES = 3000;
const RAW = /\braw\b/;
const NO_SHA = "0".repeat(40);

/** A file, or the entries of a directory. */
function contents(ask) {
  const { params, query, call, repository, state } = ask;
  const path = (params.path ?? "").replace(/\/$/, "");
  const file = findFile(repository, query.ref ?? "", path, state);
  if (!file) return directory(ask, path);
  const encoded = contentOf(file, state);
  if (RAW.test(call.headers.accept ?? "")) {
    return { status: 200, headers: { "content-type": "application/vnd.github.raw; charset=utf-8", etag: `"${file.sha}"` }, body: fromBase64(encoded) };
  }
  const isTooBig = file.size > MOST_BYTES;
  const content = isTooBig ? { encoding: "none", content: "" } : { encoding: "base64", content: inLines(encoded) };
  return reply(200, { ...entry(ask, "file", path), sha: file.sha, size: file.size, ...content });
}

/** GitHub breaks base64 into lines of sixty characters. */
function inLines(encoded) {
  return encoded.replaceAll(/.{1,60}/g, "$&\n");
}

function directory(ask, path) {
  const start = path === "" ? "" : `${path}/`;
  const below = listFiles(ask.repository, ask.query.ref ?? "", ask.state).filter((file) => file.path.startsWith(start));
  if (below.length === 0) return notFound();
  const found = new Map();
  for (const file of below) {
    const [name, ...deeper] = file.path.slice(start.length).split("/");
    const isFile = deeper.length === 0;
    found.set(name, { ...entry(ask, isFile ? "file" : "dir", start + name), sha: isFile ? file.sha : NO_SHA, size: isFile ? file.size : 0 });
  }
  return reply(200, [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1)));
}

function entry({ repository, query, urls }, type, path) {
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  const ref = query.ref ?? repository.default_branch ?? "main";
  const name = path.slice(path.lastIndexOf("/") + 1);
  const url = `${urls.api}/repos/${repository.full_name}/contents/${encoded}?ref=${encodeURIComponent(ref)}`;
  const html_url = `${urls.web}/${repository.full_name}/${type === "file" ? "blob" : "tree"}/${ref}/${encoded}`;
  return { type, name, path, url, html_url, git_url: null, download_url: null };
}

function pull({ params, repository, urls, state }) {
  const found = findPull(repository, params.number, state);
  if (!found) return notFound();
  const { repository: _, ...given } = found;
  const { number, id } = given;
  const files = pullFiles(repository, number, state);
  const sum = (field) => files.reduce((total, file) => total + (file[field] ?? 0), 0);
  const repo = repositoryView(repository, urls);
  const user = accountView(given.user ?? repository.owner, urls);
  return reply(200, {
    node_id: btoa(`PullRequest:${id}`),
    url: `${urls.api}/repos/${repository.full_name}/pulls/${number}`,
    html_url: `${urls.web}/${repository.full_name}/pull/${number}`,
    diff_url: `${urls.web}/${repository.full_name}/pull/${number}.diff`,
    state: "open",
    locked: false,
    title: "",
    body: null,
    draft: false,
    merged: false,
    mergeable: true,
    mergeable_state: "clean",
    merged_at: null,
    closed_at: null,
    labels: [],
    comments: 0,
    commits: 1,
    ...given,
    user,
    additions: sum("additions"),
    deletions: sum("deletions"),
    changed_files: files.length,
    head: { repo, user, ...given.head },
    base: { ref: repository.default_branch ?? "main", sha: NO_SHA, repo, user: accountView(repository.owner, urls), ...given.base },
  });
}

function files(ask) {
  const { params, repository, urls, state } = ask;
  const found = findPull(repository, params.number, state);
  if (!found) return notFound();
  const all = pullFiles(repository, found.number, state).slice(0, MOST_FILES);
  return paged(ask, all, (page) => page.map((file) => fileView(file, found.head.sha, repository, urls)));
}

function fileView(file, head, { full_name }, urls) {
  const path = file.filename.split("/").map(encodeURIComponent).join("/");
  const { additions = 0, deletions = 0 } = file;
  return {
    sha: NO_SHA,
    status: "modified",
    blob_url: `${urls.web}/${full_name}/blob/${head}/${path}`,
    raw_url: `${urls.web}/${full_name}/raw/${head}/${path}`,
    contents_url: `${urls.api}/repos/${full_name}/contents/${path}?ref=${head}`,
    ...file,
    additions,
    deletions,
    changes: additions + deletions,
  };
}
