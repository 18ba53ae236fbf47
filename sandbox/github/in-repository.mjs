/** What all routes below /repos/{owner}/{repo} begin with. */
import { accessibleRepository, allows } from "./credentials.mjs";
import { notFound, refused } from "./reply.mjs";

/**
 * The handler of a route in a repository: 404 where the caller does not have it, 403 where it may not do this. Any
 * one of `permissions`, such as `issues:write`, will do.
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
