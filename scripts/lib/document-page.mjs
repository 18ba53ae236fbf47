import { Marked, Renderer } from "marked";
import { escaped, page } from "./page.mjs";

/** Returns the id of a heading as GitHub makes it, because the documents link to headings by it. */
export function slug(heading) {
  return heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replace(/\s/g, "-");
}

/**
 * Returns the page of a document: its Markdown as HTML, in which links to other documents lead to their
 * pages. A link to another file of the repository becomes plain text, because it has no address here.
 *
 * @param {string} markdown the document
 * @param {string[]} documents the names of all documents, without `.md`
 */
export function documentPage(markdown, documents) {
  const usual = new Renderer();
  const renderer = {
    heading({ tokens, depth, text }) {
      return `<h${depth} id="${slug(text)}">${this.parser.parseInline(tokens)}</h${depth}>\n`;
    },
    link(token) {
      const [, name, part] = /^([\w-]+)\.md(#.*)?$/.exec(token.href) ?? [];
      if (documents.includes(name)) return usual.link.call(this, { ...token, href: `/docs/${name}${part ?? ""}` });
      if (/^(https?:|#)/.test(token.href)) return usual.link.call(this, token);
      return this.parser.parseInline(token.tokens);
    },
    table(token) {
      return `<div class="wide">${usual.table.call(this, token)}</div>`;
    },
    // HTML in a document is shown as text.
    html: ({ text }) => escaped(text),
  };
  const title = /^# (.+)$/m.exec(markdown)?.[1] ?? "";
  const links = documents.map((name) => `<a href="/docs/${name}">${name}</a>`);
  const body = `    <nav aria-label="Documents"><a href="/docs">API</a> ${links.join(" ")}</nav>
    <main>
${new Marked({ renderer }).parse(markdown)}
    </main>`;
  return page(`${title} – ChittyConnect`, body);
}
