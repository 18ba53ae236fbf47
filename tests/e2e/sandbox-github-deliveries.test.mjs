/** What the sandbox promises of the deliveries of GitHub's webhook, and of the payloads that tests have for them. */
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, beforeEach, describe, test } from "node:test";
import { until } from "./harness/await.mjs";
import * as github from "./harness/github.mjs";
import { startSandbox } from "./harness/sandbox.mjs";

const { appJwt, eventOf, nextOf } = github;

let sandbox;
let caller;
let hook;
before(async () => {
  sandbox = await startSandbox();
  caller = github.githubCaller(sandbox);
  hook = await startHook();
});
beforeEach(async () => {
  await sandbox.reset();
  Object.assign(hook, { received: [], status: 202, hangs: false });
  await sandbox.github.set({ webhook_url: hook.url });
});
after(async () => {
  await sandbox.close();
  hook.close();
});

const asApp = (...asked) => caller.asApp(...asked);

/** A gateway that only remembers what is delivered to it. */
async function startHook() {
  const state = { received: [], status: 202, hangs: false };
  const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    state.received.push({ method: request.method, headers: request.headers, body: Buffer.concat(parts) });
    if (state.hangs) return;
    response.writeHead(state.status, { "content-type": "application/json", "x-request-id": "r1" });
    response.end('{"taken":true}');
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return Object.assign(state, {
    url: `http://127.0.0.1:${server.address().port}/webhooks`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  });
}

describe("a delivery", () => {
  test("is signed and says what it is, and its end is kept", async () => {
    const made = eventOf("issues.opened", { installation: 31, repository_id: 32 });
    const delivery = await sandbox.github.deliver(made);
    const [{ method, headers, body }] = hook.received;
    assert.equal(method, "POST");
    assert.deepEqual(JSON.parse(body), made.payload);
    assert.equal(headers["x-hub-signature-256"], github.signatureOf(body));
    assert.match(headers["x-hub-signature"], /^sha1=[0-9a-f]{40}$/);
    assert.match(headers["user-agent"], /^GitHub-Hookshot\//);
    const named = ["content-type", "x-github-event", "x-github-delivery", "x-github-hook-id", "x-github-hook-installation-target-id", "x-github-hook-installation-target-type"];
    assert.deepEqual(named.map((name) => headers[name]), ["application/json", "issues", delivery.guid, "424242", "4242", "integration"]);
    const { id, guid, delivered_at, duration, ...rest } = delivery;
    assert.ok(Number.isInteger(id) && duration >= 0 && Math.abs(Date.parse(delivered_at) - Date.now()) < 10_000);
    assert.match(guid, /^[0-9a-f-]{36}$/);
    assert.deepEqual(rest, { redelivery: false, status: "OK", status_code: 202, event: "issues", action: "opened", installation_id: 31, repository_id: 32, throttled_at: null });
    const { request, response } = await sandbox.github.delivery(id);
    assert.deepEqual([request.payload, request.headers["x-github-delivery"]], [made.payload, guid]);
    assert.deepEqual([response.payload, response.headers["x-request-id"]], ['{"taken":true}', "r1"]);
  });

  test("can be wrong in any way", async () => {
    const { event, payload } = eventOf("push");
    await sandbox.github.deliver({ event, payload, secret: "other" });
    await sandbox.github.deliver({ event, payload, signature: "sha256=00" });
    await sandbox.github.deliver({ event, payload, signature: null });
    await sandbox.github.deliver({ event, payload: "{ not JSON", guid: "g", headers: { "X-GitHub-Event": null, "content-type": "text/plain" } });
    const [other, given, none, odd] = hook.received;
    assert.equal(other.headers["x-hub-signature-256"], github.signatureOf(other.body, "other"));
    assert.equal(given.headers["x-hub-signature-256"], "sha256=00");
    assert.deepEqual([none.headers["x-hub-signature-256"], none.headers["x-hub-signature"]], [undefined, undefined]);
    assert.deepEqual([odd.body.toString(), odd.headers["x-github-delivery"], odd.headers["x-github-event"], odd.headers["content-type"]], ["{ not JSON", "g", undefined, "text/plain"]);
    assert.equal(odd.headers["x-hub-signature-256"], github.signatureOf(odd.body));
    for (const wrong of [{}, { event }, { event, payload: 1 }, { event, payload, other: 1 }, { event, payload, count: 0 }, [{ event }]]) await assert.rejects(sandbox.github.deliver(wrong), /422/);
    await sandbox.github.set({ webhook_url: null });
    await assert.rejects(sandbox.github.deliver({ event, payload }), /422/);
  });

  test("that is refused, late or arrives nowhere has failed", async () => {
    const ping = eventOf("ping");
    const end = async () => {
      const { status, status_code } = await sandbox.github.deliver(ping);
      return [status, status_code];
    };
    hook.status = 500;
    assert.deepEqual(await end(), ["Invalid HTTP Response: 500", 500]);
    hook.status = 302;
    assert.deepEqual(await end(), ["Invalid HTTP Response: 302", 302]);
    hook.hangs = true;
    await sandbox.github.set({ delivery_timeout_ms: 100 });
    assert.deepEqual(await end(), ["timed out", 504]);
    await sandbox.github.set({ webhook_url: "http://127.0.0.1:1/webhooks" });
    assert.deepEqual(await end(), ["failed to connect", 502]);
    const failed = (await asApp("GET", "/app/hook/deliveries?status=failure"))[1];
    assert.deepEqual(failed.map(({ status_code }) => status_code), [502, 504, 302, 500]);
    assert.deepEqual((await asApp("GET", "/app/hook/deliveries?status=success"))[1], []);
  });

  test("is listed for the App, the newest first, and can be made again", async () => {
    for (const name of ["ping", "push", "fork", "star.created", "issues.opened"]) await sandbox.github.deliver(eventOf(name));
    const pages = await caller.pagesOf("/app/hook/deliveries?per_page=2", appJwt());
    assert.deepEqual(pages.map((page) => page.map(({ event }) => event)), [["issues", "star"], ["fork", "push"], ["ping"]]);
    assert.match(nextOf(await caller.ask("GET", "/app/hook/deliveries?per_page=2", { token: appJwt() })), /[?&]cursor=v1_\d+$/);
    assert.equal((await asApp("GET", "/app/hook/deliveries?cursor=x"))[0], 400);
    const { id, guid } = pages[1][1];
    const [, detail] = await asApp("GET", `/app/hook/deliveries/${id}`);
    assert.deepEqual([detail.event, detail.request.payload.ref, detail.response.payload], ["push", "refs/heads/main", '{"taken":true}']);
    assert.equal((await asApp("POST", `/app/hook/deliveries/${id}/attempts`))[0], 202);
    await until(async () => (await sandbox.github.deliveries({ guid })).deliveries.every(({ status_code }, _, all) => all.length === 2 && status_code === 202), { what: "the redelivery" });
    const { deliveries } = await sandbox.github.deliveries({ guid });
    assert.deepEqual(deliveries.map(({ redelivery }) => redelivery), [false, true]);
    const [first, second] = hook.received.filter(({ headers }) => headers["x-github-delivery"] === guid);
    assert.deepEqual([second.body.equals(first.body), second.headers["x-hub-signature-256"]], [true, first.headers["x-hub-signature-256"]]);
    for (const [method, route] of [["GET", "1"], ["POST", "1/attempts"], ["GET", "x"]]) assert.equal((await asApp(method, `/app/hook/deliveries/${route}`))[0], 404);
    await sandbox.fault("github", { mode: "fail", effect: true, times: 1 });
    assert.equal((await asApp("POST", `/app/hook/deliveries/${id}/attempts`))[0], 503);
    await until(() => hook.received.length === 7, { what: "the redelivery whose answer was lost" });
  });

  test("can be many: of a template, or each its own", async () => {
    const { event, payload } = eventOf("issues.opened", {}, { issue: { number: "{{n}}", title: "Number {{n}}" } });
    const many = await sandbox.github.deliver({ event, payload, guid: "g-{{n}}", count: 300, concurrency: 20 });
    assert.deepEqual([many.total, many.statuses], [300, { 202: 300 }]);
    const numbers = hook.received.map(({ body }) => JSON.parse(body).issue);
    assert.deepEqual(numbers.map(({ number }) => number).sort((a, b) => a - b), Array.from({ length: 300 }, (_, n) => n + 1));
    assert.ok(numbers.every(({ number, title }) => title === `Number ${number}`));
    assert.equal((await sandbox.github.deliveries({ guid: "g-300" })).total, 1);
    const some = await sandbox.github.deliver([eventOf("ping"), { ...eventOf("push"), guid: "same" }, { ...eventOf("push"), guid: "same" }]);
    assert.deepEqual(some.deliveries.map(({ event }) => event), ["ping", "push", "push"]);
    assert.equal((await sandbox.github.deliveries({ guid: "same" })).total, 2);
    const three = await sandbox.github.deliver({ ...eventOf("ping"), count: 3 });
    assert.equal(new Set(three.deliveries.map(({ guid }) => guid)).size, 3);
  });

  test("can be as long as GitHub's are", async () => {
    for (const bytes of [10_000_000, 25_000_000]) {
      const push = github.pushOf(bytes);
      const { id } = await sandbox.github.deliver(push);
      const { body, headers } = hook.received.at(-1);
      assert.deepEqual([body.length, headers["x-hub-signature-256"]], [bytes, github.signatureOf(body)]);
      hook.received = [];
      assert.equal((await asApp("POST", `/app/hook/deliveries/${id}/attempts`))[0], 202);
      await until(() => hook.received.length === 1, { what: "the redelivery" });
      assert.ok(hook.received[0].body.equals(body));
    }
  });

  test("of every event that there is a fixture for, with other ids where they are given", async () => {
    assert.equal(github.EVENT_NAMES.length, 20);
    const ids = { owner_id: 1, repository_id: 2, installation: 3, sender_id: 4, id: 5, number: 6, repository: "me/mine", sender: "ada", sha: "f".repeat(40), before: "e".repeat(40) };
    for (const name of github.EVENT_NAMES) {
      const { payload } = eventOf(name, ids);
      const text = JSON.stringify(payload);
      for (const old of Object.values(github.IN_FIXTURES)) assert.ok(!text.includes(JSON.stringify(old)), `${name}: ${old}`);
      assert.equal(payload.action ?? null, name.split(".")[1] ?? null);
      if (name !== "ping") assert.deepEqual([payload.installation.id, payload.sender.login], [3, "ada"], name);
      if (payload.repository) assert.deepEqual([payload.repository.id, payload.repository.full_name, payload.repository.owner.login], [2, "me/mine", "me"], name);
    }
    assert.throws(() => eventOf("push", { other: 1 }), /no other/);
    const { deliveries } = await sandbox.github.deliver(github.EVENT_NAMES.map((name) => eventOf(name)));
    assert.ok(deliveries.every(({ status_code }) => status_code === 202));
  });
});
