-- What kind of context its maker calls it, and what the maker keeps with it.
ALTER TABLE contexts ADD COLUMN type TEXT CHECK (length(type) BETWEEN 1 AND 64);

ALTER TABLE contexts ADD COLUMN customizations TEXT CHECK (json_type(customizations) = 'object');

-- The context as it is returned. `document` has as many arguments as a function takes in D1, and cannot
-- be changed; this puts the rest behind it. Not stored: it is made as it is read, from text that is JSON
-- already.
ALTER TABLE contexts ADD COLUMN shown TEXT GENERATED ALWAYS AS (
  substr(document, 1, length(document) - 1) || ',"type":' || json_quote(type)
  || ',"customizations":' || coalesce(customizations, 'null') || '}'
) VIRTUAL;

-- The list of one type, newest first, whole and by status. What has no type is in neither.
CREATE INDEX contexts_live_type ON contexts (owner_chitty_id, type, created_at DESC, chitty_id DESC) WHERE deleted_at IS NULL AND type IS NOT NULL;

CREATE INDEX contexts_live_type_status ON contexts (owner_chitty_id, type, status, created_at DESC, chitty_id DESC) WHERE deleted_at IS NULL AND type IS NOT NULL;
