-- The transactional outbox: every change writes its event here in its own batch. A row is done
-- when the consumer has had its effect; rows not done in time are sent again by the cron.
CREATE TABLE outbox (
  -- Order of commit.
  seq INTEGER PRIMARY KEY,
  event_id TEXT NOT NULL UNIQUE,
  event_type TEXT NOT NULL,
  entity_type TEXT NOT NULL,
  entity_id TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  payload TEXT NOT NULL DEFAULT '{}' CHECK (json_type(payload) = 'object'),
  traceparent TEXT,
  created_at TEXT NOT NULL,
  -- When the sweep sends it again, unless it is done by then.
  due_at TEXT NOT NULL,
  sweeps INTEGER NOT NULL DEFAULT 0 CHECK (sweeps >= 0),
  last_error TEXT,
  done_at TEXT
) STRICT;

CREATE INDEX outbox_due ON outbox (due_at) WHERE done_at IS NULL;

CREATE INDEX outbox_done ON outbox (done_at) WHERE done_at IS NOT NULL;

CREATE INDEX outbox_entity ON outbox (entity_id, seq);
