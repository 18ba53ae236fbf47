/** The settings of GitHub that a test may change: the webhook, the callback, the signed-in user. */

const DEFAULTS = {
  /** The address of the webhook; while it is null, nothing is delivered. */
  webhook_url: null,
  callback_url: null,
  /** The user who is signed in, in the browser; null if nobody is. */
  user: { login: "octo-tester", id: 1001 },
  /** The lifetime of the next installation tokens, in seconds. */
  token_lifetime: 3600,
  /** The deadline of a delivery, in ms. */
  delivery_timeout_ms: 10_000,
};

export function githubConfig(state) {
  return { ...DEFAULTS, ...state.settings.get("github.config", {}) };
}

const USER = "github.user";

/** Changes the settings. GitHub remembers each user who has been signed in. */
export function changeGithubConfig(changes, state) {
  if (changes.user) state.documents.put(USER, changes.user.login.toLowerCase(), changes.user);
  state.settings.write("github.config", { ...state.settings.get("github.config", {}), ...changes });
}

/** A user by name, as of their last sign-in; `null` if the user is unknown. */
export function findUser(login, state) {
  const user = state.documents.get(USER, login.toLowerCase());
  const first = githubConfig(state).user;
  return user ?? (first?.login.toLowerCase() === login.toLowerCase() ? first : null);
}
