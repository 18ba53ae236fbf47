/** The sandbox's GitHub App: its identity, secrets and permissions. TEST ONLY. */
export { PUBLIC_JWK, TEST_ONLY_PRIVATE_KEY, TEST_ONLY_PRIVATE_KEY_PKCS8 } from "./app-keys.mjs";

export const APP_ID = 4242;
export const APP_SLUG = "chittyconnect-sandbox";
export const CLIENT_ID = "Iv1.sandbox";
export const TEST_ONLY_CLIENT_SECRET = "sandbox-client-secret";
export const TEST_ONLY_WEBHOOK_SECRET = "sandbox-webhook-secret";
/** The number of the App's webhook, in `X-GitHub-Hook-ID` and in a ping. */
export const HOOK_ID = 424_242;

/** The permissions of an installation, unless a test sets others. */
export const PERMISSIONS = { checks: "write", contents: "read", issues: "write", members: "read", metadata: "read", pull_requests: "write" };

/** The events that the App receives. */
export const EVENTS = ["check_run", "fork", "issue_comment", "issues", "pull_request", "push", "release", "star", "workflow_run"];

const SINCE = "2025-01-01T00:00:00Z";
const OWNER = { login: "chittyos", id: 4000, type: "Organization" };

/** The App as `GET /app` shows it. */
export function appView({ web }) {
  return {
    id: APP_ID,
    slug: APP_SLUG,
    node_id: btoa(`App:${APP_ID}`),
    client_id: CLIENT_ID,
    owner: OWNER,
    name: "ChittyConnect Sandbox",
    description: "",
    external_url: "https://connect.example",
    html_url: `${web}/apps/${APP_SLUG}`,
    created_at: SINCE,
    updated_at: SINCE,
    permissions: PERMISSIONS,
    events: EVENTS,
  };
}

/** The account that the App acts as. */
export function botView({ web }) {
  const login = `${APP_SLUG}[bot]`;
  return { login, id: APP_ID + 1, node_id: btoa(`Bot:${APP_ID + 1}`), html_url: `${web}/apps/${APP_SLUG}`, type: "Bot", site_admin: false };
}
