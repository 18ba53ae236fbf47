/** The mint: a sequence that never goes back, and the ids minted since the last reset. */
import { mintedId } from "../chitty-id.mjs";

const KEPT = 10_000;

export class Mints {
  #sql;

  constructor(sql) {
    this.#sql = sql;
    // AUTOINCREMENT keeps the sequence when the rows are deleted.
    sql.exec(`CREATE TABLE IF NOT EXISTS mints (
      number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT, entity_type TEXT, metadata TEXT, at TEXT)`);
  }

  /** A new id of `type` (P, L, T, E or A), never issued before. */
  issue({ entityType, type, metadata }, now) {
    const { number } = this.#sql
      .exec(
        "INSERT INTO mints (entity_type, metadata, at) VALUES (?, ?, ?) RETURNING number",
        entityType,
        JSON.stringify(metadata),
        new Date(now).toISOString(),
      )
      .one();
    const id = mintedId(number, type, now);
    this.#sql.exec("UPDATE mints SET id = ? WHERE number = ?", id, number);
    this.#sql.exec("DELETE FROM mints WHERE number <= ?", number - KEPT);
    return id;
  }

  /** The newest `limit` mints, in order, and the number of kept mints. */
  list(limit = 1000) {
    const rows = this.#sql.exec("SELECT number, id, entity_type, metadata, at FROM mints ORDER BY number DESC LIMIT ?", limit).toArray();
    const { total } = this.#sql.exec("SELECT count(*) AS total FROM mints").one();
    return { total, minted: rows.reverse().map((row) => ({ ...row, metadata: JSON.parse(row.metadata) })) };
  }

  /** Deletes the list of mints, but keeps the position of the sequence. */
  clear() {
    this.#sql.exec("DELETE FROM mints");
  }
}
