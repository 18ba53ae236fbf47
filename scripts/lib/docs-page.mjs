import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { documentPage } from "./document-page.mjs";
import { errorsPage } from "./errors-page.mjs";
import { NODE_MODULES, ROOT } from "./paths.mjs";

const DOCS = join(ROOT, "docs");
const VIEWER = join(DOCS, "viewer");
const SWAGGER = join(NODE_MODULES, "swagger-ui-dist");

const file = (...path) => () => readFileSync(join(...path));

const read = (name) => readFileSync(join(DOCS, `${name}.md`), "utf8");

/** The names of the documents, without `.md`. */
export const DOCUMENTS = readdirSync(DOCS).filter((file) => file.endsWith(".md")).map((file) => file.slice(0, -3)).sort();

/** Returns the page of a document. The page of errors has an id for each code, to which problems link. */
export const pageOf = (name) => (name === "errors" ? errorsPage(read(name)) : documentPage(read(name), DOCUMENTS));

/** The files to serve, by their paths below build/public: the page is `/docs`, the others are `/docs/…`. */
const FILES = {
  _headers: file(VIEWER, "_headers"),
  "docs.html": file(VIEWER, "docs.html"),
  ...Object.fromEntries(DOCUMENTS.map((name) => [`docs/${name}.html`, () => Buffer.from(pageOf(name))])),
  // The gateway reads this file to answer GET /openapi.json (src/openapi.rs).
  "docs/openapi.json": file(ROOT, "openapi.json"),
  "docs/viewer.css": file(VIEWER, "viewer.css"),
  "docs/viewer.js": file(VIEWER, "viewer.js"),
  "docs/swagger-ui.css": file(SWAGGER, "swagger-ui.css"),
  "docs/swagger-ui-bundle.js": file(SWAGGER, "swagger-ui-bundle.js"),
  "docs/swagger-ui-bundle.js.LICENSE.txt": file(SWAGGER, "swagger-ui-bundle.js.LICENSE.txt"),
};

/** Makes build/public hold the API description, the page that shows it, the documents, and nothing else. */
export function placeDocsPage() {
  const out = join(ROOT, "build", "public");
  mkdirSync(join(out, "docs"), { recursive: true });
  for (const path of readdirSync(out, { recursive: true })) {
    if (path !== "docs" && !(path in FILES)) rmSync(join(out, path), { recursive: true, force: true });
  }
  for (const [path, make] of Object.entries(FILES)) {
    const content = make();
    // Writes only what has changed, so that a running wrangler does not reload.
    if (!holds(join(out, path), content)) writeFileSync(join(out, path), content);
  }
}

function holds(path, content) {
  try {
    return readFileSync(path).equals(content);
  } catch {
    return false;
  }
}
