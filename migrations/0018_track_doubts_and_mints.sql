-- Which effects of an event may have taken place without anybody having noted it, and which were refused
-- for good: names, separated by blanks. A name leaves the first only when its effect has taken place.
ALTER TABLE outbox ADD COLUMN doubts TEXT NOT NULL DEFAULT '';

ALTER TABLE outbox ADD COLUMN refused TEXT NOT NULL DEFAULT '';

-- How often it was taken up again after it had been given up.
ALTER TABLE outbox ADD COLUMN replays INTEGER NOT NULL DEFAULT 0;

-- Identities that are to be minted: on record before ChittyID is asked, and gone with what becomes of the
-- identity. What stays was perhaps minted, and nobody knows of it.
CREATE TABLE mint_intents (
  intent_id TEXT PRIMARY KEY,
  -- What for, such as context.
  purpose TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  -- Of one that is attempted again and again: later than its last attempt.
  created_at TEXT NOT NULL,
  -- How often it was attempted: whether one before the last may have minted is open.
  attempts INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;

CREATE INDEX mint_intents_created ON mint_intents (created_at);
