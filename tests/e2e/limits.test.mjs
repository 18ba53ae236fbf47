/** Limits of how often, of an actor, of an address, and those that an operator sets; and quotas of how much. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startAccess } from "./harness/access.mjs";
import { client } from "./harness/client.mjs";
import { expect } from "./harness/people.mjs";

const LIMITS = { RATE_LIMIT_READ: "5", RATE_LIMIT_WRITE: "3", RATE_LIMIT_MINT: "2", RATE_LIMIT_VALIDATE: "4", RATE_LIMIT_AUTHENTICATE: "40", RATE_LIMIT_PUBLIC: "4", QUOTA_DELEGATIONS: "2" };

let access, sandbox, gateway, anyone, person;

before(async () => {
  access = await startAccess("limited", { vars: LIMITS });
  ({ sandbox, gateway, anyone, person } = access);
});

after(() => access?.close());

describe("limits", () => {
  let addresses = 0;
  /** A caller from an address of its own. */
  const from = (address, token) => {
    const call = client(gateway, token);
    return (method, path, options = {}) => call(method, path, { ...options, headers: { "cf-connecting-ip": address, ...options.headers } });
  };
  const fresh = () => `203.0.113.${(addresses += 1)}`;
  const isLimited = (answer, name, quota) => {
    expect(answer, 429, "rate_limited");
    const [retry, policy, limit] = ["retry-after", "ratelimit-policy", "ratelimit"].map((header) => answer.headers.get(header));
    assert.equal(policy, `"${name}";q=${quota};w=60`);
    const seconds = new RegExp(`^"${name}";r=0;t=(\\d+)$`).exec(limit)?.[1];
    assert.equal(retry, seconds, limit);
    assert.ok(Number(seconds) >= 1 && Number(seconds) <= 60, limit);
  };
  const several = async (count, send) => {
    const answers = [];
    for (let n = 0; n < count; n += 1) answers.push(await send(n));
    return answers;
  };

  test("hold for an actor, whatever credential it uses, and for no other", async () => {
    const [mine, other] = [person(), person()];
    const call = from(fresh(), mine.token);
    const mint = (n) => call("POST", "/v1/contexts", { body: { name: `n ${n}` } });
    const made = await several(2, mint);
    assert.deepEqual(made.map(({ status }) => status), [201, 201]);
    isLimited(await mint(3), "mint", 2);
    const path = made[0].headers.get("location");
    const change = (n) => call("PATCH", path, { body: { name: `changed ${n}` } });
    assert.deepEqual((await several(3, change)).map(({ status }) => status), [200, 200, 200]);
    isLimited(await change(4), "write", 3);
    const readers = [call, from(fresh(), `${mine.token}+ro`), from(fresh(), await sandbox.jwt({ name: mine.name }))];
    assert.deepEqual((await several(5, (n) => readers[n % 3]("GET", path))).map(({ status }) => status), [200, 200, 200, 200, 200]);
    for (const reader of readers) isLimited(await reader("GET", path), "read", 5);
    assert.equal((await from(fresh(), other.token)("GET", "/v1/contexts")).status, 200);
    assert.equal((await anyone("GET", "/health")).status, 200);
  });

  test("hold for many at once", async () => {
    const { token } = person();
    const call = from(fresh(), token);
    const answers = await Promise.all(Array.from({ length: 30 }, () => call("GET", "/v1/contexts")));
    assert.equal(answers.filter(({ status }) => status === 200).length, 5);
    for (const answer of answers) if (answer.status !== 200) isLimited(answer, "read", 5);
  });

  test("an operator sets others for an actor", async () => {
    const kv = await gateway.kv("RATE_LIMIT");
    const set = async (value) => {
      const one = person();
      await kv.put(`actor:${one.id}`, value);
      return from(fresh(), one.token);
    };
    const more = await set(JSON.stringify({ read: 7 }));
    assert.deepEqual((await several(7, () => more("GET", "/v1/contexts"))).map(({ status }) => status), Array(7).fill(200));
    isLimited(await more("GET", "/v1/contexts"), "read", 7);
    const none = await set(JSON.stringify({ read: 0, write: 0, mint: 0 }));
    assert.deepEqual((await several(12, () => none("GET", "/v1/contexts"))).map(({ status }) => status), Array(12).fill(200));
    const broken = await set("{read");
    assert.equal((await several(6, () => broken("GET", "/v1/contexts"))).filter(({ status }) => status === 200).length, 5, "the usual one");
  });

  test("guessing counts for the address", async () => {
    const address = fresh();
    const guess = (n) => from(address, ["guess", "cdt_guess", "chitty_guess"][n % 3] + n)("GET", "/v1/contexts");
    assert.deepEqual([...new Set((await several(40, guess)).map(({ code }) => code))], ["invalid_token"]);
    const asked = await sandbox.count("auth", "/v1/tokens/validate");
    isLimited(await guess(41), "authenticate", 40);
    assert.equal(await sandbox.count("auth", "/v1/tokens/validate"), asked, "ChittyAuth is not asked");
    assert.equal((await from(fresh(), "guess")("GET", "/v1/contexts")).code, "invalid_token", "another address");
  });

  test("an IPv6 network is one address", async () => {
    const guess = (n) => from(`2001:db8:1:2::${(n % 9) + 1}`, `guess-${n}`)("GET", "/v1/contexts");
    await several(40, guess);
    isLimited(await guess(41), "authenticate", 40);
    assert.equal((await from("2001:db8:1:3::1", "guess")("GET", "/v1/contexts")).code, "invalid_token");
  });

  test("validation counts for the address", async () => {
    const call = from(fresh());
    const validate = () => call("POST", "/v1/delegate/validate", { body: { token: "cdt_x" } });
    assert.deepEqual((await several(4, validate)).map(({ status }) => status), [200, 200, 200, 200]);
    isLimited(await validate(), "validate", 4);
  });

  test("questions about single services count for the address, the documents do not", async () => {
    const call = from(fresh());
    const ask = () => call("GET", "/api/discover/chittyid");
    assert.deepEqual((await several(4, ask)).map(({ status }) => status), [200, 200, 200, 200]);
    isLimited(await ask(), "public", 4);
    isLimited(await call("POST", "/api/v1/connect/discover"), "public", 4);
    for (const path of ["/.well-known/chitty.json", "/api/services"]) {
      const answer = await call("GET", path);
      assert.deepEqual([answer.status, answer.headers.get("ratelimit")], [200, null], path);
    }
    assert.equal((await from(fresh())("GET", "/api/discover/chittyid")).status, 200);
  });
});

test("a list as long as a body is refused before it is compared, and others are served meanwhile", async () => {
  const { token } = person();
  const call = client(gateway, token);
  const capabilities = Array.from({ length: 140_000 }, (_, n) => n.toString(36));
  const body = { actor_type: "ai", capabilities };
  assert.ok(JSON.stringify(body).length > 900_000);
  const started = Date.now();
  const answers = await Promise.all([
    call("POST", "/v1/actors/register", { body }),
    ...Array.from({ length: 5 }, () => anyone("GET", "/health")),
  ]);
  expect(answers[0], 422, "validation_failed");
  assert.ok(answers.slice(1).every(({ status }) => status === 200));
  // It took eighty seconds before its length came first; a busy machine is given three.
  assert.ok(Date.now() - started < 3_000, `${Date.now() - started} ms`);
});

test("of many requests at once as many succeed as there is room for", async () => {
  const call = client(gateway, person().token);
  const make = () => call("POST", "/v1/delegate", { body: { target_service: "connect", scopes: ["read"] } });
  const made = await Promise.all([make(), make(), make()]);
  assert.deepEqual(made.map(({ status }) => status).toSorted(), [201, 201, 403]);
  expect(made.find(({ status }) => status === 403), 403, "quota_exceeded");
});
