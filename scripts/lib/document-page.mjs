import { Marked, Renderer } from "marked";
import { escaped, page } from "./page.mjs";

/** The id of a heading, as GitHub makes it: by it documents link to each other. */
export function slug(heading) {
  return heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replace(/\s/g, "-");
}

/**
 * The page of a document: its Markdown as HTML, with links among the documents that lead to their pages.
 * What a document links to beside those is in the repository and has no address here: its text stays.
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
    // What looks like HTML is text.
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
