-- Contexts: what an actor works in. One row a context, deleted ones included.
CREATE TABLE contexts (
  -- Order of creation and the key of the search index. Declared, so that it survives an export.
  row_id INTEGER PRIMARY KEY,
  chitty_id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  owner_chitty_id TEXT NOT NULL,
  data TEXT NOT NULL DEFAULT '[]' CHECK (json_type(data) = 'array'),
  systems TEXT NOT NULL DEFAULT '[]' CHECK (json_type(systems) = 'array'),
  tools TEXT NOT NULL DEFAULT '[]' CHECK (json_type(tools) = 'array'),
  -- ISO-8601 UTC with milliseconds, so that text order is time order.
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  deleted_at TEXT,
  chitty_dna_id TEXT,
  chitty_chronicle_timeline_id TEXT,
  status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'deleted')),
  -- The id of the event that made this version: the row's ETag, and how the statements of one
  -- batch recognise that the change before them took place.
  revision TEXT NOT NULL,
  -- The context as it is returned: a read hands this text on as it is. Always what the other columns
  -- say, because the database makes it. 32 arguments are the most that a function takes in D1.
  document TEXT NOT NULL GENERATED ALWAYS AS (
    json_object(
      'chitty_id', chitty_id, 'chittyId', chitty_id, 'contextId', chitty_id, 'name', name,
      'owner_chitty_id', owner_chitty_id, 'owner', owner_chitty_id, 'data', json(data),
      'systems', json(systems), 'tools', json(tools), 'status', status,
      'created_at', created_at, 'updated_at', updated_at, 'deleted_at', deleted_at,
      'chitty_dna_id', chitty_dna_id,
      'chitty_chronicle_timeline_id', chitty_chronicle_timeline_id, 'created', created_at
    )
  ) STORED,
  CHECK ((status = 'deleted') = (deleted_at IS NOT NULL))
) STRICT;

-- A name is unique per owner among those not deleted, so a deleted name can be used again.
CREATE UNIQUE INDEX contexts_live_name ON contexts (owner_chitty_id, name) WHERE deleted_at IS NULL;

-- The list, newest first, whole and by status: each page is one range of one index.
CREATE INDEX contexts_live_created ON contexts (owner_chitty_id, created_at DESC, chitty_id DESC) WHERE deleted_at IS NULL;

CREATE INDEX contexts_live_status ON contexts (owner_chitty_id, status, created_at DESC, chitty_id DESC) WHERE deleted_at IS NULL;

-- Full-text search. rowid is contexts.row_id; a deleted context has no row here. The worker fills
-- it in the same batch as the context, with words that it has cut itself, each once and behind a
-- key for its owner and status (src/contexts/search.rs); the tokenizer folds case and diacritics
-- and stems. Nothing asks where in a text a word stands, or how long texts are, so neither is kept.
CREATE VIRTUAL TABLE contexts_fts USING fts5 (
  name,
  data,
  systems,
  tools,
  detail = none,
  columnsize = 0,
  tokenize = "porter unicode61 remove_diacritics 2 categories 'L* N* M* Co So Sk Sm Sc'"
);
