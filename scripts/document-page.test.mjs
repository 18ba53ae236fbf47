/** The documents as pages: their links to each other have targets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { documentPage } from "./lib/document-page.mjs";
import { DOCUMENTS, pageOf } from "./lib/docs-page.mjs";

test("headings, links, tables and text that looks like HTML", () => {
  const page = documentPage("# A `b`\n\n[one](two.md#c) [file](../src/x.rs) [out](https://a.example)\n\n<form>\n\n|a|\n|-|\n|b|\n", ["two"]);
  assert.match(page, /<title>A `b` – ChittyConnect<\/title>/);
  assert.match(page, /<h1 id="a-b">A <code>b<\/code><\/h1>/);
  assert.match(page, /<a href="\/docs\/two#c">one<\/a> file <a href="https:\/\/a.example">out<\/a>/);
  assert.match(page, /&lt;form&gt;/);
  assert.match(page, /<div class="wide"><table>/);
});

test("every link between the documents has a target", () => {
  assert.ok(DOCUMENTS.includes("access") && DOCUMENTS.includes("architecture"), DOCUMENTS.join());
  const pages = new Map(DOCUMENTS.map((name) => [name, pageOf(name)]));
  let links = 0;
  for (const [name, page] of pages) {
    for (const [, to, part] of page.matchAll(/href="(?:\/docs\/([\w-]+))?(?:#([^"]+))?"/g)) {
      if (!to && !part) continue;
      const target = pages.get(to ?? name);
      if (to !== "viewer" && !/^(viewer|swagger)/.test(to ?? "")) assert.ok(target, `${name} links to ${to}`);
      if (part) assert.ok(target.includes(`id="${decodeURIComponent(part)}"`), `${name} links to ${to ?? name}#${part}`);
      links += 1;
    }
  }
  assert.ok(links > 50, `${links} links`);
});
