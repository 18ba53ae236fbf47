-- The connection to each ChittyOS service, as its Durable Object last published it.
CREATE TABLE service_connections (
  service TEXT PRIMARY KEY,
  -- Rises with each state that the object stored: an older one never replaces a newer one.
  version INTEGER NOT NULL,
  -- DISCONNECTED, CONNECTING, CONNECTED, RECONNECTING or FAILED
  state TEXT NOT NULL,
  -- Whether callers should fail fast, and how often that has changed.
  is_down INTEGER NOT NULL CHECK (is_down IN (0, 1)),
  news INTEGER NOT NULL,
  -- State, statistics and the last check: JSON.
  status TEXT NOT NULL CHECK (json_valid(status)),
  updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What happened to the connections, for those who listen. The newest are kept.
CREATE TABLE connection_events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id TEXT NOT NULL UNIQUE,
  service TEXT NOT NULL,
  -- connected, disconnected, reconnecting, unhealthy, stateChange, error, maxReconnectAttemptsReached
  event TEXT NOT NULL,
  -- JSON
  data TEXT NOT NULL CHECK (json_valid(data)),
  at TEXT NOT NULL
) STRICT;

CREATE INDEX connection_events_service ON connection_events (service, id);

-- Which effects of an event have taken place, where there is more than one: a repeat leaves them out.
ALTER TABLE outbox ADD COLUMN effects TEXT NOT NULL DEFAULT '';
