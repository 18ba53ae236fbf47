-- Names are compared by a key: their normal form (`names` in crates/http-kit). What is written from now on has it in
-- name_key. A name of before that is its own key needs none; what SQL cannot tell is worked on one by
-- one, by the cron and before the owner gives another name (contexts_unkeyed).
ALTER TABLE contexts ADD COLUMN name_key TEXT;

-- One live context an owner and key.
CREATE UNIQUE INDEX contexts_live_key ON contexts (owner_chitty_id, ifnull(name_key, name)) WHERE deleted_at IS NULL;

DROP INDEX contexts_live_name;

-- Names of before that may not be their own keys: with other characters than visible ASCII, or with
-- blanks that are not one between two words.
CREATE INDEX contexts_unkeyed ON contexts (owner_chitty_id, row_id) WHERE name_key IS NULL AND deleted_at IS NULL AND (name GLOB '*[^ -~]*' OR name GLOB ' *' OR name GLOB '* ' OR name GLOB '*  *');

-- A version of the gateway that knows no keys may still give a name while it is replaced.
CREATE TRIGGER contexts_renamed_without_key AFTER UPDATE OF name ON contexts WHEN NEW.name IS NOT OLD.name AND NEW.name_key IS OLD.name_key
BEGIN UPDATE contexts SET name_key = NULL WHERE row_id = NEW.row_id; END;
