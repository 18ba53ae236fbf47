/** The record of who did what: who sees what of it, that it is whole, and that it notices what is done to it. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { actorId } from "../../sandbox/chitty-id.mjs";
import { startAccess } from "./harness/access.mjs";
import { until } from "./harness/await.mjs";
import { client, create } from "./harness/client.mjs";
import { PAST } from "./harness/contents.mjs";
import { byKey, delegate, expect, makeKey, pages, register } from "./harness/people.mjs";

let access, gateway, another, admin, person, rows, grant, complaints;

before(async () => {
  access = await startAccess("audited");
  ({ gateway, another, admin, person, rows, grant, complaints } = access);
});

after(() => access?.close());

describe("the audit", () => {
  /** What others did before: more than one page of it. */
  before(async () => {
    const earlier = Array.from({ length: 4 }, person);
    await Promise.all(Array.from({ length: 80 }, (_, n) => create(earlier[n % 4].call, { name: `earlier ${n}` })));
  });

  test("tells who did what, by which credential, to administrators all and to others their own", async () => {
    const [one, other] = [person(), person()];
    const first = await create(one.call, { name: "secret name" });
    const key = await makeKey(one.call);
    const delegation = await delegate(one.call, { scopes: ["read", "write"] });
    await create(byKey(gateway, key.key), { name: "by key" });
    await create(client(gateway, delegation.token), { name: "by delegation" });
    await register(one.call, { email: "one@example.org" });
    await grant(one.id, ["keys:*"]);
    await create(other.call, { name: "other's" });
    const entries = (call, query = "") => pages(call, `/v1/audit${query}`, "entries").then((list) => list.flat());
    const mine = await entries(one.call);
    // Own tokens are told apart by the beginning of their SHA-256.
    const own = (via) => via.replace(/^token:[0-9a-f]{16}$/, "token");
    const short = mine.map(({ actor_id, via, action, entity_type }) => [actor_id, own(via), action, entity_type]).sort();
    assert.deepEqual(short, [
      [one.id, "token", "context.created", "context"],
      [one.id, "token", "key.created", "key"],
      [one.id, "token", "delegation.created", "delegation"],
      [one.id, `key:${key.key_id}`, "context.created", "context"],
      [one.id, `delegation:${delegation.delegation_id}`, "context.created", "context"],
      [one.id, "token", "actor.registered", "actor"],
      [actorId("admin"), "token", "actor.capabilities_changed", "actor"],
    ].sort());
    for (const entry of mine) assert.deepEqual(Object.keys(entry).sort(), ["action", "actor_id", "at", "detail", "entity_id", "entity_type", "event_id", "outcome", "seq", "via"]);
    for (const secret of ["secret name", "one@example.org", key.key, delegation.token]) assert.ok(!JSON.stringify(mine).includes(secret), secret);
    assert.deepEqual((await entries(other.call)).map(({ action }) => action), ["context.created"]);
    expect(await other.call("GET", `/v1/audit?actor=${one.id}`), 422, "validation_failed");
    assert.deepEqual(await entries(other.call, `?entity=${first.chitty_id}`), []);

    const found = await entries(admin, `?entity=${first.chitty_id}`);
    assert.deepEqual(found.map(({ action, actor_id }) => [action, actor_id]), [["context.created", one.id]]);
    const seqs = (list) => list.map(({ seq }) => seq).sort((a, b) => a - b);
    assert.deepEqual(seqs(await entries(admin, `?actor=${one.id}`)), seqs(mine.filter(({ actor_id }) => actor_id === one.id)));
    assert.ok((await entries(admin, `?actor=${one.id}&action=key.created`)).length === 1);
    const all = await entries(admin, "?limit=50");
    assert.deepEqual(seqs(all), Array.from(all, (_, index) => index + 1), "page by page, and no number is missing");
  });

  test("is written with the change, or neither is", async () => {
    const { call, id } = person();
    await Promise.all(Array.from({ length: 10 }, () => call("POST", "/v1/contexts", { body: { name: "wanted" } })));
    const made = await rows("SELECT chitty_id FROM contexts WHERE owner_chitty_id = ?1", id);
    const told = await rows("SELECT entity_id FROM audit WHERE actor_id = ?1 AND action = 'context.created'", id);
    assert.deepEqual(told.map(({ entity_id }) => entity_id), made.map(({ chitty_id }) => chitty_id));
    assert.equal(made.length, 1);
  });

  /** The whole verification, page by page. */
  const verify = async (by) => {
    const reports = [];
    for (let path = "/v1/audit/verify"; path; ) {
      const { status, json, text } = await by("GET", path);
      assert.equal(status, 200, text);
      reports.push(json);
      path = json.next && `/v1/audit/verify?from=${json.next}`;
    }
    return reports;
  };

  test("is sealed in the background and by the cron, and verifies", async () => {
    await create(person().call, { name: "sealed" });
    await gateway.scheduled();
    const [{ seq: last }] = await rows("SELECT max(seq) AS seq FROM audit");
    const reports = await until(async () => {
      const found = await verify(admin);
      return found.at(-1).sealed_to >= last && found;
    }, { what: "the seal" });
    for (const { valid, fault } of reports) assert.deepEqual([valid, fault], [true, null]);
    assert.match(reports.at(-1).head.hash, /^[0-9a-f]{64}$/);
    assert.equal(reports.at(-1).unsealed, 0);
    for (const sql of ["UPDATE audit SET actor_id = 'x'", "DELETE FROM audit", "UPDATE audit SET detail = '{}' WHERE seq = 1"]) {
      await assert.rejects(rows(sql), /append-only/, sql);
    }
    expect(await person().call("GET", "/v1/audit/verify"), 403, "insufficient_scope");
  });

  describe("notices", () => {
    let boss, db, last;
    before(async () => {
      const mortal = await another();
      const call = client(mortal, "dev-forger");
      boss = client(mortal, "dev-admin");
      for (let n = 0; n < 8; n += 1) await create(call, { name: `n ${n}` });
      await until(async () => {
        await mortal.scheduled();
        return (await verify(boss)).at(-1).unsealed === 0;
      }, { what: "the seal" });
      db = await mortal.db();
      for (const trigger of ["audit_is_append_only", "audit_keeps_all"]) await db.exec(`DROP TRIGGER ${trigger}`);
      for (const name of ["audit", "audit_seals"]) await db.exec(`CREATE TABLE kept_${name} AS SELECT * FROM ${name}`);
      last = await db.prepare("SELECT max(seq) AS seq FROM audit").first("seq");
    });

    for (const [what, alter, at] of [
      ["that what was done is another", "UPDATE audit SET detail = '{\"altered\":true}' WHERE seq = 4", () => 4],
      ["that somebody else has done it", "UPDATE audit SET actor_id = '03-1-USA-9002-T-2602-0-81' WHERE seq = 4", () => 4],
      ["that it was at another time", `UPDATE audit SET at = '${PAST}' WHERE seq = 1`, () => 1],
      ["that it was by another credential", "UPDATE audit SET via = 'key:key_x' WHERE seq = 4", () => 4],
      ["that it was to something else", "UPDATE audit SET entity_id = 'x' WHERE seq = 4", () => 4],
      ["that a row is gone", "DELETE FROM audit WHERE seq = 4", () => 4],
      ["that the first row is gone", "DELETE FROM audit WHERE seq = 1", () => 1],
      ["that the last rows are gone", "DELETE FROM audit WHERE seq >= (SELECT max(seq) FROM audit) - 1", () => last - 1],
      ["that a seal is another", `UPDATE audit_seals SET hash = '${"0".repeat(64)}' WHERE seq = 4`, () => 4],
      ["that a seal is gone", "DELETE FROM audit_seals WHERE seq = 4", () => 4],
      ["that two rows have changed places", "UPDATE audit SET seq = CASE seq WHEN 4 THEN 1000 ELSE 4 END WHERE seq IN (4, 5); UPDATE audit SET seq = 5 WHERE seq = 1000", () => 4],
    ]) {
      test(what, async () => {
        assert.ok((await verify(boss)).every(({ valid }) => valid));
        for (const statement of alter.split("; ")) await db.exec(statement);
        const faulty = (await verify(boss)).find(({ valid }) => !valid);
        for (const name of ["audit", "audit_seals"]) await db.batch([db.prepare(`DELETE FROM ${name}`), db.prepare(`INSERT INTO ${name} SELECT * FROM kept_${name}`)]);
        assert.equal(faulty?.fault.seq, at(), JSON.stringify(faulty));
      });
    }
  });
});

test("nothing above made the gateway complain", () => {
  assert.deepEqual(complaints(), []);
});
