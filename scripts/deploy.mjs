// `npm run deploy:staging`, `npm run deploy:production`: brings the environment's database up to
// date, then uploads the worker. With `--dry-run` it builds and checks the upload, and needs no
// account.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "./build.mjs";
import { isDryRun, ROOT } from "./lib/paths.mjs";
import { fail, say } from "./lib/say.mjs";
import { environmentOf } from "./lib/wrangler-toml.mjs";
import { wranglerIn } from "./lib/wrangler.mjs";
import { ENVIRONMENTS } from "./provision.mjs";

const environment = process.argv[2];
if (!ENVIRONMENTS.includes(environment)) fail("Usage: node scripts/deploy.mjs <staging|production> [--dry-run]");

if (!(await build("release"))) process.exit(1);
const wrangler = wranglerIn();
if (isDryRun()) dryRun();
else deploy();

function dryRun() {
  const outdir = mkdtempSync(join(tmpdir(), "chittyconnect-deploy-"));
  try {
    wrangler.text(["deploy", "--dry-run", "--env", environment, "--outdir", outdir]);
    say(`${environment}: could be deployed.`);
  } catch (error) {
    fail(error.message);
  } finally {
    rmSync(outdir, { recursive: true });
  }
}

function deploy() {
  const { namespaces, databases } = environmentOf(readFileSync(join(ROOT, "wrangler.toml"), "utf8"), environment);
  const unknown = [...namespaces.filter(({ id }) => !id), ...databases.filter(({ database_id: id }) => !id)];
  // Wrangler would make resources of its own for them.
  if (unknown.length > 0) fail(`wrangler.toml has no id for ${unknown.map(({ binding }) => binding).join(", ")} of ${environment}: run npm run provision ${environment} first.`);
  // The schema first: migrations only add, so the version that still runs works with it too.
  for (const { binding } of databases) {
    if (wrangler.show(["d1", "migrations", "apply", binding, "--remote", "--env", environment]) !== 0) fail("The migrations could not be applied: nothing was deployed.");
  }
  process.exitCode = wrangler.show(["deploy", "--env", environment]);
}
