/** What the sandbox promises of GitHub: the App's API, its pages and its rate limits. */
import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import http from "node:http";
import { after, before, beforeEach, describe, test } from "node:test";
import { until } from "./harness/await.mjs";
import * as github from "./harness/github.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

const { appJwt } = github;
const REPOSITORY = "octo-org/hello-world";
const CALLBACK = "https://connect.example/callback?from=github";
const ACCOUNT = { login: "octo-org", id: 77, type: "Organization" };

let sandbox;
let caller;
before(async () => {
  sandbox = await startSandbox();
  caller = github.githubCaller(sandbox);
});
beforeEach(async () => {
  await sandbox.reset();
  await sandbox.github.set({ callback_url: CALLBACK });
});
after(() => sandbox.close());

const bearer = (token) => ({ authorization: `Bearer ${token}` });
const ask = (...asked) => caller.ask(...asked);
const told = (...asked) => caller.told(...asked);
const asApp = (...asked) => caller.asApp(...asked);
const tokenOf = (...asked) => caller.tokenOf(...asked);
const pagesOf = (...asked) => caller.pagesOf(...asked);
const install = (more = {}) => sandbox.github.install({ account: ACCOUNT, repositories: [REPOSITORY, "second"], ...more });
/** An installation and a way to ask with its token. */
async function installed(more) {
  const installation = await install(more);
  const token = await tokenOf(installation.id);
  return { id: installation.id, token, as: (method, route, body) => told(method, route, { token, body }) };
}

describe("the App", () => {
  test("proves itself by a JWT of its own that is good now", async () => {
    const now = Math.floor(Date.now() / 1000);
    const other = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    const good = [{}, { claims: { iss: github.APP_ID } }, { claims: { iss: github.CLIENT_ID } }, { key: github.TEST_ONLY_PRIVATE_KEY_PKCS8 }, { claims: { exp: now + 595 } }];
    for (const jwt of good) assert.equal((await ask("GET", "/app", { token: appJwt(jwt) })).status, 200, JSON.stringify(jwt));
    const claims = [{ iss: "1" }, { iss: null }, { iat: now + 30 }, { iat: null }, { exp: now - 1 }, { exp: now + 660 }, { exp: null }, { exp: String(now + 60) }];
    const bad = [...claims.map((one) => appJwt({ claims: one })), appJwt({ key: other }), appJwt({ alg: "none" }), appJwt({ alg: "HS256" }), "x.y.z", "x", `${appJwt()}x`];
    for (const token of bad) {
      for (const route of ["/app", "/app/installations", "/app/hook/deliveries", "/app/installations/1"]) {
        const [status, { message }] = await told("GET", route, { token });
        assert.deepEqual([status, message], [401, "A JSON web token could not be decoded"], token);
      }
    }
    assert.equal((await ask("GET", "/app")).status, 401);
    assert.deepEqual(createPublicKey(github.TEST_ONLY_PRIVATE_KEY), createPublicKey(github.TEST_ONLY_PRIVATE_KEY_PKCS8));
    assert.match(github.TEST_ONLY_PRIVATE_KEY, /^-----BEGIN RSA PRIVATE KEY-----\n/);
    assert.match(github.TEST_ONLY_PRIVATE_KEY_PKCS8, /^-----BEGIN PRIVATE KEY-----\n/);
    const [, app] = await asApp("GET", "/app");
    assert.deepEqual([app.id, app.slug, app.client_id, app.installations_count], [4242, "chittyconnect-sandbox", "Iv1.sandbox", 0]);
  });

  test("sees its installations, in pages", async () => {
    const ids = [];
    for (let n = 0; n < 5; n += 1) ids.push((await sandbox.github.install({ account: { login: `octo-${n}` } })).id);
    assert.equal(new Set(ids).size, 5);
    const pages = await pagesOf("/app/installations?per_page=2", appJwt());
    assert.deepEqual(pages.map((page) => page.map(({ id }) => id)), [ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)]);
    const last = (await ask("GET", "/app/installations?per_page=2&page=2", { token: appJwt() })).headers.get("link");
    assert.deepEqual(last.match(/rel="\w+"/g), ['rel="prev"', 'rel="next"', 'rel="last"', 'rel="first"']);
    const [status, one] = await asApp("GET", `/app/installations/${ids[0]}`);
    assert.deepEqual([status, one.app_id, one.account.login, one.account.type, one.target_type, one.suspended_at], [200, 4242, "octo-0", "User", "User", null]);
    for (const wrong of ["1", "x"]) assert.equal((await asApp("GET", `/app/installations/${wrong}`))[0], 404);
    await assert.rejects(sandbox.github.install({ id: ids[0], account: ACCOUNT }), /422/);
    for (const wrong of [{}, { account: {} }, { account: ACCOUNT, repositories: "x" }, { account: ACCOUNT, other: 1 }]) await assert.rejects(sandbox.github.install(wrong), /422/);
  });

  test("gets tokens of an installation, also ones that do less", async () => {
    const { id } = await install();
    const [status, made] = await asApp("POST", `/app/installations/${id}/access_tokens`);
    assert.equal(status, 201);
    assert.match(made.token, /^ghs_\w{36}$/);
    assert.match(made.expires_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const left = Date.parse(made.expires_at) - Date.now();
    assert.ok(left > 3_590_000 && left <= 3_600_000);
    assert.deepEqual([made.permissions.checks, made.repository_selection, "repositories" in made], ["write", "selected", false]);
    const [, less] = await asApp("POST", `/app/installations/${id}/access_tokens`, { body: { repositories: ["second"], permissions: { contents: "read" } } });
    assert.deepEqual(less.repositories.map(({ full_name }) => full_name), ["octo-org/second"]);
    assert.deepEqual(less.permissions, { contents: "read" });
    assert.equal((await ask("GET", `/repos/${REPOSITORY}`, { token: less.token })).status, 404);
    assert.equal((await pagesOf("/installation/repositories", less.token))[0].total_count, 1);
    for (const body of [{ permissions: { contents: "write" } }, { permissions: { administration: "read" } }, { repositories: ["third"] }, { repository_ids: [1] }]) {
      assert.equal((await asApp("POST", `/app/installations/${id}/access_tokens`, { body }))[0], 422, JSON.stringify(body));
    }
    assert.equal((await asApp("POST", "/app/installations/1/access_tokens"))[0], 404);
    const tokens = await sandbox.github.tokens();
    assert.deepEqual(tokens.map(({ kind, installation_id }) => [kind, installation_id]), [["installation", id], ["installation", id]]);
    assert.ok(!JSON.stringify(tokens).includes(made.token));
  });

  test("gets none of a suspended one, and those there are do nothing", async () => {
    const { id, as } = await installed();
    await sandbox.github.changeInstallation(id, { suspended: true });
    assert.equal((await asApp("POST", `/app/installations/${id}/access_tokens`))[0], 403);
    assert.equal((await as("GET", "/installation/repositories"))[0], 403);
    assert.notEqual((await asApp("GET", `/app/installations/${id}`))[1].suspended_at, null);
    await sandbox.github.changeInstallation(id, { suspended: false, repositories: ["third"] });
    assert.deepEqual((await as("GET", "/installation/repositories"))[1].repositories.map(({ name }) => name), ["third"]);
    assert.equal((await as("GET", `/repos/${REPOSITORY}`))[0], 404);
    await sandbox.github.uninstall(id);
    const [status, { message }] = await as("GET", "/installation/repositories");
    assert.deepEqual([status, message], [401, "Bad credentials"]);
    assert.deepEqual(await sandbox.github.installations(), []);
    await assert.rejects(sandbox.github.uninstall(id), /404/);
  });
});

describe("an installation's token", () => {
  test("is good until it expires or is revoked", async () => {
    const { id, as } = await installed();
    assert.equal((await as("GET", `/repos/${REPOSITORY}`))[0], 200);
    for (const token of ["other", "ghs_other", appJwt()]) {
      const [status, { message }] = await told("GET", `/repos/${REPOSITORY}`, { token });
      assert.deepEqual([status, message], [401, "Bad credentials"]);
    }
    assert.equal((await ask("GET", `/repos/${REPOSITORY}`)).status, 401);
    await sandbox.github.set({ token_lifetime: 2 });
    const short = await tokenOf(id);
    assert.equal((await ask("GET", `/repos/${REPOSITORY}`, { headers: { authorization: `token ${short}` } })).status, 200);
    await until(async () => (await ask("GET", `/repos/${REPOSITORY}`, { token: short })).status === 401, { what: "the token to expire" });
    await sandbox.github.revokeTokens();
    assert.equal((await as("GET", `/repos/${REPOSITORY}`))[0], 401);
  });

  test("sees its own repositories and no others", async () => {
    const { token, as } = await installed({ repositories: Array.from({ length: 101 }, (_, n) => `r${n}`) });
    await sandbox.github.install({ account: { login: "elsewhere" }, repositories: ["private"] });
    const pages = await pagesOf("/installation/repositories?per_page=1000", token);
    assert.deepEqual(pages.map(({ total_count, repositories }) => [total_count, repositories.length]), [[101, 100], [101, 1]]);
    const [, repository] = await as("GET", "/repos/Octo-Org/R7");
    assert.deepEqual([repository.full_name, repository.owner.login, repository.default_branch, repository.private], ["octo-org/r7", "octo-org", "main", false]);
    for (const route of ["/repos/elsewhere/private", "/repos/elsewhere/private/issues/1/comments", "/repos/octo-org/none", "/nowhere"]) {
      const [status, { message }] = await as("GET", route);
      assert.deepEqual([status, message], [404, "Not Found"], route);
    }
    assert.equal((await as("GET", "/user"))[0], 403);
  });

  test("does what its permissions allow", async () => {
    const { as } = await installed({ permissions: { metadata: "read", issues: "read" } });
    for (const [method, route, body] of [
      ["GET", "contents/a"],
      ["GET", "pulls/1"],
      ["POST", "issues/1/comments", { body: "x" }],
      ["POST", "check-runs", { name: "x", head_sha: "x" }],
    ]) {
      const [status, { message }] = await as(method, `/repos/${REPOSITORY}/${route}`, body);
      assert.deepEqual([status, message], [403, "Resource not accessible by integration"], route);
    }
    assert.equal((await as("GET", `/repos/${REPOSITORY}/issues/1/comments`))[0], 200);
  });

  test("reads files", async () => {
    const { token, as } = await installed();
    const text = "# Hällo\n".repeat(20);
    const { sha } = await sandbox.github.putFile(REPOSITORY, ".github/config file.yml", text);
    await sandbox.github.putFile(REPOSITORY, "README.md", "hello\n");
    await sandbox.github.putFile(REPOSITORY, "README.md", "topic\n", { ref: "topic" });
    const route = `/repos/${REPOSITORY}/contents`;
    const [status, file] = await as("GET", `${route}/.github/config%20file.yml`);
    assert.deepEqual([status, file.type, file.encoding, file.path, file.sha], [200, "file", "base64", ".github/config file.yml", sha]);
    assert.match(file.content, /^(.{1,60}\n)+$/);
    assert.equal(Buffer.from(file.content, "base64").toString(), text);
    const decoded = async (ref) => Buffer.from((await as("GET", `${route}/README.md?ref=${ref}`))[1].content, "base64").toString();
    assert.deepEqual([await decoded("topic"), await decoded("main")], ["topic\n", "hello\n"]);
    assert.equal((await as("GET", `${route}/README.md`))[1].sha, "ce013625030ba8dba906f756967f9e9ca394464a", "the name that git gives it");
    assert.equal(await (await ask("GET", `${route}/README.md`, { token, headers: { accept: "application/vnd.github.raw+json" } })).text(), "hello\n");
    for (const root of [route, `${route}/`]) assert.deepEqual((await as("GET", root))[1].map(({ name, type }) => [name, type]), [[".github", "dir"], ["README.md", "file"]]);
    assert.equal((await as("GET", `${route}/none`))[0], 404);
    await sandbox.github.putFile(REPOSITORY, "big", Buffer.alloc(2_000_000).toString("base64"), { encoding: "base64" });
    const [, big] = await as("GET", `${route}/big`);
    assert.deepEqual([big.size, big.encoding, big.content], [2_000_000, "none", ""]);
    await assert.rejects(sandbox.github.putFile("octo-org/none", "x", "x"), /404/);
  });

  test("reads pull requests and their files", async () => {
    const { token, as } = await installed();
    const files = Array.from({ length: 250 }, (_, n) => ({ filename: `src/${n}.rs`, status: "modified", additions: 2, deletions: 1, patch: "@@ -1 +1,2 @@" }));
    await sandbox.github.openPull(REPOSITORY, { number: 12, title: "Say hello", files });
    const [, pull] = await as("GET", `/repos/${REPOSITORY}/pulls/12`);
    assert.deepEqual([pull.number, pull.title, pull.state, pull.additions, pull.changed_files, pull.head.repo.full_name], [12, "Say hello", "open", 500, 250, REPOSITORY]);
    const pages = await pagesOf(`/repos/${REPOSITORY}/pulls/12/files?per_page=100`, token);
    assert.deepEqual(pages.map((page) => page.length), [100, 100, 50]);
    assert.deepEqual([pages[0][0].filename, pages[0][0].changes, pages[2][49].filename], ["src/0.rs", 3, "src/249.rs"]);
    assert.equal((await pagesOf(`/repos/${REPOSITORY}/pulls/12/files`, token))[0].length, 30);
    for (const route of ["pulls/13", "pulls/13/files"]) assert.equal((await as("GET", `/repos/${REPOSITORY}/${route}`))[0], 404);
    for (const wrong of [{}, { number: "1" }, { number: 1, files: [{}] }]) await assert.rejects(sandbox.github.openPull(REPOSITORY, wrong), /422/);
  });

  test("writes comments and labels", async () => {
    const { id, token, as } = await installed();
    const issue = `/repos/${REPOSITORY}/issues/7`;
    const [status, comment] = await as("POST", `${issue}/comments`, { body: "Hello." });
    assert.deepEqual([status, comment.body, comment.user.login, comment.user.type], [201, "Hello.", "chittyconnect-sandbox[bot]", "Bot"]);
    await as("POST", `${issue}/comments`, { body: "Again." });
    await as("POST", `/repos/${REPOSITORY}/issues/8/comments`, { body: "Elsewhere." });
    assert.deepEqual((await pagesOf(`${issue}/comments?per_page=1`, token)).map(([{ body }]) => body), ["Hello.", "Again."]);
    assert.equal((await as("PATCH", `/repos/${REPOSITORY}/issues/comments/${comment.id}`, { body: "Changed." }))[1].body, "Changed.");
    assert.deepEqual((await sandbox.github.comments()).map(({ installation_id, issue, body }) => [installation_id, issue, body]), [[id, 7, "Changed."], [id, 7, "Again."], [id, 8, "Elsewhere."]]);
    for (const body of [{}, { body: " " }, { body: 1 }, { body: "x".repeat(65_537) }]) assert.equal((await as("POST", `${issue}/comments`, body))[0], 422);
    assert.equal((await fetch(`${sandbox.github.api}${issue}/comments`, { method: "POST", headers: bearer(token), body: "{" })).status, 400);
    assert.equal((await as("PATCH", `/repos/octo-org/second/issues/comments/${comment.id}`, { body: "x" }))[0], 404);
    const names = ([status, labels]) => [status, labels.map(({ name }) => name)];
    assert.deepEqual(names(await as("POST", `${issue}/labels`, { labels: ["bug", "new"] })), [200, ["bug", "new"]]);
    assert.deepEqual(names(await as("POST", `${issue}/labels`, ["bug", "third"])), [200, ["bug", "new", "third"]]);
    assert.deepEqual(names(await as("GET", `${issue}/labels`)), [200, ["bug", "new", "third"]]);
    assert.equal((await as("POST", `${issue}/labels`, { labels: "bug" }))[0], 422);
    assert.deepEqual((await sandbox.github.labels()).map(({ repository, issue, labels }) => [repository, issue, labels.length]), [[REPOSITORY, 7, 3]]);
  });

  test("writes check runs", async () => {
    const { as } = await installed();
    const runs = `/repos/${REPOSITORY}/check-runs`;
    const sha = "a".repeat(40);
    const [status, run] = await as("POST", runs, { name: "lint", head_sha: sha, status: "in_progress" });
    assert.deepEqual([status, run.status, run.conclusion, run.app.slug], [201, "in_progress", null, "chittyconnect-sandbox"]);
    const output = { title: "Found", summary: "Two.", annotations: [{}, {}] };
    const [, done] = await as("PATCH", `${runs}/${run.id}`, { conclusion: "failure", output });
    assert.deepEqual([done.status, done.conclusion, done.output.annotations_count], ["completed", "failure", 2]);
    assert.equal((await as("GET", `${runs}/${run.id}`))[1].output.summary, "Two.");
    await as("POST", runs, { name: "lint", head_sha: sha });
    await as("POST", runs, { name: "test", head_sha: sha, conclusion: "success" });
    const list = async (query, ref = sha) => (await as("GET", `/repos/${REPOSITORY}/commits/${ref}/check-runs${query}`))[1];
    assert.deepEqual((await list("")).check_runs.map(({ name, status }) => [name, status]), [["lint", "queued"], ["test", "completed"]]);
    assert.deepEqual([(await list("?filter=all")).total_count, (await list("?check_name=test")).total_count, (await list("", "b")).total_count], [3, 1, 0]);
    await sandbox.github.openPull(REPOSITORY, { number: 3, head: { ref: "topic", sha } });
    assert.equal((await list("", "topic")).total_count, 2);
    const wrong = [{ name: "x" }, { head_sha: sha }, { name: "x", head_sha: sha, status: "done" }, { name: "x", head_sha: sha, status: "completed" }];
    wrong.push({ name: "x", head_sha: sha, output: { title: "x" } }, { name: "x", head_sha: sha, output: { title: "x", summary: "x", annotations: Array(51).fill({}) } });
    for (const body of wrong) assert.equal((await as("POST", runs, body))[0], 422, JSON.stringify(body));
    assert.equal((await as("PATCH", `${runs}/1`, {}))[0], 404);
    assert.equal((await sandbox.github.checkRuns()).length, 3);
  });
});

describe("every answer of the API", () => {
  test("has a tag, and is not sent again to who has it, free of charge", async () => {
    const { token } = await installed();
    const get = (headers) => ask("GET", `/repos/${REPOSITORY}`, { token, headers });
    const first = await get();
    const etag = first.headers.get("etag");
    assert.match(etag, /^W\/"[0-9a-f]+"$/);
    const used = (response) => Number(response.headers.get("x-ratelimit-used"));
    for (const known of [etag, `"other", ${etag}`, etag.slice(2)]) {
      const again = await get({ "if-none-match": known });
      assert.deepEqual([again.status, await again.text(), used(again), again.headers.get("etag")], [304, "", used(first), etag], known);
    }
    const other = await get({ "if-none-match": '"other"' });
    assert.deepEqual([other.status, used(other)], [200, used(first) + 1]);
  });

  test("says the version, and wants to know who asks", async () => {
    const version = async (headers) => (await ask("GET", "/app", { token: appJwt(), headers })).headers.get("x-github-api-version-selected");
    assert.deepEqual([await version({ "x-github-api-version": "2026-03-10" }), await version()], ["2026-03-10", "2022-11-28"]);
    const status = await new Promise((done, fail) => {
      http.get(`${sandbox.github.api}/app`, { headers: bearer(appJwt()) }, (response) => done(response.resume().statusCode)).on("error", fail);
    });
    assert.equal(status, 403, "without a User-Agent");
  });

  test("counts against the primary limit, each caller's own", async () => {
    const [one, two] = [await installed(), await installed({ account: { login: "other" }, repositories: ["r"] })];
    const get = (token) => ask("GET", "/installation/repositories", { token });
    const rate = ({ headers }) => ["limit", "remaining", "used"].map((name) => Number(headers.get(`x-ratelimit-${name}`)));
    assert.deepEqual(rate(await get(one.token)), [5000, 4999, 1]);
    await sandbox.github.limit({ installation_id: one.id, remaining: 1, reset_in: 2 });
    assert.deepEqual(rate(await get(one.token)), [5000, 0, 5000]);
    const refused = await get(one.token);
    const reset = Number(refused.headers.get("x-ratelimit-reset"));
    assert.deepEqual([refused.status, refused.headers.get("x-ratelimit-remaining")], [403, "0"]);
    assert.match((await refused.json()).message, /^API rate limit exceeded for installation ID \d+\.$/);
    assert.ok(reset > Date.now() / 1000 - 1 && reset <= Date.now() / 1000 + 3);
    assert.equal((await get(two.token)).status, 200);
    const [, { rate: shown }] = await one.as("GET", "/rate_limit");
    assert.deepEqual([shown.remaining, shown.reset], [0, reset]);
    await until(async () => (await get(one.token)).status === 200, { what: "the limit to be reset" });
    assert.ok(Date.now() / 1000 >= reset);
    await sandbox.github.limit({ remaining: 0 });
    for (const token of [one.token, two.token]) assert.equal((await get(token)).status, 403);
    assert.equal((await asApp("GET", "/app"))[0], 403);
    for (const wrong of [{ remaining: -1 }, { other: 1 }, { secondary: { status: 500 } }]) await assert.rejects(sandbox.github.limit(wrong), /422/);
  });

  test("or is refused by the secondary one, for a time or so often", async () => {
    const { token } = await installed();
    const get = () => ask("GET", "/installation/repositories", { token });
    await sandbox.github.limit({ secondary: { status: 429, retry_after: 30, times: 2 } });
    for (let n = 0; n < 2; n += 1) {
      const response = await get();
      assert.deepEqual([response.status, response.headers.get("retry-after")], [429, "30"]);
      assert.notEqual(response.headers.get("x-ratelimit-remaining"), "0");
      assert.match((await response.json()).message, /^You have exceeded a secondary rate limit/);
    }
    assert.equal((await get()).status, 200);
    await sandbox.github.limit({ secondary: { retry_after: 1 } });
    assert.deepEqual([(await get()).status, (await get()).headers.get("retry-after")], [403, "1"]);
    await until(async () => (await get()).status === 200, { what: "the limit to end" });
    await sandbox.github.limit({ secondary: { retry_after: 600 } });
    await sandbox.github.limit({ secondary: null });
    assert.equal((await get()).status, 200);
  });
});

describe("the pages", () => {
  const visit = (query = "") => ask("GET", `${sandbox.github.web}/apps/${github.APP_SLUG}/installations/new${query}`);
  const exchange = async (fields, init = {}) =>
    fetch(`${sandbox.github.web}/login/oauth/access_token`, {
      method: "POST",
      headers: { accept: "application/json" },
      body: new URLSearchParams({ client_id: github.CLIENT_ID, client_secret: github.TEST_ONLY_CLIENT_SECRET, ...fields }),
      ...init,
    });
  const returned = async (query) => new URL((await visit(query)).headers.get("location"));

  test("install the App and come back, with a code for the user's token", async () => {
    await sandbox.github.set({ user: { login: "ada", id: 5, repositories: ["notes"] } });
    const response = await visit(`?state=${encodeURIComponent("s &é")}`);
    const back = new URL(response.headers.get("location"));
    const { code, installation_id, ...others } = Object.fromEntries(back.searchParams);
    assert.deepEqual([response.status, back.origin + back.pathname, others], [302, "https://connect.example/callback", { from: "github", setup_action: "install", state: "s &é" }]);
    const [installation] = await sandbox.github.installations();
    assert.deepEqual([String(installation.id), installation.account.login, installation.repositories[0].full_name], [installation_id, "ada", "ada/notes"]);
    const made = await (await exchange({ code })).json();
    assert.match(made.access_token, /^ghu_\w{36}$/);
    assert.deepEqual([made.token_type, made.scope], ["bearer", ""]);
    assert.deepEqual((await told("GET", "/user", { token: made.access_token }))[1].login, "ada");
    await install();
    const [, { total_count, installations }] = await told("GET", "/user/installations", { token: made.access_token });
    assert.deepEqual([total_count, installations[0].id], [1, installation.id]);
    assert.deepEqual((await told("GET", `/user/installations/${installation.id}/repositories`, { token: made.access_token }))[1].total_count, 1);
    assert.equal((await ask("GET", "/installation/repositories", { token: made.access_token })).status, 403);
    assert.equal((await returned()).searchParams.get("setup_action"), "update");
    assert.equal((await returned()).searchParams.has("state"), false);
  });

  test("on an organization too, where the user has one", async () => {
    await sandbox.github.set({ user: { login: "ada", id: 5, organizations: [ACCOUNT] } });
    const back = await returned(`?target_id=${ACCOUNT.id}&state=x`);
    assert.equal((await sandbox.github.installations())[0].account.login, ACCOUNT.login);
    const { access_token } = await (await exchange({ code: back.searchParams.get("code") })).json();
    assert.equal((await pagesOf("/user/installations?per_page=1", access_token))[0].total_count, 1);
    assert.equal((await visit("?target_id=9")).status, 404);
    await sandbox.github.set({ user: null });
    assert.match((await visit()).headers.get("location"), /\/_github\/web\/login\?return_to=/);
    await sandbox.github.set({ user: { login: "ada", id: 5 }, callback_url: null });
    assert.equal((await visit()).status, 400);
    assert.equal((await ask("GET", `${sandbox.github.web}/apps/other/installations/new`)).status, 404);
  });

  test("what a user administers", async () => {
    const roles = { "octo-org": "admin", guests: "member" };
    const organizations = [ACCOUNT, { login: "guests", id: 78, role: "member" }];
    await sandbox.github.set({ user: { login: "ada", id: 5, organizations } });
    const back = await returned(`?target_id=78&state=x`);
    const { access_token: token } = await (await exchange({ code: back.searchParams.get("code") })).json();
    await install();
    await sandbox.github.install({ account: { login: "ada", id: 5 }, repositories: ["notes"] });
    for (const [login, role] of Object.entries(roles)) {
      const [status, membership] = await told("GET", `/user/memberships/orgs/${login.toUpperCase()}`, { token });
      assert.deepEqual([status, membership.state, membership.role, membership.organization.login, membership.user.login], [200, "active", role, login, "ada"]);
    }
    assert.equal((await told("GET", "/user/memberships/orgs/others", { token }))[0], 404);
    for (const { id, account } of await sandbox.github.installations()) {
      assert.equal("role" in account, false);
      const [, { repositories }] = await told("GET", `/user/installations/${id}/repositories`, { token });
      for (const { permissions } of repositories) assert.deepEqual([permissions.admin, permissions.pull], [account.login !== "guests", true], account.login);
    }
    await assert.rejects(sandbox.github.set({ user: { login: "ada", id: 5, organizations: [{ login: "x", role: "owner" }] } }), /422/);
  });

  test("a code is good for once, and an error is a 200", async () => {
    const code = (await returned()).searchParams.get("code");
    const errorOf = async (fields, init) => {
      const response = await exchange(fields, init);
      return [response.status, (await response.json()).error];
    };
    assert.deepEqual(await errorOf({ code, client_secret: "other" }), [200, "incorrect_client_credentials"]);
    assert.deepEqual(await errorOf({ code, client_id: "other" }), [200, "incorrect_client_credentials"]);
    const json = JSON.stringify({ client_id: github.CLIENT_ID, client_secret: github.TEST_ONLY_CLIENT_SECRET, code });
    assert.deepEqual(await errorOf({}, { body: json, headers: { accept: "application/json", "content-type": "application/json" } }), [200, undefined]);
    for (const wrong of [{ code }, { code: "other" }, {}]) assert.deepEqual(await errorOf(wrong), [200, "bad_verification_code"]);
    const plain = await exchange({ code }, { headers: {} });
    assert.match(await plain.text(), /^error=bad_verification_code&/);
    const calls = JSON.stringify(await sandbox.github.calls({ host: "web" }));
    for (const secret of [code, github.TEST_ONLY_CLIENT_SECRET]) assert.ok(!calls.includes(secret));
  });
});

describe("GitHub", () => {
  test("is in the log of calls, with no credential", async () => {
    const { token, as } = await installed();
    const jwt = appJwt();
    await ask("GET", "/app", { token: jwt });
    await as("POST", `/repos/${REPOSITORY}/issues/1/comments`, { body: "x" });
    const calls = await sandbox.github.calls();
    assert.deepEqual(calls.map(({ service, host, method, path, status }) => [service, host, method, path.split("/").at(-1), status]), [
      ["github", "api", "POST", "access_tokens", 201],
      ["github", "api", "GET", "app", 200],
      ["github", "api", "POST", "comments", 201],
    ]);
    for (const secret of [token, jwt]) assert.ok(!JSON.stringify(calls).includes(secret));
    assert.match(calls[2].headers.authorization, /^Bearer sha256:/);
    assert.equal(await sandbox.count("github", "/app"), 2);
  });

  test("fails on demand, all of it or on a path", async () => {
    const status = async (route, token = appJwt()) => (await ask("GET", route, { token })).status;
    await sandbox.fault("github", { mode: "fail", status: 502, path: "/app/installations" });
    assert.deepEqual([await status("/app"), await status("/app/installations")], [200, 502]);
    await sandbox.clear("github");
    await sandbox.fault("github", { mode: "garbage", path: "/api/app" });
    assert.equal(await (await ask("GET", "/app", { token: appJwt() })).text(), "this is not JSON {");
    assert.equal(await status(`${sandbox.github.web}/apps/${github.APP_SLUG}/installations/new`), 302);
    await sandbox.clear();
    const { id } = await install();
    await sandbox.fault("github", { mode: "delay", delay_ms: 50, times: 1 });
    assert.match(await tokenOf(id), /^ghs_/);
    assert.equal((await fetch(`${sandbox.url}/_github/other/app`)).status, 404);
    assert.equal((await fetch(`${sandbox.url}/github/app`)).status, 404, "it is no service");
  });

  test("is set up and forgotten with everything else", async () => {
    await installed();
    await sandbox.github.set({ webhook_url: "http://127.0.0.1:1/webhooks" });
    await sandbox.github.deliver(github.eventOf("ping"));
    const { id } = await sandbox.github.install({ account: { login: "a" } });
    await sandbox.reset();
    const kept = [await sandbox.github.installations(), await sandbox.github.tokens(), (await sandbox.github.deliveries()).deliveries];
    assert.deepEqual(kept, [[], [], []]);
    assert.equal((await sandbox.github.set()).webhook_url, null);
    assert.ok((await sandbox.github.install({ account: { login: "a" } })).id > id, "a number is not given again");
    for (const wrong of [{ webhook_url: "x" }, { user: { login: "a" } }, { token_lifetime: -1 }, { other: 1 }]) await assert.rejects(sandbox.github.set(wrong), /422/, JSON.stringify(wrong));
  });
});
