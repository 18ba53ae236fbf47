// `npm run provision <staging|production>`: makes the resources of one environment that its section
// of wrangler.toml names and the account does not have, writes their ids into that file, brings the
// database up to date and lists the secrets that are not set. Safe to run again: it leaves existing
// resources alone. With `--dry-run` it only says what it would do, and needs no account.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDryRun, isMain, ROOT } from "./lib/paths.mjs";
import { fail, say } from "./lib/say.mjs";
import { environmentOf, withValue } from "./lib/wrangler-toml.mjs";
import { wranglerIn } from "./lib/wrangler.mjs";
import { setup } from "./setup.mjs";

export const ENVIRONMENTS = ["staging", "production"];

/**
 * Provisions `environment` as the wrangler.toml in `root` describes it. Throws wrangler's messages when
 * it fails; the next run finds the resources that were made until then.
 */
export async function provision({ environment, root = ROOT, wrangler = wranglerIn(root), print = say }) {
  const file = join(root, "wrangler.toml");
  const read = () => readFileSync(file, "utf8");
  const record = (table, binding, key, id) => writeFileSync(file, withValue(read(), `env.${environment}.${table}`, binding, key, id));
  const wanted = environmentOf(read(), environment);

  const kv = resource({
    kind: "KV namespace",
    list: () => wrangler.json(["kv", "namespace", "list"]).map(({ title, id }) => [title, id]),
    create: (title) => wrangler.text(["kv", "namespace", "create", title]),
    print,
  });
  for (const { binding } of wanted.namespaces) record("kv_namespaces", binding, "id", kv.ensure(namespaceTitle(wanted.worker, binding)));

  const d1 = resource({
    kind: "D1 database",
    list: () => wrangler.json(["d1", "list", "--json"]).map(({ name, uuid }) => [name, uuid]),
    create: (name) => wrangler.text(["d1", "create", name]),
    print,
  });
  for (const { binding, database_name } of wanted.databases) record("d1_databases", binding, "database_id", d1.ensure(database_name));

  for (const queue of wanted.queues) ensureQueue(wrangler, queue, print);

  for (const { binding } of wanted.databases) {
    const code = wrangler.show(["d1", "migrations", "apply", binding, "--remote", "--env", environment]);
    if (code !== 0) throw new Error(`The migrations of ${binding} could not be applied: see above.`);
  }

  const missing = missingSecrets(wrangler, environment, root);
  if (missing.length > 0) print(`\n${missing.length} secrets are not set. To set one:`);
  for (const name of missing) print(`  npx wrangler secret put ${name} --env ${environment}`);
  print(`\nDone. Commit the ids in wrangler.toml, then: npm run deploy:${environment}`);
}

/** Returns what `provision` would do at most, by wrangler.toml alone. */
export function plan({ environment, root = ROOT }) {
  const wanted = environmentOf(readFileSync(join(root, "wrangler.toml"), "utf8"), environment);
  return [
    ...wanted.namespaces.map(({ binding, id }) => `KV namespace ${namespaceTitle(wanted.worker, binding)} for ${binding}${noted(id)}`),
    ...wanted.databases.map(({ binding, database_name, database_id }) => `D1 database ${database_name} for ${binding}${noted(database_id)}, and its migrations`),
    ...wanted.queues.map((queue) => `queue ${queue}`),
    ...secretNames(root).map((name) => `check of the secret ${name}`),
  ];
}

const noted = (id) => (id ? ` (noted as ${id})` : "");

/** Returns the name that wrangler itself would give to a namespace. */
function namespaceTitle(worker, binding) {
  return `${worker}-${binding.toLowerCase().replaceAll("_", "-")}`;
}

/** Finds resources by name, makes the missing ones, and returns their ids in the account. */
function resource({ kind, list, create, print }) {
  let existing = new Map(list());
  return {
    ensure(name) {
      if (existing.has(name)) print(`${kind} ${name} exists`);
      else {
        create(name);
        existing = new Map(list());
        if (!existing.has(name)) throw new Error(`${kind} ${name} was made, but the account does not list it yet: run this again.`);
        print(`${kind} ${name} made`);
      }
      return existing.get(name);
    },
  };
}

/** Makes a queue unless it exists. Looks it up by name: wrangler lists queues only as a drawn table. */
function ensureQueue(wrangler, queue, print) {
  try {
    wrangler.text(["queues", "info", queue]);
    print(`queue ${queue} exists`);
  } catch (error) {
    if (!error.message.includes("does not exist")) throw error;
    wrangler.text(["queues", "create", queue]);
    print(`queue ${queue} made`);
  }
}

function missingSecrets(wrangler, environment, root) {
  const names = secretNames(root);
  try {
    const set = wrangler.json(["secret", "list", "--env", environment]).map(({ name }) => name);
    return names.filter((name) => !set.includes(name));
  } catch (error) {
    // A worker that was never deployed has no secrets.
    if (/Worker ".*not found/.test(error.message)) return names;
    throw error;
  }
}

/** The names in .dev.vars.example. */
function secretNames(root) {
  return [...readFileSync(join(root, ".dev.vars.example"), "utf8").matchAll(/^([A-Z][A-Z0-9_]*)=/gm)].map(([, name]) => name);
}

if (isMain(import.meta.url)) {
  const environment = process.argv[2];
  if (!ENVIRONMENTS.includes(environment)) fail("Usage: npm run provision <staging|production> [--dry-run]");
  if (isDryRun()) {
    say(`For ${environment}, each of these that does not exist would be made:`);
    for (const line of plan({ environment })) console.log(`  ${line}`);
  } else {
    await setup();
    await provision({ environment }).catch((error) => fail(error.message));
  }
}
