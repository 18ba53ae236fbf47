/** What a token of a user is good for. */
import { accountView, installationView, listInstallations, repositoriesOf, repositoryView } from "./installations.mjs";
import { notFound, paged, reply } from "./reply.mjs";

export const USER_ROUTES = [
  ["GET /user", user],
  ["GET /user/installations", installations],
  ["GET /user/installations/{id}/repositories", repositories],
];

function user({ caller, urls }) {
  const { organizations: _, repositories: __, ...account } = caller.token.user;
  return reply(200, { name: null, email: null, ...accountView(account, urls) });
}

function installations(ask) {
  const own = ownInstallations(ask);
  return paged(ask, own, (page, total_count) => ({ total_count, installations: page.map((one) => installationView(one, ask.urls)) }));
}

function repositories(ask) {
  const found = ownInstallations(ask).find(({ id }) => String(id) === ask.params.id);
  if (!found) return notFound();
  const all = repositoriesOf(found.id, ask.state);
  return paged(ask, all, (page, total_count) => ({ total_count, repositories: page.map((one) => repositoryView(one, ask.urls)) }));
}

/** Those on the user's own account and on the user's organizations. */
function ownInstallations({ caller, state }) {
  const { login, organizations = [] } = caller.token.user;
  const accounts = [login, ...organizations.map((one) => one.login)].map((one) => one.toLowerCase());
  return listInstallations(state).filter(({ account }) => accounts.includes(account.login.toLowerCase()));
}
