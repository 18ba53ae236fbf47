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

export function changeGithubConfig(changes, state) {
  state.settings.write("github.config", { ...state.settings.get("github.config", {}), ...changes });
}
