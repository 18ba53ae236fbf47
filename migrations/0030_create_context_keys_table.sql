-- The key that ChittyAuth has made for a context, until the context is deleted or has another. The row is
-- written only while nobody has begun to take the key back: chitty_id is NULL otherwise, and the batch fails.
CREATE TABLE context_keys (
  chitty_id TEXT NOT NULL PRIMARY KEY,
  -- The key sealed, for its revocation; never shown again.
  sealed TEXT NOT NULL,
  -- By what ChittyAuth knows it, if it said so.
  key_id TEXT,
  -- What the gateway knows it by: its SHA-256, as in made_tokens.
  token_sha256 TEXT NOT NULL,
  scopes TEXT NOT NULL CHECK (json_type(scopes) = 'array'),
  expires_at TEXT NOT NULL,
  created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
