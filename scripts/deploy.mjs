// `npm run deploy:staging`, `npm run deploy:production`: brings the environment's database up to
// date, then uploads the worker. With `--dry-run` it builds and checks the upload, and needs no
// account.
//
// In a terminal, wrangler asks before it takes a custom domain from another worker; without a terminal
// it takes the domain without asking. So without a terminal this script leaves the domains as they are.
// `--claim=NAME` takes a further domain, only in a terminal, and notes it in wrangler.toml.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "./build.mjs";
import { isDryRun, isMain, ROOT } from "./lib/paths.mjs";
import { fail, say } from "./lib/say.mjs";
import { environmentOf, withDomain, withoutDomains } from "./lib/wrangler-toml.mjs";
import { wranglerIn } from "./lib/wrangler.mjs";
import { ENVIRONMENTS } from "./provision.mjs";

/** The configuration for a wrangler that cannot ask. Beside wrangler.toml: its paths are relative. */
const WITHOUT_DOMAINS = "wrangler.no-domains.toml";

/** Whether wrangler can ask a person. */
const inTerminal = () => Boolean(process.stdin.isTTY && process.stdout.isTTY);

/** Throws the reason if the deployment cannot be made as asked. Changes nothing. */
export function check({ environment, claims, root = ROOT, isTerminal = inTerminal() }) {
  const text = readFileSync(join(root, "wrangler.toml"), "utf8");
  if (claims.length > 0 && !isTerminal) throw new Error(`${claims.join(", ")} may belong to another worker: claim it from a terminal, where wrangler asks before it takes it.`);
  claims.reduce((claimed, name) => withDomain(claimed, environment, name), text);
  const { namespaces, databases } = environmentOf(text, environment);
  const unknown = [...namespaces.filter(({ id }) => !id), ...databases.filter(({ database_id: id }) => !id)];
  // Without an id wrangler would make new resources.
  if (unknown.length > 0) throw new Error(`wrangler.toml has no id for ${unknown.map(({ binding }) => binding).join(", ")} of ${environment}: run npm run provision ${environment} first.`);
}

/** Deploys what is built and returns wrangler's exit code. Throws if it stops before wrangler deploys. */
export function deploy({ environment, claims = [], root = ROOT, wrangler = wranglerIn(root), isTerminal = inTerminal(), print = say }) {
  check({ environment, claims, root, isTerminal });
  const file = join(root, "wrangler.toml");
  const text = readFileSync(file, "utf8");
  // The schema first: migrations only add, so the version that still runs works with it too.
  for (const { binding } of environmentOf(text, environment).databases) {
    if (wrangler.show(["d1", "migrations", "apply", binding, "--remote", "--env", environment]) !== 0) throw new Error("The migrations could not be applied: nothing was deployed.");
  }
  if (!isTerminal) return deployWithoutDomains({ text, environment, root, wrangler, print });
  if (claims.length === 0) return wrangler.ask(["deploy", "--env", environment]);
  writeFileSync(file, claims.reduce((claimed, name) => withDomain(claimed, environment, name), text));
  const code = wrangler.ask(["deploy", "--env", environment]);
  if (code === 0) print(`Claimed ${claims.join(", ")}. Commit wrangler.toml: the next deploy from a terminal releases every domain that is not in it.`);
  else writeFileSync(file, text);
  return code;
}

function deployWithoutDomains({ text, environment, root, wrangler, print }) {
  const file = join(root, WITHOUT_DOMAINS);
  writeFileSync(file, withoutDomains(text, environment));
  try {
    print("No terminal, so wrangler cannot ask: the custom domains stay as they are. To change them, deploy from a terminal.");
    return wrangler.show(["deploy", "--env", environment, "--config", WITHOUT_DOMAINS]);
  } finally {
    rmSync(file);
  }
}

function dryRun(environment, wrangler) {
  const outdir = mkdtempSync(join(tmpdir(), "chittyconnect-deploy-"));
  try {
    wrangler.text(["deploy", "--dry-run", "--env", environment, "--outdir", outdir]);
    say(`${environment}: could be deployed.`);
  } finally {
    rmSync(outdir, { recursive: true });
  }
}

/** The names after `--claim=`. */
const claimsOf = (args) => args.filter((arg) => arg.startsWith("--claim=")).flatMap((arg) => arg.slice("--claim=".length).split(",")).filter(Boolean);

if (isMain(import.meta.url)) {
  const environment = process.argv[2];
  const claims = claimsOf(process.argv.slice(3));
  const isKnown = (arg) => arg === "--dry-run" || arg.startsWith("--claim=");
  if (!ENVIRONMENTS.includes(environment) || !process.argv.slice(3).every(isKnown)) fail("Usage: node scripts/deploy.mjs <staging|production> [--claim=NAME] [--dry-run]");
  try {
    if (!isDryRun()) check({ environment, claims });
    if (!(await build("release"))) process.exit(1);
    if (isDryRun()) dryRun(environment, wranglerIn());
    else process.exitCode = deploy({ environment, claims });
  } catch (error) {
    fail(error.message);
  }
}
