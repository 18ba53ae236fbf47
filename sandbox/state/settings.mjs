/** Settings that change the behaviour of a service, and the chronicle's rate limit. */

const WINDOW_MS = 60_000;

export class Settings {
  #sql;

  constructor(sql) {
    this.#sql = sql;
    sql.exec("CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT)");
  }

  /** `chronicle_per_minute`: calls a minute, or null for no limit. */
  read() {
    return { chronicle_per_minute: this.get("chronicle_per_minute", null) };
  }

  /** Any setting by its name. */
  get(name, fallback) {
    const [row] = this.#sql.exec("SELECT value FROM settings WHERE name = ?", name).toArray();
    return row ? JSON.parse(row.value) : fallback;
  }

  write(name, value) {
    this.#sql.exec("INSERT OR REPLACE INTO settings VALUES (?, ?)", name, JSON.stringify(value));
  }

  clear() {
    this.#sql.exec("DELETE FROM settings");
  }
}

/** The chronicle's rate limit: calls in each minute, which begins with the first call. */
export class RateLimit {
  #settings;
  #started = 0;
  #calls = 0;

  constructor(settings) {
    this.#settings = settings;
  }

  /** Counts a call; returns 0 if it may pass, otherwise the seconds to wait. */
  wait(now) {
    const limit = this.#settings.read().chronicle_per_minute;
    if (limit === null) return 0;
    if (now - this.#started >= WINDOW_MS) this.restart(now);
    this.#calls += 1;
    return this.#calls <= limit ? 0 : Math.ceil((this.#started + WINDOW_MS - now) / 1000);
  }

  restart(now) {
    this.#started = now;
    this.#calls = 0;
  }
}
