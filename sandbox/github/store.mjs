/** GitHub's storage besides documents: numbers that are never reused, texts of any length, deliveries. */

const PART = 500_000;
const MOST_DELIVERIES = 10_000;
const FIRST_ID = 1_000_000;
const FIRST_DELIVERY = 7_000_000_000;

export class GitHubStore {
  #sql;

  constructor(sql) {
    this.#sql = sql;
    // AUTOINCREMENT, so that a number is not reused after a reset.
    sql.exec("CREATE TABLE IF NOT EXISTS github_ids (id INTEGER PRIMARY KEY AUTOINCREMENT)");
    // In parts, since a row must not be longer than 2 MB.
    sql.exec("CREATE TABLE IF NOT EXISTS github_texts (name TEXT, part INTEGER, text TEXT, PRIMARY KEY (name, part))");
    sql.exec("CREATE TABLE IF NOT EXISTS github_deliveries (seq INTEGER PRIMARY KEY AUTOINCREMENT, guid TEXT, event TEXT, delivery TEXT)");
  }

  /** A number that nothing else in this store has. */
  nextId() {
    const { id } = this.#sql.exec("INSERT INTO github_ids DEFAULT VALUES RETURNING id").one();
    this.#sql.exec("DELETE FROM github_ids WHERE id = ?", id);
    return FIRST_ID + id;
  }

  putText(name, text) {
    this.removeText(name);
    for (let part = 0; part * PART < text.length || part === 0; part += 1) {
      this.#sql.exec("INSERT INTO github_texts VALUES (?, ?, ?)", name, part, text.slice(part * PART, (part + 1) * PART));
    }
  }

  /** The text, or `null`. */
  text(name) {
    const parts = this.#sql.exec("SELECT text FROM github_texts WHERE name = ? ORDER BY part", name).toArray();
    return parts.length > 0 ? parts.map(({ text }) => text).join("") : null;
  }

  removeText(name) {
    this.#sql.exec("DELETE FROM github_texts WHERE name = ?", name);
  }

  /** Stores a delivery with its payload and returns it with its number. The newest 10,000 are kept. */
  addDelivery(delivery, payload) {
    const { seq } = this.#sql.exec("INSERT INTO github_deliveries (guid, event) VALUES (?, ?) RETURNING seq", delivery.guid, delivery.event).one();
    const old = this.#sql.exec("DELETE FROM github_deliveries WHERE seq <= ? RETURNING seq", seq - MOST_DELIVERIES).toArray();
    for (const { seq: gone } of old) this.removeText(payloadOf(FIRST_DELIVERY + gone));
    const numbered = { id: FIRST_DELIVERY + seq, ...delivery };
    this.putText(payloadOf(numbered.id), payload);
    return this.putDelivery(numbered);
  }

  putDelivery(delivery) {
    this.#sql.exec("UPDATE github_deliveries SET delivery = ? WHERE seq = ?", JSON.stringify(delivery), delivery.id - FIRST_DELIVERY);
    return delivery;
  }

  /** The delivery, or `null`. */
  delivery(id) {
    const [row] = this.#sql.exec("SELECT delivery FROM github_deliveries WHERE seq = ?", id - FIRST_DELIVERY).toArray();
    return row ? JSON.parse(row.delivery) : null;
  }

  /** The exact payload of a delivery. */
  payload(id) {
    return this.text(payloadOf(id));
  }

  /** Deliveries, newest first; with `from`, only those up to that number. */
  deliveries({ from, guid, event, limit }) {
    const rows = this.#sql
      .exec(
        `SELECT delivery FROM github_deliveries
         WHERE (?1 IS NULL OR seq <= ?1) AND (?2 IS NULL OR guid = ?2) AND (?3 IS NULL OR event = ?3) ORDER BY seq DESC LIMIT ?4`,
        from === undefined ? null : from - FIRST_DELIVERY,
        guid ?? null,
        event ?? null,
        limit,
      )
      .toArray();
    return rows.map(({ delivery }) => JSON.parse(delivery));
  }

  countDeliveries({ guid, event }) {
    const counted = "SELECT count(*) AS total FROM github_deliveries WHERE (?1 IS NULL OR guid = ?1) AND (?2 IS NULL OR event = ?2)";
    return this.#sql.exec(counted, guid ?? null, event ?? null).one().total;
  }

  clear() {
    this.#sql.exec("DELETE FROM github_texts");
    this.#sql.exec("DELETE FROM github_deliveries");
  }
}

function payloadOf(id) {
  return `payload:${id}`;
}
