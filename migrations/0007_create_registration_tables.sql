-- How far the gateway's own registration in the ecosystem has come. Each step is recorded once, as
-- it succeeds: the key decides between racing isolates.
CREATE TABLE registration_steps (
  step TEXT PRIMARY KEY CHECK (step IN ('mint', 'dna', 'keys', 'register', 'verify', 'certify', 'log')),
  -- What the step yielded, such as the ChittyID of 'mint'.
  result TEXT NOT NULL,
  completed_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: who is trying, until when, and when the next try may be made.
CREATE TABLE registration_lease (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  holder TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  next_attempt_at TEXT NOT NULL,
  last_error TEXT
) STRICT;

INSERT INTO registration_lease (id, holder, expires_at, next_attempt_at) VALUES (1, '', '', '');
