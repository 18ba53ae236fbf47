/** Routes for a user token. */
import { allows } from "./credentials.mjs";
import { accountView, installationView, listInstallations, repositoriesOf, repositoryView } from "./installations.mjs";
import { notFound, paged, refused, reply } from "./reply.mjs";

export const USER_ROUTES = [
  ["GET /user", user],
  ["GET /user/memberships/orgs/{org}", membership],
  ["GET /user/installations", installations],
  ["GET /user/installations/{id}/repositories", repositories],
];

function user({ caller, urls }) {
  const { organizations: _, repositories: __, ...account } = caller.token.user;
  return reply(200, { name: null, email: null, ...accountView(account, urls) });
}

/** The user's membership in an organization. GitHub shows it only to Apps that may read the members. */
function membership({ caller, params, state, urls }) {
  const installation = listInstallations(state).find(({ account }) => isSame(account.login, params.org));
  if (installation && !allows(installation.permissions, ["members:read"])) return refused(403, "Resource not accessible by integration");
  return membershipOf(caller.token.user, params.org, urls);
}

/** A user's membership in one of their organizations: as an admin, unless a test has set another role. */
export function membershipOf({ organizations = [], repositories: _, ...user }, org, urls) {
  const found = organizations.find(({ login }) => isSame(login, org));
  if (!found) return notFound();
  const { role = "admin", ...account } = found;
  const organization_url = `${urls.api}/orgs/${account.login}`;
  const organization = accountView({ type: "Organization", ...account }, urls);
  return reply(200, { url: `${organization_url}/memberships/${user.login}`, state: "active", role, organization_url, organization, user: accountView(user, urls) });
}

function installations(ask) {
  const own = ownInstallations(ask);
  return paged(ask, own, (page, total_count) => ({ total_count, installations: page.map((one) => installationView(one, ask.urls)) }));
}

function repositories(ask) {
  const found = ownInstallations(ask).find(({ id }) => String(id) === ask.params.id);
  if (!found) return notFound();
  const all = repositoriesOf(found.id, ask.state);
  const permissions = permissionsOn(found.account, ask.caller);
  return paged(ask, all, (page, total_count) => ({ total_count, repositories: page.map((one) => ({ ...repositoryView(one, ask.urls), permissions })) }));
}

/** The installations on the user's own account and on the user's organizations. */
function ownInstallations({ caller, state }) {
  const accounts = [caller.token.user, ...organizationsOf(caller)];
  return listInstallations(state).filter(({ account }) => accounts.some(({ login }) => isSame(login, account.login)));
}

/** All permissions on the user's own account and where the user is an admin; elsewhere only reading. */
function permissionsOn({ login }, caller) {
  const isOwn = isSame(login, caller.token.user.login);
  const admin = isOwn || organizationsOf(caller).some((one) => isSame(one.login, login) && one.role === "admin");
  return { admin, maintain: admin, push: admin, triage: admin, pull: true };
}

function organizationsOf({ token }) {
  return (token.user.organizations ?? []).map((one) => ({ role: "admin", ...one }));
}

function isSame(login, other) {
  return login.toLowerCase() === other.toLowerCase();
}
