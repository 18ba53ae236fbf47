-- Who tells an event at the moment, until when nobody else does; how often it was begun, and whether
-- it may have been told by somebody who did not live to say so (2 and more).
ALTER TABLE outbox ADD COLUMN leased_until TEXT NOT NULL DEFAULT '';

ALTER TABLE outbox ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;

ALTER TABLE outbox ADD COLUMN in_doubt INTEGER NOT NULL DEFAULT 0;

-- When it was given up: it has a dead letter then, and is not told until that is replayed.
ALTER TABLE outbox ADD COLUMN dead_at TEXT;

-- What of an entity is still to be told, in the order of commit.
CREATE INDEX outbox_open ON outbox (entity_id, seq) WHERE done_at IS NULL AND dead_at IS NULL;

DROP INDEX outbox_due;

CREATE INDEX outbox_due ON outbox (due_at) WHERE done_at IS NULL AND dead_at IS NULL;

-- Messages and events that were given up.
CREATE TABLE dead_letters (
  id TEXT PRIMARY KEY,
  -- Where it came from, and where a replay sends it.
  queue TEXT NOT NULL,
  -- The message as it was, which may be no text of ours at all.
  body TEXT NOT NULL,
  reason TEXT NOT NULL,
  -- What it is about, as far as it can be read.
  event_id TEXT,
  event_type TEXT,
  entity_id TEXT,
  attempts INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  replayed_at TEXT,
  replays INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- An event has one dead letter at most, however often it dies.
CREATE UNIQUE INDEX dead_letters_event ON dead_letters (event_id) WHERE event_id IS NOT NULL;

CREATE INDEX dead_letters_created ON dead_letters (created_at DESC, id DESC);

CREATE INDEX dead_letters_replayed ON dead_letters (replayed_at) WHERE replayed_at IS NOT NULL;

CREATE INDEX dead_letters_type ON dead_letters (event_type, created_at DESC, id DESC);

CREATE INDEX dead_letters_entity ON dead_letters (entity_id, created_at DESC, id DESC);
