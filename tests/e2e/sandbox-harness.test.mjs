/** What the harness hands a gateway besides its code: where the sandbox is, and the rate limits of its wrangler.toml. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { startGateway } from "./harness/gateway.mjs";

const WORKER = `export default {
  async fetch(request, env) {
    const limited = [];
    for (let call = 0; call < 3; call += 1) limited.push((await env.RATE_2?.limit({ key: "k" }))?.success);
    return Response.json({ limited, services: env.SERVICE_URL_TEMPLATE, outside: env.OUTSIDE_URL_TEMPLATE });
  },
};`;
const PLAIN = 'name = "gateway"\nmain = "worker.mjs"\ncompatibility_date = "2026-11-01"\n';
const LIMITED = `${PLAIN}\n[[ratelimits]]\nname = "RATE_2"\nnamespace_id = "2"\nsimple = { limit = 2, period = 60 }\n`;

async function answersOf(toml, isolates = 1) {
  const directory = mkdtempSync(path.join(os.tmpdir(), "harness-"));
  try {
    writeFileSync(path.join(directory, "worker.mjs"), WORKER);
    writeFileSync(path.join(directory, "wrangler.toml"), toml);
    const gateway = await startGateway({ config: path.join(directory, "wrangler.toml"), sandboxUrl: "http://sandbox", isolates });
    try {
      const answers = [];
      for (let isolate = 0; isolate < isolates; isolate += 1) answers.push(await (await gateway.fetch("/", {}, { isolate })).json());
      return answers;
    } finally {
      await gateway.close();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

test("the addresses of services and hosts outside are the sandbox's, with and without rate limits", async () => {
  const [{ limited, ...addresses }] = await answersOf(PLAIN);
  assert.deepEqual(addresses, { services: "http://sandbox/{name}", outside: "http://sandbox/_outside/{host}" });
  assert.ok(limited.every((success) => success === null));
});

test("a rate limit of wrangler.toml counts, over every isolate", async () => {
  const successes = (await answersOf(LIMITED, 2)).flatMap(({ limited }) => limited);
  // The windows are the clock's minutes: one may end meanwhile.
  const passed = successes.filter(Boolean).length;
  assert.ok(successes.length === 6 && passed >= 2 && passed <= 4, JSON.stringify(successes));
});
