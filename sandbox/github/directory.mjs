/**
 * GitHub's side of a GitHub App: `/_github/api` stands for api.github.com, the REST API, and `/_github/web`
 * for github.com, which browsers visit.
 */
import { answer } from "../services/answer.mjs";
import { api } from "./api.mjs";
import { web } from "./web.mjs";

const HOSTS = { api, web };

/** The hosts of GitHub, as a call names them: `api` and `web`. */
export const GITHUB_HOSTS = Object.keys(HOSTS);

/** Answers a call as GitHub would. */
export function github(call, state) {
  return HOSTS[call.host]?.(call, state) ?? answer(404, { error: "not_found", hosts: GITHUB_HOSTS });
}
