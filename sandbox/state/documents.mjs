/** The documents of the services: JSON by kind and id, in order of insertion. */
export class Documents {
  #sql;

  constructor(sql) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS documents (
      seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, id TEXT, document TEXT, UNIQUE (kind, id))`);
    sql.exec("CREATE INDEX IF NOT EXISTS documents_by_kind ON documents (kind, seq)");
    // Every request with a token looks it up.
    sql.exec("CREATE INDEX IF NOT EXISTS documents_by_secret ON documents (kind, document ->> '$.secret')");
  }

  /** Stores a document; replaces the one of the same kind and id. */
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

  /** The newest `limit` documents of a kind, in order; all of them with -1. */
  list(kind, limit = 1000) {
    const rows = this.#sql.exec("SELECT document FROM documents WHERE kind = ? ORDER BY seq DESC LIMIT ?", kind, limit).toArray();
    return rows.reverse().map(({ document }) => JSON.parse(document));
  }

  /** The documents of a kind whose field `name` has this value, in order. */
  find(kind, name, value) {
    // The statement contains the name, so that an index on it works. The name never comes from a caller.
    const rows = this.#sql.exec(`SELECT document FROM documents WHERE kind = ? AND document ->> '$.${name}' = ? ORDER BY seq`, kind, value).toArray();
    return rows.map(({ document }) => JSON.parse(document));
  }

  count(kind) {
    return this.#sql.exec("SELECT count(*) AS total FROM documents WHERE kind = ?", kind).one().total;
  }

  /** Removes a document; returns whether it existed. */
  remove(kind, id) {
    return this.#sql.exec("DELETE FROM documents WHERE kind = ? AND id = ? RETURNING id", kind, id).toArray().length > 0;
  }

  /** Deletes all but the newest `most` documents of a kind. */
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
