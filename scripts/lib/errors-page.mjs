import { escaped, page } from "./page.mjs";

/**
 * Returns the page that a problem's `type` links to, made from docs/errors.md: each row of its table
 * becomes a section whose id is the code. Throws when the table is missing.
 */
export function errorsPage(markdown) {
  const rows = [...markdown.matchAll(/^\| `(\w+)` \| (\d{3}) \| (.+) \|$/gm)];
  if (rows.length === 0) throw new Error("docs/errors.md has no table of codes.");
  const sections = rows.map(
    ([, code, status, meaning]) => `      <section id="${code}"><h2><code>${code}</code> <small>${status}</small></h2><p>${inline(meaning)}</p></section>`,
  );
  const body = `    <main>
      <h1>Errors</h1>
      <p>Every error is <code>application/problem+json</code> with one of these codes. <a href="/docs">The API</a></p>
${sections.join("\n")}
    </main>`;
  return page("ChittyConnect errors", body);
}

function inline(text) {
  return escaped(text).replace(/`([^`]+)`/g, "<code>$1</code>");
}
