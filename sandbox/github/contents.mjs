/** The files and pull requests of repositories, which tests create. */
import { stamp } from "./reply.mjs";

const FILE = "github.file";
const PULL = "github.pull";

/** The name of a Git blob, which GitHub returns as the `sha` of a file. */
export async function blobSha(bytes) {
  const header = new TextEncoder().encode(`blob ${bytes.length}\0`);
  const digest = await crypto.subtle.digest("SHA-1", await new Blob([header, bytes]).arrayBuffer());
  return hex(new Uint8Array(digest));
}

/** Stores a file, in one branch or in all; replaces the one with the same path and branch. */
export function putFile({ repository, path, ref = "", bytes, sha }, state) {
  const id = fileId(repository, ref, path);
  state.github.putText(`file:${id}`, base64(bytes));
  return state.documents.put(FILE, id, { id, repository: repository.key, path, ref, size: bytes.length, sha });
}

/** The file in this branch, else the one in all branches; `null` without either. */
export function findFile(repository, ref, path, state) {
  return state.documents.get(FILE, fileId(repository, ref, path)) ?? state.documents.get(FILE, fileId(repository, "", path));
}

/** The content in base64, without line breaks. */
export function contentOf(file, state) {
  return state.github.text(`file:${file.id}`);
}

/** The files of this branch, and those in all branches. */
export function listFiles(repository, ref, state) {
  return state.documents.find(FILE, "repository", repository.key).filter((file) => file.ref === "" || file.ref === ref);
}

/** Creates or replaces a pull request. Without a given commit, the commit is computed from the number. */
export function putPull(repository, { number, files = [], ...pull }, now, state) {
  const id = pullId(repository, number);
  const { id: earlier, created_at } = state.documents.get(PULL, id) ?? { id: state.github.nextId(), created_at: stamp(now) };
  const head = { ref: `topic-${number}`, sha: number.toString(16).padStart(40, "a"), ...pull.head };
  state.github.putText(`files:${id}`, JSON.stringify(files));
  return state.documents.put(PULL, id, { id: earlier, created_at, updated_at: stamp(now), ...pull, head, number, repository: repository.key });
}

/** The commit of a pull request's branch; any other `ref` is a commit itself. */
export function commitOf(repository, ref, state) {
  return state.documents.find(PULL, "repository", repository.key).find(({ head }) => head.ref === ref)?.head.sha ?? ref;
}

export function findPull(repository, number, state) {
  return state.documents.get(PULL, pullId(repository, number));
}

export function pullFiles(repository, number, state) {
  return JSON.parse(state.github.text(`files:${pullId(repository, number)}`));
}

function fileId(repository, ref, path) {
  return `${repository.key}:${ref}:${path}`;
}

function pullId(repository, number) {
  return `${repository.key}#${number}`;
}

export function base64(bytes) {
  const parts = [];
  for (let at = 0; at < bytes.length; at += 30_000) parts.push(btoa(String.fromCharCode(...bytes.subarray(at, at + 30_000))));
  return parts.join("");
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
