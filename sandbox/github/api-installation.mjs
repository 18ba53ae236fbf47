/** Routes for an installation token: its repositories, and members of its organization. */
import { repositoriesOf, repositoryView } from "./installations.mjs";
import { inRepository } from "./in-repository.mjs";
import { membershipOf } from "./api-user.mjs";
import { allows } from "./credentials.mjs";
import { notFound, paged, refused, reply } from "./reply.mjs";
import { findUser } from "./settings.mjs";

export const INSTALLATION_ROUTES = [
  ["GET /installation/repositories", repositories],
  ["GET /orgs/{org}/memberships/{login}", membership],
  ["GET /repos/{owner}/{repo}", inRepository(["metadata:read"], repository)],
];

function repositories(ask) {
  const { caller, state, urls } = ask;
  const { installation, token } = caller;
  const all = repositoriesOf(installation.id, state).filter(({ key }) => (token.repositories ?? [key]).includes(key));
  const repository_selection = token.repositories ? "selected" : installation.repository_selection;
  return paged(ask, all, (page, total_count) => ({ total_count, repository_selection, repositories: page.map((one) => repositoryView(one, urls)) }));
}

function repository({ repository, caller, urls }) {
  return reply(200, { ...repositoryView(repository, urls), permissions: { admin: false, push: false, pull: caller.token.permissions.contents !== undefined } });
}

/** The membership of a user, who has signed in before, in the organization of the installation. */
function membership({ caller, params, state, urls }) {
  if (!allows(caller.token.permissions, ["members:read"])) return refused(403, "Resource not accessible by integration");
  const isOwn = caller.installation.account.login.toLowerCase() === params.org.toLowerCase();
  const user = isOwn ? findUser(params.login, state) : null;
  return user ? membershipOf(user, params.org, urls) : notFound();
}
