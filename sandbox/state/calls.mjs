/** The log of every call to a simulated service: the newest 10,000, and exact counts of all. */

const KEPT = 10_000;
const PAGE = 1000;
const COLUMNS = "seq, service, host, method, path, query, headers, body, body_bytes, at, outcome, status";

export class Calls {
  #sql;

  constructor(sql) {
    this.#sql = sql;
    // AUTOINCREMENT, so that a number is not given again after a reset.
    sql.exec(`CREATE TABLE IF NOT EXISTS calls (
      seq INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT, method TEXT, path TEXT, query TEXT,
      headers TEXT, body TEXT, body_bytes INTEGER, at TEXT, outcome TEXT, status INTEGER, host TEXT)`);
    // A table from before the column `host` gets it.
    const columns = sql.exec("SELECT name FROM pragma_table_info('calls')").toArray();
    if (!columns.some(({ name }) => name === "host")) sql.exec("ALTER TABLE calls ADD COLUMN host TEXT");
    sql.exec("CREATE TABLE IF NOT EXISTS call_counts (service TEXT PRIMARY KEY, calls INTEGER)");
  }

  /** Adds a call and returns its number. `status` is null if none is sent, or none yet. */
  append(record, outcome, status) {
    const { seq } = this.#sql
      .exec(
        `INSERT INTO calls (service, host, method, path, query, headers, body, body_bytes, at, outcome, status)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq`,
        record.service,
        record.host,
        record.method,
        record.path,
        JSON.stringify(record.query),
        JSON.stringify(record.headers),
        JSON.stringify(record.body),
        record.body_bytes,
        record.at,
        outcome,
        status,
      )
      .one();
    this.#sql.exec("DELETE FROM calls WHERE seq <= ?", seq - KEPT);
    this.#sql.exec(
      "INSERT INTO call_counts VALUES (?, 1) ON CONFLICT (service) DO UPDATE SET calls = calls + 1",
      record.service,
    );
    return seq;
  }

  /** Records the final status of a delayed call. */
  settle(seq, status) {
    this.#sql.exec("UPDATE calls SET status = ? WHERE seq = ?", status, seq);
  }

  /**
   * The matching calls in order, up to 1000: the newest, or with `after` the first ones after that number.
   */
  list({ service, host, path, method, after, limit = 100 }) {
    const forward = after !== undefined;
    const rows = this.#sql
      .exec(
        `SELECT ${COLUMNS} FROM calls
         WHERE seq > ?1 AND (?2 IS NULL OR service = ?2) AND (?3 IS NULL OR substr(path, 1, length(?3)) = ?3)
           AND (?4 IS NULL OR method = ?4) AND (?5 IS NULL OR host = ?5)
         ORDER BY seq ${forward ? "ASC" : "DESC"} LIMIT ?6`,
        after ?? 0,
        service ?? null,
        path ?? null,
        method ?? null,
        host ?? null,
        Math.min(limit, PAGE),
      )
      .toArray();
    if (!forward) rows.reverse();
    return rows.map((row) => ({
      ...row,
      query: JSON.parse(row.query),
      headers: JSON.parse(row.headers),
      body: JSON.parse(row.body),
    }));
  }

  /** The number of calls since the last reset, including those that are no longer kept. */
  count(service) {
    return total(this.#sql.exec("SELECT service, calls FROM call_counts WHERE ?1 IS NULL OR service = ?1", service ?? null));
  }

  /** The number of kept calls to this host whose path begins with `path`. */
  countKept({ service, host, path = "" }) {
    return total(
      this.#sql.exec(
        `SELECT service, count(*) AS calls FROM calls
         WHERE (?1 IS NULL OR service = ?1) AND substr(path, 1, length(?2)) = ?2
           AND (?3 IS NULL OR host = ?3) GROUP BY service`,
        service ?? null,
        path,
        host ?? null,
      ),
    );
  }

  clear() {
    this.#sql.exec("DELETE FROM calls");
    this.#sql.exec("DELETE FROM call_counts");
  }
}

function total(cursor) {
  const rows = cursor.toArray();
  const services = Object.fromEntries(rows.map((row) => [row.service, row.calls]));
  return { total: rows.reduce((sum, row) => sum + row.calls, 0), services };
}
