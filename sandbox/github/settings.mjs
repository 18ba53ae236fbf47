/** What a test may set of GitHub: where its webhook and its callback go, and who is signed in. */

const DEFAULTS = {
  /** Where deliveries go; none go anywhere while it is null. */
  webhook_url: null,
  callback_url: null,
  /** Whose browser it is; null for nobody's. */
  user: { login: "octo-tester", id: 1001 },
  /** Seconds that the next installation tokens are good for. */
  token_lifetime: 3600,
  /** Milliseconds after which GitHub gives a delivery up. */
  delivery_timeout_ms: 10_000,
};

export function githubConfig(state) {
  return { ...DEFAULTS, ...state.settings.get("github.config", {}) };
}

const USER = "github.user";

/** Whoever is signed in is known from then on. */
export function changeGithubConfig(changes, state) {
  if (changes.user) state.documents.put(USER, changes.user.login.toLowerCase(), changes.user);
  state.settings.write("github.config", { ...state.settings.get("github.config", {}), ...changes });
}

/** A user by name, as they were when they were last signed in; `null` for nobody. */
export function findUser(login, state) {
  const user = state.documents.get(USER, login.toLowerCase());
  const first = githubConfig(state).user;
  return user ?? (first?.login.toLowerCase() === login.toLowerCase() ? first : null);
}
