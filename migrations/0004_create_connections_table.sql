-- Connections: a context or an actor bound to a service.
CREATE TABLE connections (
  connection_id TEXT PRIMARY KEY,
  source_chitty_id TEXT NOT NULL,
  source_type TEXT NOT NULL CHECK (source_type IN ('context', 'actor')),
  target_service TEXT NOT NULL,
  target_endpoint TEXT,
  connection_type TEXT NOT NULL CHECK (connection_type IN ('api', 'webhook', 'oauth', 'direct')),
  credentials_kv_key TEXT,
  status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'failed', 'disconnected')),
  last_health_check TEXT,
  last_error TEXT,
  error_count INTEGER NOT NULL DEFAULT 0 CHECK (error_count >= 0),
  request_count INTEGER NOT NULL DEFAULT 0 CHECK (request_count >= 0),
  last_used_at TEXT,
  config TEXT NOT NULL DEFAULT '{}' CHECK (json_type(config) = 'object'),
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  disconnected_at TEXT
) STRICT, WITHOUT ROWID;

-- One active connection per source, service and endpoint. NULLs are distinct to a unique index, so
-- "no endpoint" counts as the empty one.
CREATE UNIQUE INDEX connections_active ON connections (source_chitty_id, target_service, ifnull(target_endpoint, '')) WHERE status = 'active';

CREATE INDEX connections_source ON connections (source_chitty_id, created_at DESC);

CREATE INDEX connections_target ON connections (target_service, created_at DESC);

CREATE INDEX connections_due ON connections (last_health_check) WHERE status IN ('active', 'failed');
