/** What the services keep: JSON documents by kind and id, in the order in which they came. */
export class Documents {
  #sql;

  constructor(sql) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS documents (
      seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, id TEXT, document TEXT, UNIQUE (kind, id))`);
  }

  /** Keeps a document, in the place of the one of the same kind and id. */
  put(kind, id, document) {
    this.#sql.exec(
      "INSERT INTO documents (kind, id, document) VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET document = excluded.document",
      kind,
      id,
      JSON.stringify(document),
    );
    return document;
  }

  /** The document, or `null`. */
  get(kind, id) {
    const [row] = this.#sql.exec("SELECT document FROM documents WHERE kind = ? AND id = ?", kind, id).toArray();
    return row ? JSON.parse(row.document) : null;
  }

  /** The newest `limit` of a kind, in order. */
  list(kind, limit = 1000) {
    const rows = this.#sql.exec("SELECT document FROM documents WHERE kind = ? ORDER BY seq DESC LIMIT ?", kind, limit).toArray();
    return rows.reverse().map(({ document }) => JSON.parse(document));
  }

  count(kind) {
    return this.#sql.exec("SELECT count(*) AS total FROM documents WHERE kind = ?", kind).one().total;
  }

  /** Whether there was one to remove. */
  remove(kind, id) {
    return this.#sql.exec("DELETE FROM documents WHERE kind = ? AND id = ? RETURNING id", kind, id).toArray().length > 0;
  }

  clear() {
    this.#sql.exec("DELETE FROM documents");
  }
}
