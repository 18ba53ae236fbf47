-- ChittyIDs that were minted because somebody asked for one: whose they are, and of which of the nine kinds.
CREATE TABLE identities (
  chitty_id TEXT PRIMARY KEY,
  owner_chitty_id TEXT NOT NULL,
  entity_type TEXT NOT NULL CHECK (entity_type IN ('PEO', 'PLACE', 'PROP', 'EVNT', 'AUTH', 'INFO', 'FACT', 'CONTEXT', 'ACTOR')),
  -- The canonical letter of the kind.
  entity TEXT NOT NULL CHECK (entity IN ('P', 'L', 'T', 'E', 'A')),
  minted_at TEXT NOT NULL,
  -- The id of the event by which it was written.
  revision TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How many an owner has: too many to be counted at each mint. Kept by the trigger; they are for good.
CREATE TABLE identity_counts (
  owner_chitty_id TEXT PRIMARY KEY,
  minted INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER identities_count AFTER INSERT ON identities
BEGIN INSERT INTO identity_counts (owner_chitty_id, minted) VALUES (NEW.owner_chitty_id, 1) ON CONFLICT (owner_chitty_id) DO UPDATE SET minted = minted + 1; END;

ALTER TABLE quota_assertions ADD COLUMN identities INTEGER CONSTRAINT quota_identities CHECK (identities);

-- Of an intent under an idempotency key `attempts` counts those that are open: the last takes the row with it.
CREATE TRIGGER mint_intents_settled AFTER UPDATE OF attempts ON mint_intents WHEN NEW.attempts < 1
BEGIN DELETE FROM mint_intents WHERE intent_id = NEW.intent_id; END;
