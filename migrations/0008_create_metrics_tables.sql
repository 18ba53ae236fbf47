-- What the isolates have counted, added up. Each hands over what it has counted since the last time,
-- in one batch with its own row in metric_isolates, whose number keeps a repeated batch from counting
-- twice.
CREATE TABLE metrics (
  family TEXT NOT NULL,
  -- As they are printed: method="GET",route="/health"
  labels TEXT NOT NULL,
  -- Of a histogram: bucket, sum or count. Of a counter: empty.
  part TEXT NOT NULL CHECK (part IN ('', 'bucket', 'sum', 'count')),
  -- Which bucket; 0 for the other parts.
  position INTEGER NOT NULL,
  -- Sums are in milliseconds.
  value INTEGER NOT NULL,
  PRIMARY KEY (family, labels, part, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE metric_isolates (
  isolate TEXT PRIMARY KEY,
  -- The number of its last batch.
  seq INTEGER NOT NULL,
  seen_at TEXT NOT NULL,
  -- Its breakers that are not closed: a JSON object, state by service.
  breakers TEXT NOT NULL CHECK (json_valid(breakers))
) STRICT, WITHOUT ROWID;

CREATE INDEX metric_isolates_seen ON metric_isolates (seen_at);
