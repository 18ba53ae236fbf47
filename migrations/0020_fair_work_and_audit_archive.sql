-- Background work is taken by index, by whoever is owed it; the audit moves to the archive in segments.

-- Which connections are checked, and when: those of another status do not stand in the way.
DROP INDEX connections_check_due;

CREATE INDEX connections_check_due ON connections (check_due_at) WHERE check_due_at IS NOT NULL AND status IN ('active', 'failed');

-- A renewal that was tried is tried again after this instant, which is as far ahead of the attempt as
-- the end of a token is of its renewal; and how often it was tried for this version of the credential.
ALTER TABLE connection_secrets ADD COLUMN renew_after TEXT NOT NULL DEFAULT '';

ALTER TABLE connection_secrets ADD COLUMN renew_tries INTEGER NOT NULL DEFAULT 0;

ALTER TABLE connection_secrets ADD COLUMN renew_version INTEGER NOT NULL DEFAULT 0;

CREATE INDEX connection_secrets_renewal ON connection_secrets (max(expires_at, renew_after)) WHERE expires_at IS NOT NULL;

DROP INDEX connection_secrets_expiry;

-- By which credential a run was started: what comes of it is recorded with that.
ALTER TABLE orchestrations ADD COLUMN via TEXT;

-- What came of it: done, begun (what comes of it is in a later entry, or nobody's to know), failed or
-- undone. An entry with another outcome than done is sealed with it.
ALTER TABLE audit ADD COLUMN outcome TEXT NOT NULL DEFAULT 'done' CHECK (outcome IN ('done', 'begun', 'failed', 'undone'));

-- What is written once for an entity, however long ago: it is asked for here, because the audit moves on.
CREATE TABLE audit_once (
  entity_id TEXT NOT NULL,
  action TEXT NOT NULL,
  PRIMARY KEY (entity_id, action)
) STRICT, WITHOUT ROWID;

INSERT OR IGNORE INTO audit_once (entity_id, action) SELECT entity_id, action FROM audit WHERE action IN ('github.app.installed', 'identity.orphaned');

CREATE TRIGGER audit_notes_what_is_once AFTER INSERT ON audit WHEN NEW.action IN ('github.app.installed', 'identity.orphaned')
BEGIN INSERT INTO audit_once (entity_id, action) VALUES (NEW.entity_id, NEW.action) ON CONFLICT DO NOTHING; END;

DROP TRIGGER audit_every_event;

CREATE TRIGGER audit_every_event AFTER INSERT ON outbox WHEN NEW.event_type NOT IN ('service.state_changed', 'audit.sealed')
BEGIN INSERT INTO audit (event_id, at, actor_id, via, action, entity_type, entity_id, detail, traceparent, outcome) VALUES (NEW.event_id, NEW.created_at, NEW.actor_id, NEW.via, NEW.event_type, NEW.entity_type, NEW.entity_id, NEW.payload, NEW.traceparent, iif(json_extract(NEW.payload, '$.outcome') IN ('begun', 'failed', 'undone'), json_extract(NEW.payload, '$.outcome'), 'done')); END;

-- The parts of the audit that are in the archive and no longer here. Each begins where the one before
-- ended, and its first hash is over the last of that.
CREATE TABLE audit_segments (
  last_seq INTEGER PRIMARY KEY,
  first_seq INTEGER NOT NULL UNIQUE CHECK (first_seq <= last_seq),
  -- The seal before its first entry, and that of its last.
  hash_before TEXT NOT NULL CHECK (length(hash_before) = 64),
  hash TEXT NOT NULL CHECK (length(hash) = 64),
  -- Where it is in the archive.
  archive_key TEXT NOT NULL UNIQUE,
  bytes INTEGER NOT NULL,
  archived_at TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_segments_are_append_only BEFORE UPDATE ON audit_segments
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;

CREATE TRIGGER audit_segments_keep_all BEFORE DELETE ON audit_segments
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;

-- An entry goes only when it is in a segment.
DROP TRIGGER audit_keeps_all;

CREATE TRIGGER audit_keeps_all BEFORE DELETE ON audit WHEN OLD.seq < ifnull((SELECT first_seq FROM audit_segments WHERE last_seq >= OLD.seq ORDER BY last_seq LIMIT 1), OLD.seq + 1)
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
