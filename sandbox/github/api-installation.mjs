/** What a token of an installation is good for, of the installation itself and its repositories. */
import { repositoriesOf, repositoryView } from "./installations.mjs";
import { inRepository } from "./in-repository.mjs";
import { paged, reply } from "./reply.mjs";

export const INSTALLATION_ROUTES = [
  ["GET /installation/repositories", repositories],
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
