-- As whom the owner of an installation has shown at GitHub that it is theirs; NULL where that was not
-- noted. The name is there where it was as an owner of an organization, and NULL where the account was
-- their own.
ALTER TABLE installations ADD COLUMN owner_github_id INTEGER;

ALTER TABLE installations ADD COLUMN owner_github_login TEXT;

-- Deliveries on GitHub's list that are not on record: each is asked for again by itself.
CREATE TABLE github_missing (
  delivery_id TEXT PRIMARY KEY,
  event TEXT NOT NULL,
  -- GitHub's number of the newest attempt that was seen: the one that is repeated.
  github_id TEXT NOT NULL,
  -- When GitHub made it first, as far as was seen, and until when it is asked for.
  made_at TEXT NOT NULL,
  until_at TEXT NOT NULL,
  due_at TEXT NOT NULL,
  -- How often it was asked for.
  tries INTEGER NOT NULL DEFAULT 0,
  last_error TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX github_missing_due ON github_missing (due_at);

CREATE INDEX github_missing_until ON github_missing (until_at);

-- What is on record is not missing any more. (The body of a trigger stays on one line.)
CREATE TRIGGER github_delivery_arrives AFTER INSERT ON github_deliveries
BEGIN DELETE FROM github_missing WHERE delivery_id = NEW.delivery_id; END;

-- How far the pass through GitHub's list has come that is under way: where it goes on, and until when
-- nothing will be unseen when it ends. NULL where none is.
ALTER TABLE github_recovery ADD COLUMN pass_cursor TEXT;

ALTER TABLE github_recovery ADD COLUMN pass_until TEXT;

-- Behind which lane the next sweep begins; one row.
CREATE TABLE github_sweep (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  after TEXT NOT NULL
) STRICT;

-- What is done and old is pruned, whatever else is old.
DROP INDEX github_deliveries_received;

CREATE INDEX github_deliveries_done ON github_deliveries (received_at) WHERE done_at IS NOT NULL;

-- What is to be done for one installation.
CREATE INDEX github_jobs_installation ON github_jobs (installation_id, due_at) WHERE done_version < version;
