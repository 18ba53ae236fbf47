/** What the services keep: JSON documents by kind and id, in the order in which they came. */
export class Documents {
  #sql;

  constructor(sql) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS documents (
      seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, id TEXT, document TEXT, UNIQUE (kind, id))`);
    sql.exec("CREATE INDEX IF NOT EXISTS documents_by_kind ON documents (kind, seq)");
    // A token is looked for at every request of its bearer.
    sql.exec("CREATE INDEX IF NOT EXISTS documents_by_secret ON documents (kind, document ->> '$.secret')");
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

  /** The newest `limit` of a kind, in order; all of them with -1. */
  list(kind, limit = 1000) {
    const rows = this.#sql.exec("SELECT document FROM documents WHERE kind = ? ORDER BY seq DESC LIMIT ?", kind, limit).toArray();
    return rows.reverse().map(({ document }) => JSON.parse(document));
  }

  /** Those of a kind with this value in the field `name`, in order. */
  find(kind, name, value) {
    // The name is written into the statement, as an index on it wants; it is never a caller's.
    const rows = this.#sql.exec(`SELECT document FROM documents WHERE kind = ? AND document ->> '$.${name}' = ? ORDER BY seq`, kind, value).toArray();
    return rows.map(({ document }) => JSON.parse(document));
  }

  count(kind) {
    return this.#sql.exec("SELECT count(*) AS total FROM documents WHERE kind = ?", kind).one().total;
  }

  /** Whether there was one to remove. */
  remove(kind, id) {
    return this.#sql.exec("DELETE FROM documents WHERE kind = ? AND id = ? RETURNING id", kind, id).toArray().length > 0;
  }

  /** Forgets all but the newest `most` of a kind. */
  trim(kind, most) {
    this.#sql.exec(
      "DELETE FROM documents WHERE kind = ?1 AND seq <= (SELECT seq FROM documents WHERE kind = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
      kind,
      most,
    );
  }

  clear() {
    this.#sql.exec("DELETE FROM documents");
  }
}
