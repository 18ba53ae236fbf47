/**
 * GitHub's side of a GitHub App: `/_github/api` is its REST API, as api.github.com, and `/_github/web` what a browser
 * gets, as github.com.
 */
import { answer } from "../services/answer.mjs";
import { api } from "./api.mjs";
import { web } from "./web.mjs";

const HOSTS = { api, web };

/** The two that there are, as a call's host. */
export const GITHUB_HOSTS = Object.keys(HOSTS);

/** Answers a call as GitHub would. */
export function github(call, state) {
  return HOSTS[call.host]?.(call, state) ?? answer(404, { error: "not_found", hosts: GITHUB_HOSTS });
}
