-- Who may do what: delegations, API keys, grants, and the record of what was done.

-- What ChittyAuth last said that the actor may. The column `capabilities` is what an administrator
-- has granted beyond that.
ALTER TABLE actors ADD COLUMN vouched TEXT NOT NULL DEFAULT '[]' CHECK (json_type(vouched) = 'array');

-- The id of the event that made this version.
ALTER TABLE actors ADD COLUMN revision TEXT NOT NULL DEFAULT '';

-- When the actor registered itself; NULL for one whom an administrator has put on record before.
ALTER TABLE actors ADD COLUMN registered_at TEXT;

CREATE INDEX actors_created ON actors (created_at DESC, chitty_id DESC);

DROP INDEX actors_type;

CREATE INDEX actors_type ON actors (actor_type, created_at DESC, chitty_id DESC);

CREATE INDEX actors_status ON actors (status, created_at DESC, chitty_id DESC);

-- A batch asserts what must hold by inserting a 0 where it does not: the constraint then fails, and
-- the whole batch with it. Never holds a row.
CREATE TABLE assertions (
  held INTEGER NOT NULL CONSTRAINT authorized CHECK (held)
) STRICT;

-- Delegated tokens, each as its SHA-256. What a token may is what is in scopes and still in
-- source_scopes or granted to the delegator.
CREATE TABLE delegations (
  delegation_id TEXT PRIMARY KEY,
  token_sha256 TEXT NOT NULL UNIQUE,
  delegator_chitty_id TEXT NOT NULL,
  -- The ids from the first delegation down to this one, each with a slash after it: who revokes one
  -- revokes what begins with its path.
  path TEXT NOT NULL UNIQUE,
  target_service TEXT NOT NULL,
  scopes TEXT NOT NULL CHECK (json_type(scopes) = 'array'),
  -- By which credential the first of the path was made: the SHA-256 of a ChittyAuth token, or a key.
  source_token TEXT,
  source_key TEXT,
  -- When that token ends by itself: one that is refused before has been revoked.
  source_expires_at TEXT,
  -- What that credential carries, as far as is known.
  source_scopes TEXT NOT NULL CHECK (json_type(source_scopes) = 'array'),
  metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_type(metadata) = 'object'),
  created_at TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  revoked_at TEXT,
  -- The id of the event that made it or revoked it.
  revision TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX delegations_own ON delegations (delegator_chitty_id, created_at DESC, delegation_id DESC);

CREATE INDEX delegations_source_token ON delegations (source_token) WHERE source_token IS NOT NULL;

CREATE INDEX delegations_source_key ON delegations (source_key) WHERE source_key IS NOT NULL;

CREATE INDEX delegations_expiry ON delegations (expires_at);

-- API keys of this gateway. What a key may is what is in scopes and still in source_scopes (what its
-- maker's token carried) or granted to the owner.
CREATE TABLE keys (
  key_id TEXT PRIMARY KEY,
  owner_chitty_id TEXT NOT NULL,
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  scopes TEXT NOT NULL CHECK (json_type(scopes) = 'array'),
  source_scopes TEXT NOT NULL CHECK (json_type(source_scopes) = 'array'),
  created_by TEXT NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  expires_at TEXT,
  rotated_at TEXT,
  revoked_at TEXT,
  last_used_at TEXT,
  revision TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX keys_own ON keys (owner_chitty_id, created_at DESC, key_id DESC);

CREATE INDEX keys_created ON keys (created_at DESC, key_id DESC);

-- The secrets of the keys, each as its SHA-256: one, and after a rotation for a while the one before.
CREATE TABLE key_secrets (
  secret_sha256 TEXT PRIMARY KEY,
  key_id TEXT NOT NULL,
  -- The last characters, by which people tell secrets apart.
  hint TEXT NOT NULL,
  created_at TEXT NOT NULL,
  -- When a replaced one ends.
  valid_until TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX key_secrets_key ON key_secrets (key_id, created_at);

CREATE INDEX key_secrets_ended ON key_secrets (valid_until) WHERE valid_until IS NOT NULL;

-- By which credential an event was caused, where that was not the actor's own token.
ALTER TABLE outbox ADD COLUMN via TEXT;

-- Who did what to which entity. Append-only: a row is written with its event, by the trigger below,
-- so that no writer can forget it, and nobody changes it.
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id TEXT NOT NULL UNIQUE,
  at TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  via TEXT,
  action TEXT NOT NULL,
  entity_type TEXT NOT NULL,
  entity_id TEXT NOT NULL,
  detail TEXT NOT NULL CHECK (json_type(detail) = 'object'),
  traceparent TEXT
) STRICT;

CREATE INDEX audit_actor ON audit (actor_id, seq);

CREATE INDEX audit_entity ON audit (entity_id, seq);

CREATE INDEX audit_action ON audit (action, seq);

-- The seal over the rows of audit: each hash is over the one before and the row of the same number.
CREATE TABLE audit_seals (
  seq INTEGER PRIMARY KEY,
  hash TEXT NOT NULL CHECK (length(hash) = 64),
  sealed_at TEXT NOT NULL
) STRICT;

-- (The body of a trigger stays on one line: a semicolon that ends a line ends a statement here.)
-- The states of services are an observation, and the seals are about this table: nobody did them.
CREATE TRIGGER audit_every_event AFTER INSERT ON outbox WHEN NEW.event_type NOT IN ('service.state_changed', 'audit.sealed')
BEGIN INSERT INTO audit (event_id, at, actor_id, via, action, entity_type, entity_id, detail, traceparent) VALUES (NEW.event_id, NEW.created_at, NEW.actor_id, NEW.via, NEW.event_type, NEW.entity_type, NEW.entity_id, NEW.payload, NEW.traceparent); END;

CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;

CREATE TRIGGER audit_keeps_all BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
