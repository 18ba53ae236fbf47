/** The common checks of all routes below /repos/{owner}/{repo}. */
import { accessibleRepository, allows } from "./credentials.mjs";
import { notFound, refused } from "./reply.mjs";

/**
 * Wraps the handler of a route in a repository: 404 if the caller's installation does not have the
 * repository, 403 unless the token has one of `permissions`, such as `issues:write`.
 */
export function inRepository(permissions, handle) {
  return (ask) => {
    const { caller, params, state } = ask;
    const repository = accessibleRepository(caller, params.owner, params.repo, state);
    if (!repository) return notFound();
    if (!allows(caller.token.permissions, permissions)) return refused(403, "Resource not accessible by integration");
    return handle({ ...ask, repository });
  };
}
