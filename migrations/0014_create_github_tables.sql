-- GitHub: what it has told the gateway, what follows from it, and the tokens of the App.

-- Who has shown, coming back from GitHub, that the installation is theirs to administer; NULL where
-- nobody has.
ALTER TABLE installations ADD COLUMN owner_chitty_id TEXT;

-- The id of the event that made this version.
ALTER TABLE installations ADD COLUMN revision TEXT NOT NULL DEFAULT '';

-- When GitHub says that it was last changed: what is older than that changes nothing any more.
ALTER TABLE installations ADD COLUMN github_updated_at TEXT NOT NULL DEFAULT '';

CREATE INDEX installations_owner ON installations (owner_chitty_id, installed_at DESC, chitty_id DESC);

CREATE INDEX installations_newest ON installations (installed_at DESC, chitty_id DESC);

-- Webhook deliveries, each once by GitHub's own id. A row is done when its effects are committed; what
-- is told of it elsewhere is then in the outbox.
CREATE TABLE github_deliveries (
  -- Order of record.
  seq INTEGER PRIMARY KEY,
  delivery_id TEXT NOT NULL UNIQUE,
  event TEXT NOT NULL,
  action TEXT,
  installation_id INTEGER,
  repository_id INTEGER,
  -- What it must stay in order with: one repository, or else one installation.
  lane TEXT NOT NULL,
  -- When the gateway took it.
  received_at TEXT NOT NULL,
  -- What its handler needs of the payload.
  facts TEXT NOT NULL CHECK (json_type(facts) = 'object'),
  traceparent TEXT,
  -- Its EVNT ChittyID, kept so that a repeat does not mint again.
  chitty_id TEXT,
  -- The ChittyID minted for the installation that it makes, kept likewise.
  subject_id TEXT,
  due_at TEXT NOT NULL,
  leased_until TEXT NOT NULL DEFAULT '',
  tries INTEGER NOT NULL DEFAULT 0,
  last_error TEXT,
  done_at TEXT,
  -- When it was given up: it has a dead letter then.
  dead_at TEXT
) STRICT;

CREATE INDEX github_deliveries_open ON github_deliveries (lane, received_at, seq) WHERE done_at IS NULL AND dead_at IS NULL;

CREATE INDEX github_deliveries_due ON github_deliveries (due_at) WHERE done_at IS NULL AND dead_at IS NULL;

CREATE INDEX github_deliveries_received ON github_deliveries (received_at);

-- What is to be done at GitHub because of deliveries: one row a pull request or issue, however often
-- it changes.
CREATE TABLE github_jobs (
  kind TEXT NOT NULL CHECK (kind IN ('review', 'triage')),
  repository_id INTEGER NOT NULL,
  number INTEGER NOT NULL,
  installation_id INTEGER NOT NULL,
  -- `owner/name`, as of the last delivery.
  repository TEXT NOT NULL,
  -- The commit that is looked at; NULL for issues.
  head_sha TEXT,
  -- Counts what has asked for it, so that what is asked for meanwhile is not taken for done.
  version INTEGER NOT NULL DEFAULT 1,
  done_version INTEGER NOT NULL DEFAULT 0,
  -- What was made at GitHub, to be updated in place.
  comment_id INTEGER,
  check_run_id INTEGER,
  check_run_sha TEXT,
  due_at TEXT NOT NULL,
  leased_until TEXT NOT NULL DEFAULT '',
  tries INTEGER NOT NULL DEFAULT 0,
  last_error TEXT,
  updated_at TEXT NOT NULL,
  PRIMARY KEY (repository_id, number, kind)
) STRICT, WITHOUT ROWID;

CREATE INDEX github_jobs_due ON github_jobs (due_at) WHERE done_version < version;

CREATE INDEX github_jobs_updated ON github_jobs (updated_at) WHERE done_version >= version;

-- Installation tokens, sealed. The lease lets one fetch while the others wait.
CREATE TABLE github_tokens (
  installation_id INTEGER PRIMARY KEY,
  sealed TEXT,
  expires_at TEXT NOT NULL DEFAULT '',
  leased_until TEXT NOT NULL DEFAULT ''
) STRICT;

-- The `state`s that have come back from GitHub: each is good for once.
CREATE TABLE github_states (
  nonce TEXT PRIMARY KEY,
  expires_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX github_states_expiry ON github_states (expires_at);

-- How far the search for deliveries that never arrived has come; one row.
CREATE TABLE github_recovery (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  -- Every delivery that GitHub made before this instant is on record.
  complete_until TEXT NOT NULL,
  leased_until TEXT NOT NULL DEFAULT '',
  next_at TEXT NOT NULL DEFAULT ''
) STRICT;
