/** The installations of the App, and their repositories. */
import { APP_ID, APP_SLUG, EVENTS, PERMISSIONS } from "./app.mjs";
import { stamp } from "./reply.mjs";

const INSTALLATION = "github.installation";
const REPOSITORY = "github.repository";

export function findInstallation(id, state) {
  return state.documents.get(INSTALLATION, String(id));
}

/** All installations, oldest first. */
export function listInstallations(state) {
  return state.documents.list(INSTALLATION, -1);
}

/** Creates an installation with its repositories, which are names or objects with a `name`. */
export function install({ id, account, repositories = [], permissions = PERMISSIONS, events = EVENTS, repository_selection = "selected", suspended = false }, now, state) {
  const owner = { type: "User", ...account, id: account.id ?? state.github.nextId() };
  const installation = keep(
    {
      id: id ?? state.github.nextId(),
      account: owner,
      repository_selection,
      permissions,
      events,
      created_at: stamp(now),
      updated_at: stamp(now),
      suspended_at: suspended ? stamp(now) : null,
    },
    state,
  );
  setRepositories(installation, repositories, now, state);
  return installation;
}

export function changeInstallation(installation, { repositories, suspended, ...changes }, now, state) {
  const suspended_at = suspended === undefined ? installation.suspended_at : suspended ? stamp(now) : null;
  const changed = keep({ ...installation, ...changes, suspended_at, updated_at: stamp(now) }, state);
  if (repositories !== undefined) setRepositories(changed, repositories, now, state);
  return changed;
}

/** Removes an installation and its repositories. Its tokens stop working. */
export function uninstall(installation, state) {
  for (const { key } of repositoriesOf(installation.id, state)) state.documents.remove(REPOSITORY, key);
  state.documents.remove(INSTALLATION, String(installation.id));
}

/** The repositories of an installation. */
export function repositoriesOf(id, state) {
  return state.documents.find(REPOSITORY, "installation", id);
}

/** A repository by its full name in any case; `null` if there is none. */
export function findRepository(owner, name, state) {
  return state.documents.get(REPOSITORY, keyOf(owner, name));
}

/** Replaces the repositories of an installation. A repository that stays keeps its number. */
function setRepositories(installation, repositories, now, state) {
  const { id, account } = installation;
  const wanted = repositories.map((given) => made(typeof given === "string" ? { name: given } : given, account));
  const keys = wanted.map(({ key }) => key);
  for (const { key } of repositoriesOf(id, state)) if (!keys.includes(key)) state.documents.remove(REPOSITORY, key);
  for (const repository of wanted) {
    const earlier = state.documents.get(REPOSITORY, repository.key);
    const number = repository.id ?? earlier?.id ?? state.github.nextId();
    state.documents.put(REPOSITORY, repository.key, { created_at: stamp(now), ...earlier, ...repository, id: number, installation: id });
  }
}

function made({ name: given, ...repository }, account) {
  const name = given.slice(given.lastIndexOf("/") + 1);
  return { ...repository, key: keyOf(account.login, name), name, full_name: `${account.login}/${name}`, owner: account };
}

function keep(installation, state) {
  return state.documents.put(INSTALLATION, String(installation.id), installation);
}

function keyOf(owner, name) {
  return `${owner}/${name}`.toLowerCase();
}

export function accountView({ login, id, type = "User", ...more }, { web }) {
  return {
    login,
    id,
    node_id: btoa(`${type}:${id}`),
    avatar_url: `https://avatars.githubusercontent.com/u/${id}?v=4`,
    html_url: `${web}/${login}`,
    type,
    site_admin: false,
    ...more,
  };
}

export function installationView(installation, urls) {
  const { id, account } = installation;
  return {
    ...installation,
    account: accountView(account, urls),
    access_tokens_url: `${urls.api}/app/installations/${id}/access_tokens`,
    repositories_url: `${urls.api}/installation/repositories`,
    html_url: `${urls.web}/settings/installations/${id}`,
    app_id: APP_ID,
    app_slug: APP_SLUG,
    target_id: account.id,
    target_type: account.type,
    single_file_name: null,
    suspended_by: installation.suspended_at === null ? null : accountView(account, urls),
  };
}

export function repositoryView({ key: _, installation: __, ...repository }, urls) {
  const { id, full_name, owner } = repository;
  const isPrivate = repository.private ?? false;
  return {
    node_id: btoa(`Repository:${id}`),
    private: isPrivate,
    visibility: isPrivate ? "private" : "public",
    html_url: `${urls.web}/${full_name}`,
    url: `${urls.api}/repos/${full_name}`,
    description: null,
    fork: false,
    language: null,
    topics: [],
    archived: false,
    disabled: false,
    default_branch: "main",
    stargazers_count: 0,
    forks_count: 0,
    open_issues_count: 0,
    updated_at: repository.created_at,
    pushed_at: repository.created_at,
    ...repository,
    owner: accountView(owner, urls),
  };
}
