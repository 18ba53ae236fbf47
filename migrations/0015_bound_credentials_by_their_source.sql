-- What stands on what: whatever was made by a credential carries at most what that carries, and ends
-- with it.

-- What ChittyAuth has said of an actor: each scope with the time when a token of the actor last
-- carried it. It bounds every credential of the actor's that this gateway keeps.
CREATE TABLE vouchers (
  chitty_id TEXT PRIMARY KEY,
  said TEXT NOT NULL CHECK (json_type(said) = 'object'),
  said_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The secret of the API key by which the first of the path was made (SHA-256), and the actor whose
-- authority that was.
ALTER TABLE delegations ADD COLUMN source_secret TEXT;

ALTER TABLE delegations ADD COLUMN source_actor TEXT NOT NULL DEFAULT '';


-- The ChittyAuth token by which a key was made (SHA-256): what that is seen to lose, the key loses.
ALTER TABLE keys ADD COLUMN source_token TEXT;

CREATE INDEX keys_source_token ON keys (source_token) WHERE source_token IS NOT NULL;

-- The key that ChittyAuth made for a connection: by whose authority, until when. NULL where the
-- credential was handed in.
ALTER TABLE connection_secrets ADD COLUMN source_actor TEXT;

ALTER TABLE connection_secrets ADD COLUMN source_token TEXT;

ALTER TABLE connection_secrets ADD COLUMN source_secret TEXT;

ALTER TABLE connection_secrets ADD COLUMN source_scopes TEXT;

ALTER TABLE connection_secrets ADD COLUMN key_expires_at TEXT;

CREATE INDEX connection_secrets_source_token ON connection_secrets (source_token) WHERE source_token IS NOT NULL;

-- Tokens that ChittyAuth made for new identities at the request of a caller, each as its SHA-256.
CREATE TABLE made_tokens (
  token_sha256 TEXT PRIMARY KEY,
  -- The new identity.
  chitty_id TEXT NOT NULL,
  scopes TEXT NOT NULL CHECK (json_type(scopes) = 'array'),
  -- By whose authority it was made, by which credential, and what that carries as far as is known.
  source_actor TEXT NOT NULL,
  source_token TEXT,
  source_secret TEXT,
  source_scopes TEXT NOT NULL CHECK (json_type(source_scopes) = 'array'),
  expires_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX made_tokens_source_token ON made_tokens (source_token) WHERE source_token IS NOT NULL;

CREATE INDEX made_tokens_expiry ON made_tokens (expires_at);

-- Identities that callers had minted, and the actor against whose limits they count.
CREATE TABLE sponsors (
  chitty_id TEXT PRIMARY KEY,
  sponsor_chitty_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;
