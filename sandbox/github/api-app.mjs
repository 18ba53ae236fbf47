/** Routes for the App itself, by its JWT: its installations, their tokens, the deliveries of its webhook. */
import { appView } from "./app.mjs";
import { isWithin, issueInstallationToken, suspended } from "./credentials.mjs";
import { beginDelivery, deliveryDetail, deliveryView } from "./deliveries.mjs";
import { findInstallation, installationView, listInstallations, repositoriesOf, repositoryView } from "./installations.mjs";
import { linkTo, notFound, paged, refused, reply, wholeNumber } from "./reply.mjs";
import { githubConfig } from "./settings.mjs";

export const APP_ROUTES = [
  ["GET /app", showApp],
  ["GET /app/installations", installations],
  ["GET /app/installations/{id}", installation],
  ["POST /app/installations/{id}/access_tokens", accessToken],
  ["GET /app/hook/deliveries", deliveries],
  ["GET /app/hook/deliveries/{id}", delivery],
  ["POST /app/hook/deliveries/{id}/attempts", redeliver],
];

function showApp({ urls, state }) {
  return reply(200, { ...appView(urls), installations_count: listInstallations(state).length });
}

function installations(ask) {
  return paged(ask, listInstallations(ask.state), (page) => page.map((one) => installationView(one, ask.urls)));
}

function installation({ params, urls, state }) {
  const found = findInstallation(params.id, state);
  return found ? reply(200, installationView(found, urls)) : notFound();
}

/** Issues an installation token, with fewer permissions or repositories if the App asks for that. */
function accessToken({ params, body, at, urls, state }) {
  const found = findInstallation(params.id, state);
  if (!found) return notFound();
  if (found.suspended_at !== null) return suspended();
  const permissions = body.permissions ?? found.permissions;
  if (!Object.entries(permissions).every(([name, level]) => isWithin(level, found.permissions[name]))) {
    return refused(422, "The permissions requested are not granted to this installation.");
  }
  const chosen = chosenRepositories(body, repositoriesOf(found.id, state));
  if (chosen === undefined) return refused(422, "There is at least one repository that does not exist or is not accessible to the parent installation.");
  const lifetime = githubConfig(state).token_lifetime;
  const token = issueInstallationToken({ installation: found, permissions, repositories: chosen?.map(({ key }) => key) ?? null, lifetime }, at, state);
  return reply(201, {
    token: token.secret,
    expires_at: token.expires_at,
    permissions,
    repository_selection: chosen ? "selected" : found.repository_selection,
    ...(chosen ? { repositories: chosen.map((one) => repositoryView(one, urls)) } : {}),
  });
}

/** The repositories chosen by name or number; `null` without a choice, `undefined` for an invalid one. */
function chosenRepositories({ repositories, repository_ids }, all) {
  if (repositories === undefined && repository_ids === undefined) return null;
  const byName = (repositories ?? []).map((name) => all.find((one) => one.name.toLowerCase() === String(name).toLowerCase()));
  const byId = (repository_ids ?? []).map((id) => all.find((one) => one.id === id));
  const chosen = [...byName, ...byId];
  return chosen.includes(undefined) ? undefined : [...new Set(chosen)];
}

/** Lists the finished deliveries, newest first. A cursor is the position where a page begins. */
function deliveries({ call, query, state }) {
  const size = Math.min(wholeNumber(query.per_page, 30), 100);
  const cursor = /^v1_(\d{1,15})$/.exec(query.cursor ?? "")?.[1];
  if (query.cursor !== undefined && cursor === undefined) return refused(400, "Invalid cursor");
  const found = [];
  let from = cursor === undefined ? undefined : Number(cursor);
  // One more than the page has, since the next page begins with it.
  while (found.length <= size) {
    const some = state.github.deliveries({ from, limit: 200 });
    found.push(...some.filter((one) => one.status_code !== null && fits(one, query.status)));
    if (some.length < 200) break;
    from = some.at(-1).id - 1;
  }
  const next = found[size];
  const link = next ? { link: linkTo(call, { ...query, per_page: String(size), cursor: `v1_${next.id}` }, "next") } : {};
  return reply(200, found.slice(0, size).map(deliveryView), link);
}

function fits({ status }, wanted) {
  return wanted === undefined || (status === "OK") === (wanted === "success");
}

function delivery({ params, state }) {
  const found = state.github.delivery(Number(params.id));
  return found ? reply(200, deliveryDetail(found, state.github.payload(found.id))) : notFound();
}

/** Accepts the request for a redelivery; the Worker delivers after the answer. */
function redeliver({ params, at, state }) {
  const found = state.github.delivery(Number(params.id));
  if (!found) return notFound();
  const { guid, event, action, installation_id, repository_id } = found;
  const again = { guid, event, action, installation_id, repository_id, redelivery: true };
  const { id } = beginDelivery(again, state.github.payload(found.id), at, state);
  return { ...reply(202, {}), deliver: { deliveries: [{ id }] } };
}
