-- Runs of the ready flows.
CREATE TABLE orchestrations (
  id TEXT PRIMARY KEY,
  owner_chitty_id TEXT NOT NULL,
  flow TEXT NOT NULL,
  -- The run itself, sealed: it holds personal data and tokens.
  state TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('running', 'completed', 'compensating', 'compensated', 'failed')),
  idempotency_key TEXT,
  fingerprint TEXT NOT NULL,
  traceparent TEXT,
  -- Rises with each save. A process that has lost its lease finds that another has saved since.
  version INTEGER NOT NULL,
  -- Until when a process may take it further; after that any may.
  lease_until TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX orchestrations_key ON orchestrations (owner_chitty_id, idempotency_key)
  WHERE idempotency_key IS NOT NULL;

-- What is still to be taken further, and when.
CREATE INDEX orchestrations_open ON orchestrations (lease_until)
  WHERE status IN ('running', 'compensating');

-- What is long over.
CREATE INDEX orchestrations_over ON orchestrations (updated_at)
  WHERE status NOT IN ('running', 'compensating');
