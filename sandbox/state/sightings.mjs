/** The time at which each `dev-<name>+<n>s` token was first seen. */
export class Sightings {
  #sql;

  constructor(sql) {
    this.#sql = sql;
    sql.exec("CREATE TABLE IF NOT EXISTS sightings (token TEXT PRIMARY KEY, at INTEGER)");
  }

  /** Milliseconds since the Unix epoch; `now` for a token that is new. */
  firstSeen(token, now) {
    this.#sql.exec("INSERT OR IGNORE INTO sightings VALUES (?, ?)", token, now);
    return this.#sql.exec("SELECT at FROM sightings WHERE token = ?", token).one().at;
  }

  clear() {
    this.#sql.exec("DELETE FROM sightings");
  }
}
