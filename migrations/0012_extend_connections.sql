-- Connections: whose they are, what they may, and how they are checked.

-- The actor who owns the source.
ALTER TABLE connections ADD COLUMN owner_chitty_id TEXT NOT NULL DEFAULT '';

-- What the proxy lets through: 'read' (GET, HEAD), 'write' (POST, PUT, PATCH, DELETE).
ALTER TABLE connections ADD COLUMN scopes TEXT NOT NULL DEFAULT '["read"]' CHECK (json_type(scopes) = 'array');

-- The path below the endpoint that says whether the target and the credential are good.
ALTER TABLE connections ADD COLUMN check_path TEXT;

-- When the cron checks it next; NULL is never.
ALTER TABLE connections ADD COLUMN check_due_at TEXT;

-- api_key, bearer, basic, oauth or provisioned; NULL is none.
ALTER TABLE connections ADD COLUMN credential_type TEXT CHECK (credential_type IN ('api_key', 'bearer', 'basic', 'oauth', 'provisioned'));

-- The id of the event that made this version. What checks and use note does not make a new one.
ALTER TABLE connections ADD COLUMN revision TEXT NOT NULL DEFAULT '';

CREATE INDEX connections_own ON connections (owner_chitty_id, created_at DESC, connection_id DESC);

CREATE INDEX connections_check_due ON connections (check_due_at) WHERE check_due_at IS NOT NULL;

DROP INDEX connections_due;

-- The credentials of connections, sealed. A row goes with its connection's end, in the same batch.
CREATE TABLE connection_secrets (
  connection_id TEXT PRIMARY KEY,
  sealed TEXT NOT NULL,
  -- When the access token of an OAuth credential ends.
  expires_at TEXT,
  -- Rises with each refresh. Who refreshes holds the lease until then.
  version INTEGER NOT NULL DEFAULT 1,
  leased_until TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE INDEX connection_secrets_expiry ON connection_secrets (expires_at) WHERE expires_at IS NOT NULL;

-- Credentials that are to be revoked where they came from, sealed, until that has been done.
CREATE TABLE credential_revocations (
  id TEXT PRIMARY KEY,
  connection_id TEXT NOT NULL,
  sealed TEXT NOT NULL,
  due_at TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  last_error TEXT,
  created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX credential_revocations_due ON credential_revocations (due_at);
