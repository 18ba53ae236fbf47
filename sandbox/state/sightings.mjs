/** When each token that expires by itself was first seen. */
export class Sightings {
  #sql;

  constructor(sql) {
    this.#sql = sql;
    sql.exec("CREATE TABLE IF NOT EXISTS sightings (token TEXT PRIMARY KEY, at INTEGER)");
  }

  /** Milliseconds since 1970: `now` when it is seen for the first time. */
  firstSeen(token, now) {
    this.#sql.exec("INSERT OR IGNORE INTO sightings VALUES (?, ?)", token, now);
    return this.#sql.exec("SELECT at FROM sightings WHERE token = ?", token).one().at;
  }

  clear() {
    this.#sql.exec("DELETE FROM sightings");
  }
}
