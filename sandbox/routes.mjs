/** Routes with named segments, such as `/repos/{owner}/{repo}`; `{path...}` matches the rest of the path. */

/** Compiles `[["GET /a/{b}", ...rest], ...]` for `match`. */
export function compile(table) {
  return table.map(([route, ...rest]) => {
    const [method, path] = route.split(" ");
    const names = Array.from(path.matchAll(/\{(\w+)(?:\.\.\.)?\}/g), ([, name]) => name);
    const pattern = path.replace(/\{\w+\.\.\.\}/, "(.*)").replaceAll(/\{\w+\}/g, "([^/]+)");
    return { method, names, pattern: new RegExp(`^${pattern}$`), rest };
  });
}

/** `{rest, params}` of the first route that matches, or `null`. */
export function match(routes, method, path) {
  for (const route of routes) {
    const found = route.method === method ? route.pattern.exec(path) : null;
    if (found) return { rest: route.rest, params: Object.fromEntries(route.names.map((name, index) => [name, decodeURIComponent(found[index + 1])])) };
  }
  return null;
}
