/** The entries of the chronicle: the newest 100,000. */

const KEPT = 100_000;

const FILTERS = {
  service: "service = ?",
  services: "service IN (SELECT value FROM json_each(?))",
  action: "action = ?",
  userId: "user_id = ?",
  status: "status = ?",
  entityId: "entity_id = ?",
  entityType: "entity_type = ?",
  eventId: "event_id = ?",
  from: "at >= ?",
  to: "at <= ?",
  text: "instr(lower(action || ' ' || coalesce(entry ->> 'metadata', '')), lower(?)) > 0",
};

export class ChronicleEntries {
  #sql;

  constructor(sql) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS entries (
      number INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER, service TEXT, action TEXT, user_id TEXT, status TEXT,
      entity_id TEXT, entity_type TEXT, event_id TEXT, entry TEXT)`);
    sql.exec("CREATE INDEX IF NOT EXISTS entries_by_entity ON entries (entity_id)");
    sql.exec("CREATE INDEX IF NOT EXISTS entries_by_event ON entries (event_id)");
  }

  append(entry, now) {
    const { number } = this.#sql
      .exec(
        `INSERT INTO entries (at, service, action, user_id, status, entity_id, entity_type, event_id, entry)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number`,
        now,
        entry.service,
        entry.action,
        textOrNull(entry.userId),
        entry.status,
        textOrNull(entry.metadata?.entityId),
        textOrNull(entry.metadata?.entityType),
        textOrNull(entry.metadata?.eventId),
        JSON.stringify(entry),
      )
      .one();
    this.#sql.exec("DELETE FROM entries WHERE number <= ?", number - KEPT);
  }

  /** The entries that match every given filter, newest first. */
  find({ limit, ...filters }) {
    const { where, bindings } = conditions(filters);
    return this.#sql
      .exec(`SELECT entry FROM entries WHERE ${where} ORDER BY number DESC LIMIT ?`, ...bindings, limit)
      .toArray()
      .map((row) => JSON.parse(row.entry));
  }

  /** How many entries match. */
  count(filters) {
    const { where, bindings } = conditions(filters);
    return this.#sql.exec(`SELECT count(*) AS total FROM entries WHERE ${where}`, ...bindings).one().total;
  }

  /** One line for each service that has written. */
  health() {
    return this.#sql
      .exec(
        `SELECT service, count(*) AS total_events, sum(status = 'failed') AS failed_count, max(at) AS last_event
         FROM entries GROUP BY service ORDER BY service`,
      )
      .toArray()
      .map((row) => ({
        service: row.service,
        total_events: row.total_events,
        failed_count: row.failed_count,
        error_rate: row.failed_count / row.total_events,
        last_event: new Date(row.last_event).toISOString(),
      }));
  }

  statistics() {
    const counts = (column) =>
      Object.fromEntries(
        this.#sql
          .exec(`SELECT ${column} AS name, count(*) AS total FROM entries GROUP BY ${column}`)
          .toArray()
          .map((row) => [row.name, row.total]),
      );
    return {
      totalEvents: this.count({}),
      eventsByService: counts("service"),
      eventsByAction: counts("action"),
      eventsByStatus: counts("status"),
    };
  }

  clear() {
    this.#sql.exec("DELETE FROM entries");
  }
}

function conditions(filters) {
  const given = Object.entries(filters).filter(([, value]) => value !== undefined);
  return {
    where: ["TRUE", ...given.map(([name]) => FILTERS[name])].join(" AND "),
    bindings: given.map(([, value]) => (Array.isArray(value) ? JSON.stringify(value) : value)),
  };
}

function textOrNull(value) {
  return typeof value === "string" ? value : null;
}
