// Reads and changes wrangler.toml line by line, so that its comments and order stay. Understands only
// the form of that file, one `key = value` a line below `[table]` headers, not all of TOML.

/**
 * @param {string} text
 * @returns {{ name: string, values: Record<string, string>, lines: Record<string, number> }[]} each
 *   table in order, with its string values and the line numbers of all keys; the top level is ""
 */
export function tablesOf(text) {
  const tables = [{ name: "", values: {}, lines: {} }];
  text.split("\n").forEach((line, number) => {
    const header = /^\s*\[{1,2}([^[\]]+)\]{1,2}\s*(#.*)?$/.exec(line);
    if (header) tables.push({ name: header[1].trim(), values: {}, lines: {} });
    const pair = header ? null : /^\s*([A-Za-z0-9_]+)\s*=\s*(.*)$/.exec(line);
    if (!pair) return;
    const table = tables.at(-1);
    table.lines[pair[1]] = number;
    const string = /^"([^"]*)"/.exec(pair[2]);
    if (string) table.values[pair[1]] = string[1];
  });
  return tables;
}

/** Returns the worker's name, the KV namespaces, the databases and the queues of one environment. */
export function environmentOf(text, environment) {
  const tables = tablesOf(text);
  const all = (name) => tables.filter((table) => table.name === `env.${environment}${name}`).map((table) => table.values);
  return {
    worker: all("")[0]?.name,
    namespaces: all(".kv_namespaces"),
    databases: all(".d1_databases"),
    queues: [...new Set([
      ...all(".queues.producers").map((producer) => producer.queue),
      ...all(".queues.consumers").flatMap((consumer) => [consumer.queue, consumer.dead_letter_queue]),
    ])].filter(Boolean),
  };
}

/** The custom domains of an environment: those that it has, and those, commented out, that it may claim. */
export function domainsOf(text, environment) {
  const lines = routesOf(text, environment).lines;
  const named = (pattern) => lines.map((line) => pattern.exec(line)?.[1]).filter(Boolean);
  return { claimed: named(/^\s*\{ pattern = "([^"]+)"/), claimable: named(/^\s*# \{ pattern = "([^"]+)"/) };
}

/** Returns the text with a domain claimed. Throws if the environment may not claim it. */
export function withDomain(text, environment, name) {
  const { claimed, claimable } = domainsOf(text, environment);
  if (claimed.includes(name)) return text;
  if (!claimable.includes(name)) throw new Error(`${environment} may not claim ${name}; wrangler.toml names ${claimable.join(" and ") || "nothing"} to be claimed.`);
  const { start, lines } = routesOf(text, environment);
  const all = text.split("\n");
  const place = start + lines.findIndex((line) => line.trim().startsWith(`# { pattern = "${name}"`));
  all[place] = all[place].replace("# {", "{");
  return all.join("\n");
}

/** Returns the text without custom domains. A deploy with it leaves the account's domains as they are. */
export function withoutDomains(text, environment) {
  const { start, lines } = routesOf(text, environment);
  const all = text.split("\n");
  all.splice(start, lines.length);
  return all.join("\n");
}

/** The lines of `routes = [ … ]` of an environment, and where they begin. */
function routesOf(text, environment) {
  const table = tablesOf(text).find(({ name }) => name === `env.${environment}`);
  const start = table?.lines.routes;
  if (start === undefined) throw new Error(`wrangler.toml has no routes for ${environment}`);
  const rest = text.split("\n").slice(start);
  return { start, lines: rest.slice(0, rest.findIndex((line) => line.trim() === "]") + 1) };
}

/** Sets `key` in the table of that name whose binding is `binding`, below that line if it is new. */
export function withValue(text, name, binding, key, value) {
  const table = tablesOf(text).find((one) => one.name === name && one.values.binding === binding);
  if (!table) throw new Error(`wrangler.toml has no [[${name}]] with binding = "${binding}"`);
  const lines = text.split("\n");
  const line = `${key} = "${value}"`;
  if (key in table.lines) lines[table.lines[key]] = line;
  else lines.splice(table.lines.binding + 1, 0, line);
  return lines.join("\n");
}
