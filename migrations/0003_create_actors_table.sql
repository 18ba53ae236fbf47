-- Actors: who acts through the gateway. An actor without a row is active: rows are made by
-- registration, and what must be refused everywhere is a row whose status is not 'active'.
CREATE TABLE actors (
  chitty_id TEXT PRIMARY KEY,
  actor_type TEXT NOT NULL CHECK (actor_type IN ('human', 'ai', 'service', 'system')),
  display_name TEXT,
  email TEXT,
  avatar_url TEXT,
  capabilities TEXT NOT NULL DEFAULT '[]' CHECK (json_type(capabilities) = 'array'),
  chitty_dna_id TEXT,
  chitty_auth_principal_id TEXT,
  last_seen_at TEXT,
  session_count INTEGER NOT NULL DEFAULT 0 CHECK (session_count >= 0),
  status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'deleted')),
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX actors_email ON actors (email) WHERE email IS NOT NULL;

CREATE INDEX actors_type ON actors (actor_type, created_at);

CREATE INDEX actors_seen ON actors (last_seen_at) WHERE status = 'active';
