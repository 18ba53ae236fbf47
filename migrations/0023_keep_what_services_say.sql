-- What other services have said of a context, which is no change of it by anybody.

-- How much was learned of it: a part of the entity tag beside the revision, which stays.
ALTER TABLE contexts ADD COLUMN learned INTEGER NOT NULL DEFAULT 0 CHECK (learned >= 0);

-- ChittyVerify's last answer, with its time: JSON. NULL where it was never asked.
ALTER TABLE contexts ADD COLUMN verification TEXT CHECK (json_type(verification) = 'object');

-- The lineage of a context as ChittyDNA last told it, and when.
CREATE TABLE context_lineages (
  chitty_id TEXT PRIMARY KEY,
  lineage TEXT NOT NULL CHECK (json_valid(lineage)),
  read_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX context_lineages_read ON context_lineages (read_at);
