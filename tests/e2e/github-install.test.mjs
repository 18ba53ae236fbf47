/** Installing the GitHub App: to GitHub and back, whose it is afterwards, and what does not come back as it went. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { until } from "./harness/await.mjs";
import { client } from "./harness/client.mjs";
import { contents } from "./harness/contents.mjs";
import { APP_SLUG, eventOf } from "./harness/github.mjs";
import { CALLBACK, CONTEXT_ID, startHooked } from "./harness/hooked.mjs";
import { delegate, expect, pages } from "./harness/people.mjs";
import { unmended } from "./harness/unmended.mjs";

const INSTALL = "/integrations/github/install";
const CONFIRM = "/integrations/github/confirm";
const INSTALLATIONS = "/v1/github/installations";

let hooked, sandbox, gateway, anyone, admin, person, rows;

before(async () => {
  hooked = await startHooked();
  ({ sandbox, gateway, admin, person, rows } = hooked);
  anyone = client(gateway);
});

after(() => hooked?.close());

let accounts = 3000;
/** Somebody at GitHub whom no other test knows, who is signed in from now on. */
async function signIn(more = {}) {
  const id = (accounts += 1);
  const { user } = await sandbox.github.set({ user: { login: `user-${id}`, id, repositories: ["one"], ...more } });
  return user;
}

/** Goes to GitHub, with a credential or without, and gives the address that GitHub sends the browser back to. */
async function goThere({ token, target, from = gateway, claim = false } = {}) {
  const begun = await client(from, token)("GET", claim ? `${INSTALL}?claim=true` : INSTALL);
  assert.equal(begun.status, 302, begun.text);
  const location = new URL(begun.headers.get("location"));
  assert.equal(location.href.split("?")[0], `${sandbox.github.web}/apps/${APP_SLUG}/installations/new`);
  if (target !== undefined) location.searchParams.set("target_id", target);
  const agreed = await fetch(location, { redirect: "manual" });
  assert.equal(agreed.status, 302, await agreed.text());
  return new URL(agreed.headers.get("location"));
}

const comeBack = (back, isolate) => anyone("GET", back.pathname + back.search, { isolate });
/** As a browser comes back: `fetch` would say itself how it fetches. */
const navigate = (back, headers = {}) => unmended(gateway, back.pathname + back.search, { headers: { "sec-fetch-mode": "navigate", accept: "text/html", ...headers } });
const idIn = (back) => Number(back.searchParams.get("installation_id"));

/** The whole way, by somebody here who is somebody there. */
async function install({ by = comeBack, ...options } = {}) {
  const back = await goThere(options);
  const page = await by(back);
  assert.equal(page.status, 200, page.text);
  return { page, id: idIn(back), row: await hooked.installation(idIn(back)) };
}

const changed = (back, changes) => {
  const other = new URL(back);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) other.searchParams.delete(name);
    else other.searchParams.set(name, value);
  }
  return other;
};
const isRefused = (answer, what) => expect(answer, 403, "installation_refused", what);
const actionsOf = async (id) => (await sandbox.entries({ entityId: id })).entries.map(({ action }) => action);
const toldOf = (id, actions) => until(async () => (await actionsOf(id)).join() === actions.join(), { timeout: 10_000, what: `${actions} to be told` });
const mintsOf = async (id) => (await sandbox.minted()).filter(({ metadata }) => metadata.installationId === id).map((minted) => minted.id);
const tokensOf = async (id) => (await sandbox.github.tokens()).filter((token) => token.installation_id === id);

describe("whoever installs the App", () => {
  test("with a credential has the installation, and nobody else has", async () => {
    const [alice, bob] = [person(), person()];
    const user = await signIn({ repositories: ["one", "two", "three"] });
    const { page, id, row } = await install({ token: alice.token });
    assert.match(page.headers.get("content-type"), /^text\/html/);
    assert.match(page.headers.get("content-security-policy"), /default-src 'none'.*frame-ancestors 'none'/);
    assert.equal(page.headers.get("referrer-policy"), "no-referrer");
    for (const shown of [user.login, row.chitty_id, alice.id]) assert.ok(page.text.includes(shown), shown);
    assert.match(row.chitty_id, CONTEXT_ID);
    assert.deepEqual([row.owner_chitty_id, row.account_login, row.account_id, row.account_type], [alice.id, user.login, user.id, "User"]);

    const { json } = await alice.call("GET", INSTALLATIONS);
    assert.deepEqual(json.installations.map(({ installation_id, chitty_id, status, account }) => [installation_id, chitty_id, status, account]), [[id, row.chitty_id, "active", user.login]]);
    assert.deepEqual((await bob.call("GET", INSTALLATIONS)).json.installations, []);
    for (const name of [id, row.chitty_id]) {
      assert.deepEqual((await alice.call("GET", `${INSTALLATIONS}/${name}`)).json, json.installations[0]);
      for (const path of [`${INSTALLATIONS}/${name}`, `${INSTALLATIONS}/${name}/repositories`]) expect(await bob.call("GET", path), 404, "not_found");
    }

    const repositories = await pages(alice.call, `${INSTALLATIONS}/${id}/repositories?limit=2`, "repositories");
    assert.deepEqual(repositories.map((page) => page.map(({ full_name }) => full_name)), [["one", "two"], ["three"]].map((names) => names.map((name) => `${user.login}/${name}`)));
    for (const isolate of [0, 1]) assert.equal((await alice.call("GET", `${INSTALLATIONS}/${row.chitty_id}/repositories`, { isolate })).json.total_count, 3);
    assert.equal((await tokensOf(id)).length, 1, "the token is kept");

    await toldOf(row.chitty_id, ["github.app.installed", "github.app.claimed"]);
    const lineage = await until(async () => (await sandbox.kept("dna")).find(({ chittyId }) => chittyId === row.chitty_id), { what: "the lineage" });
    assert.equal(lineage.entity_type, "installation");
    const timeline = await alice.call("GET", `/v1/events?entity=${row.chitty_id}`);
    assert.deepEqual(timeline.json.events.map(({ type }) => type), ["github.app.claimed", "github.app.installed"]);
    assert.deepEqual(await mintsOf(id), [row.chitty_id]);
    for (const text of [await contents(gateway), JSON.stringify(gateway.logs), page.text]) assert.doesNotMatch(text, /gh[su]_/);
  });

  test("without a credential leaves it to nobody, and an administrator sees it", async () => {
    const [alice, user] = [person(), await signIn()];
    const { page, id, row } = await install();
    assert.match(page.text, /belongs to nobody/);
    assert.equal(row.owner_chitty_id, null);
    expect(await alice.call("GET", `${INSTALLATIONS}/${id}`), 404, "not_found");
    expect(await alice.call("GET", `${INSTALLATIONS}?owner=all`), 403, "insufficient_scope");
    expect(await alice.call("GET", `${INSTALLATIONS}?owner=me`), 422, "validation_failed");
    const all = (await pages(admin, `${INSTALLATIONS}?owner=all&limit=1`, "installations")).flat();
    assert.equal(all.find(({ installation_id }) => installation_id === id).owner_chitty_id, null);
    assert.equal((await admin("GET", `${INSTALLATIONS}/${id}`)).json.account, user.login);
    assert.ok(!(await admin("GET", INSTALLATIONS)).json.installations.some(({ installation_id }) => installation_id === id), "it is not the administrator's own");

    // Coming again with a credential makes it theirs, once.
    for (let time = 0; time < 2; time += 1) assert.equal((await install({ token: alice.token })).row.owner_chitty_id, alice.id);
    await toldOf(row.chitty_id, ["github.app.installed", "github.app.claimed"]);
    assert.deepEqual(await mintsOf(id), [row.chitty_id]);
  });

  test("by a browser is asked first whether that is right", async () => {
    const alice = person();
    await signIn();
    const { page, id, row } = await install({ token: alice.token, by: navigate });
    assert.equal(row.owner_chitty_id, null);
    assert.match(page.text, new RegExp(`<form method="post" action="${CONFIRM}">`));
    assert.ok(page.text.includes(alice.id));
    const question = /name="question" value="([^"]+)"/.exec(page.text)[1];
    const answer = (form) => anyone("POST", CONFIRM, { raw: new URLSearchParams(form).toString(), headers: { "content-type": "application/x-www-form-urlencoded" } });
    const { searchParams } = await goThere({ token: alice.token });
    for (const wrong of [{ question: `${question}A` }, { question: question.slice(0, -2) }, { question: searchParams.get("state") }, { other: question }, {}]) isRefused(await answer(wrong));
    isRefused(await comeBack(new URL(`${gateway.url}${CALLBACK}?${new URLSearchParams({ state: question, code: "c", installation_id: id })}`)), "a question is no state");
    assert.equal((await hooked.installation(id)).owner_chitty_id, null);
    const answers = await Promise.all(Array.from({ length: 5 }, () => answer({ question })));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 403, 403, 403, 403]);
    assert.equal((await hooked.installation(id)).owner_chitty_id, alice.id);
    await toldOf(row.chitty_id, ["github.app.installed", "github.app.claimed"]);
  });

  test("must be somebody who may have one", async () => {
    const alice = person();
    expect(await client(gateway, "nobody's")("GET", INSTALL), 401, "invalid_token");
    expect(await alice.as("ro")("GET", INSTALL), 403, "insufficient_scope");
    const { token } = await delegate(alice.call, { scopes: ["read", "write"] });
    assert.equal((await client(gateway, token)("GET", INSTALL)).status, 403);
    const unset = await hooked.another({ vars: { GITHUB_CLIENT_ID: "" } });
    for (const path of [INSTALL, `${CALLBACK}?state=x`]) expect(await client(unset)("GET", path), 503, "not_ready");
  });
});

describe("what comes back", () => {
  test("is good once", async () => {
    await signIn();
    const back = await goThere();
    const answers = await Promise.all(Array.from({ length: 6 }, (_, n) => comeBack(back, n % 2)));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 403, 403, 403, 403, 403]);
    const { searchParams } = await goThere();
    isRefused(await comeBack(changed(back, { code: searchParams.get("code") })), "with a new code");
  });

  test("must be what went out of this gateway", async () => {
    await signIn();
    const back = await goThere();
    const other = await hooked.another({ vars: { SEALING_KEYS: `dev:${Buffer.alloc(32, 7).toString("base64")}` } });
    const { searchParams } = await goThere({ from: other });
    const state = back.searchParams.get("state");
    const middle = Math.floor(state.length / 2);
    const altered = state.slice(0, middle) + (state[middle] === "A" ? "B" : "A") + state.slice(middle + 1);
    for (const wrong of [searchParams.get("state"), altered, state.slice(0, -1), `${state}A`, "x"]) isRefused(await comeBack(changed(back, { state: wrong })), wrong);
    assert.equal(await hooked.installation(idIn(back)), undefined);
    assert.deepEqual(await mintsOf(idIn(back)), []);
    assert.equal((await comeBack(back)).status, 200, "none of that has used it up");
  });

  test("must be an installation that there is, and the user's to administer", async () => {
    const theirs = await sandbox.github.install({ account: { login: "somebody-else", id: 2999 } });
    const user = await signIn({ organizations: [{ login: "an-org", id: 2001, role: "member" }, { login: "own-org", id: 2002, role: "admin" }] });
    const [ofMember, ofOwner] = await Promise.all([[2001, "an-org"], [2002, "own-org"]].map(([id, login]) => sandbox.github.install({ account: { login, id, type: "Organization" }, repositories: ["r"] })));
    const wrong = { "is not there": 999_999_999, "is no number": "x", "is missing": null, "is another user's": theirs.id, "is an organization's of which the user is a member": ofMember.id };
    for (const [what, id] of Object.entries(wrong)) isRefused(await comeBack(changed(await goThere(), { installation_id: id })), what);
    for (const code of ["other", null, ""]) isRefused(await comeBack(changed(await goThere(), { code })), `code ${code}`);
    for (const { id } of [theirs, ofMember]) assert.equal(await hooked.installation(id), undefined);

    const own = await install({ target: "2002" });
    assert.deepEqual([own.id, own.row.account_login, own.row.account_type], [ofOwner.id, "own-org", "Organization"]);
    assert.equal((await install()).row.account_login, user.login);
  });

  test("is an organization's owner's, and stays with who has it until they let go or another owner claims it", async () => {
    const [alice, bob] = [person(), person()];
    const organization = { login: "kept-org", id: 2100 };
    const as = (role) => signIn({ organizations: [{ ...organization, role }] });
    const { id } = await sandbox.github.install({ account: { ...organization, type: "Organization" }, repositories: ["one", "two"] });
    const [path, target] = [`${INSTALLATIONS}/${id}`, String(organization.id)];
    const owner = async () => (await hooked.installation(id)).owner_chitty_id;

    const first = await as("admin");
    const { row } = await install({ token: alice.token, target });
    assert.equal(row.owner_chitty_id, alice.id);
    assert.equal((await alice.call("GET", `${path}/repositories`)).json.total_count, 2);

    // Another owner comes by, and a member does.
    await as("admin");
    expect(await comeBack(await goThere({ token: bob.token, target })), 409, "installation_owned");
    await as("member");
    for (const claim of [false, true]) isRefused(await comeBack(changed(await goThere({ token: bob.token, claim }), { installation_id: id })), "a member");
    assert.equal(await owner(), alice.id);

    // An owner claims it.
    const second = await as("admin");
    assert.equal((await comeBack(await goThere({ token: bob.token, target, claim: true }))).status, 200);
    assert.equal(await owner(), bob.id);
    expect(await alice.call("GET", path), 404, "not_found");
    const told = async ({ call }, entity) => (await call("GET", `/v1/events?entity=${entity}`)).json.events.map(({ type }) => type);
    assert.equal((await told(alice, alice.id))[0], "actor.installation_lost");
    assert.deepEqual((await told(bob, row.chitty_id)).slice(0, 2), ["github.app.claimed", "github.app.installed"]);
    await until(async () => (await actionsOf(alice.id)).includes("actor.installation_lost"), { what: "the loss to be told" });

    // Who is no owner at GitHub any more is shown nothing of what is there now.
    assert.equal((await bob.call("GET", `${path}/repositories`)).status, 200);
    await sandbox.github.set({ user: { ...second, organizations: [{ ...organization, role: "member" }] } });
    isRefused(await bob.call("GET", `${path}/repositories`), "no owner any more");

    // Letting go makes it anybody's who owns the organization.
    expect(await alice.call("DELETE", `${path}/owner`), 404, "not_found");
    assert.equal((await bob.call("DELETE", `${path}/owner`)).json.chitty_id, row.chitty_id);
    assert.equal(await owner(), null);
    await sandbox.github.set({ user: first });
    assert.equal((await comeBack(await goThere({ token: alice.token, target }))).status, 200);
    assert.equal(await owner(), alice.id);
  });

  test("is not believed where GitHub does not say who owns the organization", async () => {
    const organization = { login: "silent-org", id: 2101 };
    await signIn({ organizations: [{ ...organization, role: "admin" }] });
    const { id } = await sandbox.github.install({ account: { ...organization, type: "Organization" }, permissions: { metadata: "read" } });
    const page = await comeBack(await goThere({ target: String(organization.id) }));
    isRefused(page);
    assert.match(page.json.detail, /Members: read/);
    assert.equal(await hooked.installation(id), undefined);
  });

  test("may be only the wish to have it installed", async () => {
    await signIn();
    const back = changed(await goThere(), { setup_action: "request", installation_id: null, code: null });
    const page = await comeBack(back);
    assert.deepEqual([page.status, /asked an owner/.test(page.text)], [200, true]);
    isRefused(await comeBack(back));
  });

  test("from GitHub's own button, from Configure and from Cancel ends on a page that says what to do next", async () => {
    const alice = person();
    const user = await signIn();
    const back = changed(await goThere(), { state: null });
    const page = await navigate(back);
    assert.deepEqual([page.status, page.text.match(/<h1>(.*?)<\/h1>/)[1]], [200, "Installed"], page.text);
    const row = await hooked.installation(idIn(back));
    assert.deepEqual([row.account_login, row.owner_chitty_id], [user.login, null]);
    for (const shown of [user.login, row.chitty_id, "nobody yet", `${gateway.url}${INSTALL}`]) assert.ok(page.text.includes(shown), shown);
    const [cookie] = page.headers["set-cookie"][0].split(";");
    const again = await navigate(back, { cookie });
    assert.ok(again.status === 200 && again.text.includes(user.login), again.text);
    const elsewhere = await navigate(back);
    assert.ok(elsewhere.status === 200 && !elsewhere.text.includes(user.login), elsewhere.text);

    // "Configure", once it is somebody's: they are called by their name.
    await alice.call("POST", "/v1/actors/register", { body: { actor_type: "human", display_name: "Alice Liddell" } });
    await install({ token: alice.token });
    const saved = await navigate(changed(await goThere(), { state: null }));
    assert.ok(saved.text.includes("<h1>Saved</h1>") && saved.text.includes("<strong>Alice Liddell</strong>"), saved.text);
    const cancelled = await navigate(new URL(`${gateway.url}${CALLBACK}?error=access_denied`));
    assert.deepEqual([cancelled.status, cancelled.text.includes("<h1>Cancelled</h1>")], [200, true]);
  });

  test("is never part of a page's own text", async () => {
    const evil = `<script>alert("1")</script>'&`;
    await signIn({ login: evil });
    const texts = [(await install()).page.text, (await install({ token: person().token, by: navigate })).page.text, (await install({ token: person().token })).page.text];
    for (const text of texts) {
      assert.ok(!text.includes("<script") && text.includes("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;"), text);
    }
  });

  test("and is refused is told as a page to who reads pages", async () => {
    for (const [method, path] of [["GET", `${CALLBACK}?state=%3Cscript%3E`], ["POST", CONFIRM]]) {
      const response = await gateway.fetch(path, { method, headers: { accept: "text/html,*/*" } });
      const text = await response.text();
      assert.deepEqual([response.status, response.headers.get("content-type")], [403, "text/html; charset=utf-8"]);
      assert.ok(text.includes("Begin again") && !text.includes("<script"), text);
    }
  });
});

describe("while others are down", () => {
  const broken = async (service, fault) => {
    const user = await signIn();
    const back = await goThere();
    await sandbox.fault(service, fault);
    const answer = await comeBack(back);
    await sandbox.clear();
    assert.equal(await hooked.installation(idIn(back)), undefined, "nothing is stored");
    const { row } = await install();
    assert.equal(row.account_login, user.login);
    return answer;
  };

  test("ChittyID, it is said so, nothing is stored, and it works afterwards", async () => {
    expect(await broken("id", { mode: "fail", status: 503 }), 503, "identity_authority_unavailable");
  });

  test("GitHub, likewise", async () => {
    for (const path of ["/web/login/oauth", "/api/user", "/api/app/installations"]) {
      for (const fault of [{ mode: "fail", status: 502 }, { mode: "garbage" }, { mode: "reset" }]) {
        expect(await broken("github", { ...fault, path }), 503, "github_unavailable", `${path} ${fault.mode}`);
      }
    }
  });

  test("tokens, the installation is there all the same", async () => {
    await signIn();
    const alice = person();
    const back = await goThere({ token: alice.token });
    await sandbox.fault("github", { mode: "fail", status: 500, path: `/api/app/installations/${idIn(back)}/access_tokens` });
    assert.equal((await comeBack(back)).status, 200);
    const repositories = `${INSTALLATIONS}/${idIn(back)}/repositories`;
    expect(await alice.call("GET", repositories), 503, "github_unavailable");
    await sandbox.clear("github");
    assert.equal((await alice.call("GET", repositories)).json.total_count, 1);
  });
});

describe("GitHub's own word of an installation", () => {
  const tell = async (name, id, changes) => {
    const [delivery] = await hooked.deliver([eventOf(name, { installation: id }, changes)]);
    assert.equal(delivery.status_code, 202);
    return delivery.guid;
  };

  test("may come before the browser", async () => {
    await signIn();
    const back = await goThere();
    await hooked.told([await tell("installation.created", idIn(back))]);
    const met = await hooked.installation(idIn(back));
    const page = await comeBack(back);
    assert.ok(page.status === 200 && page.text.includes(met.chitty_id), page.text);
    assert.deepEqual(await mintsOf(idIn(back)), [met.chitty_id]);
  });

  // The webhook mints twice and the browser once, so whose turn comes first is a matter of how long GitHub takes.
  for (const [loser, github_ms] of [["webhook", 1], ["browser", 200]]) {
    test(`and the browser at the same time make one installation, and what the ${loser} has minted too much is reported`, async () => {
      const extra = [];
      for (let round = 0; round < 4; round += 1) {
        await signIn();
        const back = await goThere();
        const id = idIn(back);
        await sandbox.fault("id", { mode: "delay", delay_ms: 150, path: "/v1/mint" });
        await sandbox.fault("github", { mode: "delay", delay_ms: github_ms, path: "/api/user/installations" });
        const [guid, page] = await Promise.all([tell("installation.created", id), comeBack(back, round % 2)]);
        await sandbox.clear();
        assert.equal(page.status, 200, page.text);
        await hooked.told([guid]);
        const { chitty_id } = await hooked.installation(id);
        assert.ok(page.text.includes(chitty_id));
        const minted = await mintsOf(id);
        assert.ok(minted.includes(chitty_id));
        extra.push(...minted.filter((one) => one !== chitty_id));
        assert.deepEqual(await actionsOf(chitty_id), ["github.app.installed", "github.installation.created"]);
      }
      for (const one of extra) assert.deepEqual(await actionsOf(one), ["identity.orphaned"]);
      assert.ok(extra.length > 0, "they never met");
    });
  }

  test("that it is suspended or gone ends what is done for it", async () => {
    const alice = person();
    await signIn();
    const { id, row } = await install({ token: alice.token });
    const repositories = () => alice.call("GET", `${INSTALLATIONS}/${id}/repositories`);
    const status = async () => (await alice.call("GET", `${INSTALLATIONS}/${row.chitty_id}`)).json.status;
    const later = (seconds, more) => ({ installation: { updated_at: new Date(Date.now() + seconds * 1000).toISOString(), ...more } });
    assert.equal((await repositories()).status, 200);
    await hooked.told([await tell("installation.suspend", id, later(10))]);
    assert.equal(await status(), "suspended");
    expect(await repositories(), 409, "installation_inactive");
    await hooked.told([await tell("installation.unsuspend", id, later(20))]);
    assert.deepEqual([await status(), (await repositories()).status], ["active", 200]);
    // It is gone at GitHub, and nobody has said so yet.
    await sandbox.github.uninstall(id);
    expect(await repositories(), 409, "installation_inactive");
    await hooked.told([await tell("installation.deleted", id)]);
    assert.equal(await status(), "uninstalled");
    expect(await repositories(), 409, "installation_inactive");
    assert.deepEqual(await rows("SELECT 1 FROM github_tokens WHERE installation_id = ?1", id), []);
    // Installed again it is another one.
    const again = await install({ token: alice.token });
    assert.notEqual(again.id, id);
    assert.deepEqual((await alice.call("GET", INSTALLATIONS)).json.installations.map(({ status }) => status).sort(), ["active", "uninstalled"]);
  });
});

test("nothing of all this was an error of the gateway's own", () => {
  assert.deepEqual(gateway.logs.filter(({ level }) => level === "error"), []);
});
