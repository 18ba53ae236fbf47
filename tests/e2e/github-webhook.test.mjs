/** GitHub's webhook: what is signed is taken and told once, what is not leaves nothing behind. */
import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { after, before, describe, test } from "node:test";
import { until } from "./harness/await.mjs";
import { client } from "./harness/client.mjs";
import { contents, rowsOf } from "./harness/contents.mjs";
import { EVENT_NAMES, eventOf, githubCaller, pushOf, signatureOf, TEST_ONLY_WEBHOOK_SECRET } from "./harness/github.mjs";
import { actionOf, assertToldOnce, CONTEXT_ID, pointTo, poster, startHooked, WEBHOOK, witness } from "./harness/hooked.mjs";
import { expect } from "./harness/people.mjs";

const LETTERS = "/v1/events/dead-letters";
/** GitHub's limit of a payload. */
const LONGEST = 25 * 1024 * 1024;

let hooked, sandbox, gateway, admin, rows, post, deliver;

before(async () => {
  hooked = await startHooked();
  ({ sandbox, gateway, admin, rows, post, deliver } = hooked);
});

after(() => hooked?.close());

let lastInstallation = 500;
const anInstallation = () => (lastInstallation += 1);

const guidsOf = (deliveries) => deliveries.map(({ guid }) => guid);
const lettersOf = async (guid) => (await admin("GET", `${LETTERS}?entity=github:app`)).json.dead_letters.filter(({ event_id }) => event_id === guid);
const storedPayloads = async () => (await (await gateway.kv("CHITTYCONNECT_KV")).list({ prefix: "github/payload/" })).keys;

/** Asserts that each was taken, and that each is told once. */
async function assertTakenAndTold(deliveries) {
  assert.deepEqual(deliveries.filter(({ status_code }) => status_code !== 202), []);
  await hooked.told(guidsOf(deliveries));
  const account = await hooked.account();
  return deliveries.map((delivery) => assertToldOnce(account, delivery));
}

describe("a delivery", () => {
  test("of every event that there is a fixture for is told once, under an identity of its own", async () => {
    const deliveries = await deliver(EVENT_NAMES.map((name) => eventOf(name)));
    for (const { id, guid, event } of deliveries) {
      const { response } = await sandbox.github.delivery(id);
      assert.deepEqual(JSON.parse(response.payload), { status: "ok", delivery_id: guid, deliveryId: guid, eventType: event });
    }
    const entries = await assertTakenAndTold(deliveries);
    assert.equal(new Set(entries.map(({ metadata }) => metadata.payload.chitty_id)).size, EVENT_NAMES.length);
    const pull = entries.find(({ action }) => action === "github.pull_request.opened").metadata;
    assert.deepEqual([pull.entityType, pull.entityId, pull.payload.repository.full_name], ["repository", "github:repository:90000002", "octo-org/hello-world"]);
    for (const personal of ["octo-dev", "@"]) assert.ok(!JSON.stringify(entries).includes(personal), personal);
  });

  test("of any other event is told once too", async () => {
    const others = [
      "star", "watch", "member", "membership", "deployment", "deployment_status", "page_build", "gollum", "milestone", "label", "project_card",
      "repository_dispatch", "workflow_dispatch", "workflow_job", "secret_scanning_alert", "dependabot_alert", "merge_group", "team_add", "public", "event_of_tomorrow",
    ];
    const { payload } = eventOf("star.created", { repository_id: 71 });
    const deliveries = await deliver(others.map((event, n) => ({ event, payload: { ...payload, action: n % 2 === 0 ? "created" : undefined } })), 10);
    const entries = await assertTakenAndTold(deliveries);
    assert.deepEqual(entries.map(({ action }) => action), others.map((event) => `github.${event}`));
  });

  test("is told once however often it comes", async () => {
    const kv = await gateway.kv("IDEMP_KV");
    const [once, many] = [randomUUID(), randomUUID()];
    const { event, payload } = eventOf("issues.opened", { repository_id: 72 });
    const body = JSON.stringify(payload);
    for (let n = 0; n < 3; n += 1) {
      expect(await post(body, { event, guid: once }), 202);
      await hooked.told([once]);
      // Also when the first look finds nothing any more.
      if (n === 1) await kv.delete(`github/delivery/${once}`);
    }
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => post(body, { event, guid: many, isolate: n % 2 })));
    assert.deepEqual(answers.map(({ status, json }) => [status, json.delivery_id]), Array(20).fill([202, many]));
    await hooked.told([many]);
    // What comes after them is dealt with after them.
    const [last] = await deliver([eventOf("push", { repository_id: 72 })]);
    await hooked.told([last.guid]);
    const account = await hooked.account();
    for (const guid of [once, many]) assertToldOnce(account, { guid, event, action: "opened" });
    const [{ n }] = await rows("SELECT count(*) AS n FROM github_deliveries WHERE repository_id = 72");
    assert.equal(n, 3);
  });

  test("of one repository is told after those that came before it", async () => {
    const names = ["push", "pull_request.opened", "pull_request.synchronize", "issue_comment.created", "pull_request.closed", "release.published"];
    const deliveries = await deliver([...names, ...names, ...names].map((name) => eventOf(name, { repository_id: 73 })));
    await assertTakenAndTold(deliveries);
    const { entries } = await sandbox.entries({ entityId: "github:repository:73" });
    assert.deepEqual(entries.map(({ metadata }) => metadata.payload.delivery_id), guidsOf(deliveries));
  });

  test("that is signed and cannot be read is refused, so that it is red at GitHub", async () => {
    const long = `{"x": "${"x".repeat(300_000)}`;
    const form = { "content-type": "application/x-www-form-urlencoded" };
    const bad = [
      ["{ not JSON, and private", 400, "malformed_request"],
      ["[\"private\"]", 400, "malformed_request"],
      ["\"private\"", 400, "malformed_request"],
      ["", 400, "malformed_request"],
      [long, 400, "malformed_request"],
      ["{}", 422, "validation_failed"],
      ["{}", 415, "unsupported_media_type", { "content-type": "text/plain" }],
      ["{}", 415, "unsupported_media_type", { "content-type": null }],
      ["payload=private", 400, "malformed_request", form],
      ["private=%7B%7D", 400, "malformed_request", form],
    ];
    const guids = bad.map(() => randomUUID());
    for (const [n, [body, status, code, headers]] of bad.entries()) {
      const answer = await post(body, { guid: guids[n], headers });
      expect(answer, status, code);
      assert.doesNotMatch(answer.text, /private/);
    }
    // What is taken after them is dealt with after them.
    const { guid, ...more } = { guid: randomUUID(), ...eventOf("push", { repository_id: 77 }) };
    expect(await post(JSON.stringify(more.payload), { guid }), 202);
    await hooked.told([guid]);
    for (const refused of guids) assert.deepEqual(await lettersOf(refused), []);
    assert.deepEqual(await rows("SELECT 1 FROM github_deliveries WHERE delivery_id IN (SELECT value FROM json_each(?1))", JSON.stringify(guids)), []);
    assert.equal((await hooked.person().call("GET", LETTERS)).code, "insufficient_scope");
  });

  test("that is a form is read as the JSON in it, short and long", async () => {
    for (const payload of [eventOf("push", { repository_id: 78 }).payload, pushOf(300_000, { repository_id: 78 }).payload, pushOf(4_000_000, { repository_id: 78 }).payload]) {
      const [asForm, asJson] = [randomUUID(), randomUUID()];
      const body = new URLSearchParams({ payload: JSON.stringify(payload) }).toString();
      expect(await post(body, { guid: asForm, headers: { "content-type": "application/x-www-form-urlencoded" } }), 202);
      expect(await post(JSON.stringify(payload), { guid: asJson }), 202);
      await hooked.told([asForm, asJson]);
      const found = await rows("SELECT DISTINCT facts FROM github_deliveries WHERE delivery_id IN (?1, ?2)", asForm, asJson);
      assert.equal(found.length, 1, JSON.stringify(found));
    }
  });
});

describe("what is not GitHub's", () => {
  const body = JSON.stringify(eventOf("push", { repository_id: 79 }).payload);
  const long = JSON.stringify(pushOf(300_000, { repository_id: 79 }).payload);

  test("is refused, and leaves nothing", async () => {
    const good = signatureOf(body);
    const calls = (await sandbox.calls({ limit: 1 })).at(-1).seq;
    const guid = randomUUID();
    const send = (text, headers, more) => post(text, { guid, headers, ...more });
    const signatures = {
      "of nothing": null,
      "that is wrong": `sha256=${"0".repeat(64)}`,
      "that is cut": good.slice(0, -1),
      "that is longer": `${good}0`,
      "without its name": good.slice("sha256=".length),
      "in capitals": good.toUpperCase(),
      "of another secret": signatureOf(body, "other"),
      "of another body": signatureOf(`${body} `),
      "by SHA-1": `sha1=${createHmac("sha1", TEST_ONLY_WEBHOOK_SECRET).update(body).digest("hex")}`,
      "that is empty": "",
    };
    for (const [what, signature] of Object.entries(signatures)) {
      for (const text of [body, long]) expect(await send(text, { "x-hub-signature-256": signature }), 401, "invalid_signature", what);
    }
    const sha1 = `sha1=${createHmac("sha1", TEST_ONLY_WEBHOOK_SECRET).update(body).digest("hex")}`;
    expect(await send(body, { "x-hub-signature-256": null, "x-hub-signature": sha1 }), 401, "invalid_signature");
    // The signature is the first thing that is looked at.
    expect(await send(body, { "x-github-event": null }, { secret: "other" }), 401, "invalid_signature");
    expect(await client(gateway)("GET", WEBHOOK), 405, "method_not_allowed");
    // Taken it would be dealt with before what comes after it.
    const [after] = await deliver([eventOf("push", { repository_id: 79 })]);
    await hooked.told([after.guid]);
    const everything = await contents(gateway);
    assert.ok(everything.includes(after.guid) && !everything.includes(guid));
    assert.ok(!JSON.stringify(await sandbox.calls({ after: calls })).includes(guid), "nobody was told");
  });

  test("is 400 where a header is missing or is none of GitHub's", async () => {
    for (const headers of [
      { "x-github-event": null },
      { "x-github-delivery": null },
      { "x-github-event": "push me" },
      { "x-github-event": "Push" },
      { "x-github-event": "a".repeat(65) },
      { "x-github-delivery": "../../other" },
      { "x-github-delivery": "d".repeat(65) },
    ]) {
      expect(await post(body, { headers }), 400, "malformed_request", JSON.stringify(headers));
    }
    expect(await post(Buffer.from([0x22, 0xff, 0xfe, 0x22])), 400, "malformed_request");
  });

  test("has to wait when there is much of it, and GitHub has not", async () => {
    const limited = await hooked.another({ vars: { RATE_LIMIT_WEBHOOK: "10" } });
    const send = poster(limited);
    const address = { "cf-connecting-ip": "203.0.113.7" };
    const refused = [];
    for (let n = 0; n < 12; n += 1) refused.push((await send(body, { secret: "other", headers: address })).status);
    assert.deepEqual(refused, [...Array(10).fill(401), 429, 429]);
    expect(await send(body, { headers: address }), 202);
  });
});

test("while the secret is being replaced both are good, and afterwards one", async () => {
  const [during, done] = await Promise.all([
    hooked.another({ vars: { GITHUB_WEBHOOK_SECRET: "newer", GITHUB_WEBHOOK_SECRET_PREVIOUS: TEST_ONLY_WEBHOOK_SECRET } }),
    hooked.another({ vars: { GITHUB_WEBHOOK_SECRET: "newer" } }),
  ]);
  for (const text of [eventOf("push"), pushOf(200_000)].map(({ payload }) => JSON.stringify(payload))) {
    const statuses = (one) => Promise.all([TEST_ONLY_WEBHOOK_SECRET, "newer", "other"].map(async (secret) => (await poster(one)(text, { secret })).status));
    assert.deepEqual(await Promise.all([gateway, during, done].map(statuses)), [[202, 401, 401], [202, 202, 401], [401, 202, 401]]);
  }
});

describe("a long payload", () => {
  test("of 10 MB, and of all that GitHub sends, is taken, told, and not kept", async () => {
    const made = [pushOf(10_000_000, { repository_id: 74 }), pushOf(LONGEST - 1, { repository_id: 74 })];
    const deliveries = [];
    for (const one of made) deliveries.push(...(await deliver([one])));
    const entries = await assertTakenAndTold(deliveries);
    assert.deepEqual(entries.map(({ metadata }) => metadata.payload.commits), made.map(({ payload }) => payload.commits.length));
    await until(async () => (await storedPayloads()).length === 0, { what: "the stored payloads to be gone" });
  });

  test("around what a queue takes arrives as well", async () => {
    const lengths = [119_000, 119_500, 120_000, 120_500, 127_000, 129_000];
    const deliveries = await deliver(lengths.map((bytes) => pushOf(bytes, { repository_id: 75 })));
    await assertTakenAndTold(deliveries);
    await until(async () => (await storedPayloads()).length === 0, { what: "the stored payloads to be gone" });
  });

  test("that is longer than GitHub's is 413, declared or not", async () => {
    const declared = begin(LONGEST + 1);
    assert.equal((await once(declared, "response"))[0].statusCode, 413);
    declared.destroy();
    const body = Buffer.alloc(LONGEST + 1, 0x20);
    const stream = new ReadableStream({
      start(controller) {
        for (let at = 0; at < body.length; at += 1 << 20) controller.enqueue(body.subarray(at, at + (1 << 20)));
        controller.close();
      },
    });
    expect(await post(stream, { headers: { "x-hub-signature-256": signatureOf(body) } }), 413, "payload_too_large");
  });

  test("of which little comes keeps nobody out, and is told so within seconds", async () => {
    const waiting = Array.from({ length: 8 }, (_, n) => begin(LONGEST, { address: `203.0.113.${100 + n}` }));
    const answers = Promise.all(waiting.map((request) => once(request, "response")));
    const { payload } = pushOf(10_000_000, { repository_id: 76 });
    const guid = randomUUID();
    expect(await post(JSON.stringify(payload), { guid }), 202);
    assert.deepEqual((await answers).map(([{ statusCode }]) => statusCode), Array(8).fill(503));
    for (const request of waiting) request.destroy();
    await hooked.told([guid]);
  });

  test("has to wait while as many are under way as there is memory for; a short one has not", async () => {
    const part = Buffer.alloc(24 * 1024 * 1024, 0x20);
    const held = (n) => begin(LONGEST, { address: `203.0.113.${120 + n}`, part });
    let waiting = [];
    const { payload } = pushOf(10_000_000, { repository_id: 76 });
    const text = JSON.stringify(payload);
    const crowded = await until(async () => {
      // What has come to a halt, or came while the other was under way, was refused itself.
      waiting = [0, 1].map((n) => (waiting[n]?.isAnswered === false ? waiting[n] : held(n)));
      await Promise.all(waiting.map(({ sent }) => sent));
      const answer = await post(text);
      return answer.status !== 202 && answer;
    }, { timeout: 20_000, what: "a gateway that holds two" });
    expect(crowded, 503, "not_ready");
    expect(await post(JSON.stringify(eventOf("push", { repository_id: 76 }).payload)), 202);
    for (const request of waiting) request.destroy();
    const guid = randomUUID();
    await until(async () => (await post(text, { guid })).status === 202, { what: "a gateway that has let go of them" });
    await hooked.told([guid]);
  });

  /** A long delivery of whose body no more than a part comes. */
  function begin(length, { address = "203.0.113.99", part = "{" } = {}) {
    const { hostname, port } = new URL(gateway.url);
    const headers = { "content-length": length, "cf-connecting-ip": address, "x-hub-signature-256": signatureOf("later"), "x-github-event": "push", "x-github-delivery": randomUUID() };
    const request = http.request({ hostname, port, method: "POST", path: WEBHOOK, headers });
    request.on("error", () => {});
    request.isAnswered = false;
    request.once("response", () => {
      request.isAnswered = true;
    });
    request.sent = Promise.race([new Promise((resolve) => request.write(part, resolve)), once(request, "response")]).catch(() => {});
    return request;
  }
});

describe("an installation", () => {
  /** Delivers one event of an installation, waits for it, and gives the row. */
  const after = async (name, ids, changes) => {
    const deliveries = await deliver([eventOf(name, ids, changes)]);
    await assertTakenAndTold(deliveries);
    return hooked.installation(ids.installation);
  };
  const selected = ({ selected_repositories }) => JSON.parse(selected_repositories).map(({ full_name }) => full_name);

  test("gets its identity and its lineage, and its row follows what GitHub tells", async () => {
    const ids = { installation: anInstallation(), owner_id: 81, repository_id: 82 };
    const created = await after("installation.created", ids);
    assert.match(created.chitty_id, CONTEXT_ID);
    assert.deepEqual(
      [created.account_login, created.account_id, created.account_type, created.repository_selection, created.suspended_at, created.uninstalled_at, created.owner_chitty_id],
      ["octo-org", 81, "Organization", "selected", null, null, null],
    );
    assert.deepEqual([JSON.parse(created.permissions).contents, JSON.parse(created.events)[0], selected(created)], ["read", "check_run", ["octo-org/hello-world"]]);

    const suspended = await after("installation.suspend", ids);
    assert.deepEqual([suspended.chitty_id, suspended.suspended_at], [created.chitty_id, "2025-11-04T10:00:00.000Z"]);
    assert.equal((await after("installation.unsuspend", ids)).suspended_at, null);
    assert.deepEqual(selected(await after("installation_repositories.added", ids)), ["octo-org/hello-world", "octo-org/second"]);
    assert.deepEqual(selected(await after("installation_repositories.removed", ids)), ["octo-org/hello-world"]);
    const granted = await after("installation.new_permissions_accepted", ids);
    assert.deepEqual(JSON.parse(granted.permissions), eventOf("installation.new_permissions_accepted").payload.installation.permissions);
    const deleted = await after("installation.deleted", ids);
    assert.ok(Date.parse(deleted.uninstalled_at) > Date.now() - 60_000);

    const told = (await sandbox.entries({ entityId: created.chitty_id })).entries.map(({ action }) => action);
    const lifecycle = [
      "github.installation.created", "github.installation.suspend", "github.installation.unsuspend", "github.installation_repositories.added",
      "github.installation_repositories.removed", "github.installation.new_permissions_accepted", "github.installation.deleted",
    ];
    assert.deepEqual(told, ["github.app.installed", ...lifecycle]);
    const lineage = (await sandbox.kept("dna")).find(({ chittyId }) => chittyId === created.chitty_id);
    assert.deepEqual([lineage.entity_type, lineage.events.map(({ event }) => event)], ["installation", lifecycle]);
    const minted = (await sandbox.minted()).filter(({ metadata }) => metadata.installationId === ids.installation);
    assert.deepEqual(minted.map(({ id }) => id), [created.chitty_id]);
  });

  test("ends up as GitHub has it when all of that comes at once", async () => {
    const ids = { installation: anInstallation(), owner_id: 83, repository_id: 84 };
    const names = ["created", "suspend", "unsuspend", "new_permissions_accepted", "deleted"].map((action) => `installation.${action}`);
    const deliveries = await deliver([...names.slice(0, -1), "installation_repositories.added", ...names.slice(-1)].map((name) => eventOf(name, ids)));
    await assertTakenAndTold(deliveries);
    const row = await hooked.installation(ids.installation);
    assert.ok(row.uninstalled_at !== null && row.suspended_at === null);
    assert.deepEqual(selected(row), ["octo-org/hello-world", "octo-org/second"]);
    const { entries } = await sandbox.entries({ entityId: row.chitty_id });
    assert.deepEqual(entries.map(({ action }) => action), ["github.app.installed", ...deliveries.map(actionOf)]);
  });

  test("whose older news come late stays as it is", async () => {
    const ids = { installation: anInstallation(), owner_id: 85, repository_id: 86 };
    await after("installation.created", ids);
    await after("installation.unsuspend", ids);
    assert.equal((await after("installation.suspend", ids)).suspended_at, null);
  });

  test("that was never told of is met with the first that describes it", async () => {
    const ids = { installation: anInstallation(), owner_id: 87, repository_id: 88 };
    const [push] = await deliver([eventOf("push", ids)]);
    await hooked.told([push.guid]);
    assert.equal(await hooked.installation(ids.installation), undefined, "a push describes none");
    const met = await after("installation_repositories.added", ids);
    assert.match(met.chitty_id, CONTEXT_ID);
    const { entries } = await sandbox.entries({ entityId: met.chitty_id });
    assert.deepEqual(entries.map(({ action }) => action), ["github.app.installed", "github.installation_repositories.added"]);
  });
});

describe("a gateway that cannot hand over", () => {
  const short = eventOf("push", { repository_id: 77 });
  const long = pushOf(200_000, { repository_id: 78 });

  /** Delivers both to a gateway without a binding, and what has failed again to one that has it. */
  async function withoutIt(binding) {
    const [lame, whole] = await Promise.all([hooked.another({ withoutBindings: [binding] }), hooked.another()]);
    await pointTo(sandbox, lame);
    const deliveries = await deliver([short, long]);
    await pointTo(sandbox, whole);
    const failed = deliveries.filter(({ status_code }) => status_code !== 202);
    for (const { id } of failed) assert.equal((await githubCaller(sandbox).asApp("POST", `/app/hook/deliveries/${id}/attempts`))[0], 202);
    const taken = deliveries.filter((delivery) => !failed.includes(delivery));
    await Promise.all([witness(sandbox, rowsOf(lame)).told(guidsOf(taken)), witness(sandbox, rowsOf(whole)).told(guidsOf(failed))]);
    await pointTo(sandbox, gateway);
    const account = await hooked.account();
    for (const delivery of deliveries) assertToldOnce(account, delivery);
    return deliveries.map(({ status_code }) => status_code);
  }

  test("for want of the queue says 503, and what is delivered again is taken", async () => {
    assert.deepEqual(await withoutIt("EVENT_Q"), [503, 503]);
  });

  test("for want of the storage says 503 to what is long, and what is delivered again is taken", async () => {
    assert.deepEqual(await withoutIt("CHITTYCONNECT_KV"), [202, 503]);
  });
});

test("nothing of all this was an error of the gateway's own", () => {
  const own = gateway.logs.filter(({ level, message }) => level === "error" && !/delivery_unreadable|webhook_not_taken/.test(message));
  assert.deepEqual(own, []);
});
