-- How much one actor may have of a kind. The numbers are settings, so the batch that makes something
-- asserts that there is room by inserting a 0 where there is none: the constraint of that kind then
-- fails, and the whole batch with it. Never holds a row.
CREATE TABLE quota_assertions (
  contexts INTEGER CONSTRAINT quota_contexts CHECK (contexts),
  connections INTEGER CONSTRAINT quota_connections CHECK (connections),
  checked_connections INTEGER CONSTRAINT quota_checked_connections CHECK (checked_connections),
  keys INTEGER CONSTRAINT quota_keys CHECK (keys),
  delegations INTEGER CONSTRAINT quota_delegations CHECK (delegations)
) STRICT;

-- How many live contexts an owner has: too many to be counted at each creation. Kept by the triggers.
CREATE TABLE context_counts (
  owner_chitty_id TEXT PRIMARY KEY,
  live INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO context_counts (owner_chitty_id, live)
SELECT owner_chitty_id, count(*) FROM contexts WHERE deleted_at IS NULL GROUP BY owner_chitty_id;

-- (The body of a trigger stays on one line: a semicolon that ends a line ends a statement here.)
CREATE TRIGGER contexts_count_made AFTER INSERT ON contexts WHEN NEW.deleted_at IS NULL
BEGIN INSERT INTO context_counts (owner_chitty_id, live) VALUES (NEW.owner_chitty_id, 1) ON CONFLICT (owner_chitty_id) DO UPDATE SET live = live + 1; END;

CREATE TRIGGER contexts_count_deleted AFTER UPDATE OF deleted_at ON contexts WHEN OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL
BEGIN UPDATE context_counts SET live = live - 1 WHERE owner_chitty_id = OLD.owner_chitty_id; END;

CREATE TRIGGER contexts_count_restored AFTER UPDATE OF deleted_at ON contexts WHEN OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NULL
BEGIN UPDATE context_counts SET live = live + 1 WHERE owner_chitty_id = OLD.owner_chitty_id; END;

CREATE TRIGGER contexts_count_removed AFTER DELETE ON contexts WHEN OLD.deleted_at IS NULL
BEGIN UPDATE context_counts SET live = live - 1 WHERE owner_chitty_id = OLD.owner_chitty_id; END;

-- The others are counted, as far as the quota goes: each an index over nothing but what counts. Ends are
-- written as what may have none, also where all have one, so that no list takes these for its own.
CREATE INDEX connections_kept ON connections (owner_chitty_id) WHERE status <> 'disconnected';

CREATE INDEX connections_checked ON connections (owner_chitty_id) WHERE check_path IS NOT NULL AND status <> 'disconnected';

CREATE INDEX keys_kept ON keys (owner_chitty_id, ifnull(expires_at, '9999')) WHERE revoked_at IS NULL;

CREATE INDEX delegations_kept ON delegations (delegator_chitty_id, ifnull(expires_at, '9999')) WHERE revoked_at IS NULL;
