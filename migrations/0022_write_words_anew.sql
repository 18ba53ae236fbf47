-- How often the words of a context (contexts_fts) were written in their present form: folded and cut for
-- every script (src/contexts/search). 0 where they are those of an earlier version, which the cron writes
-- anew.
ALTER TABLE contexts ADD COLUMN words_written INTEGER NOT NULL DEFAULT 0 CHECK (words_written >= 0);

CREATE INDEX contexts_former_words ON contexts (row_id) WHERE words_written = 0 AND deleted_at IS NULL;

-- A version of the gateway that writes words in their former form may still do so while it is replaced, or
-- brought back: it does not count.
CREATE TRIGGER contexts_changed_in_former_words AFTER UPDATE OF revision ON contexts WHEN NEW.revision IS NOT OLD.revision AND NEW.words_written = OLD.words_written AND NEW.deleted_at IS NULL
BEGIN UPDATE contexts SET words_written = 0 WHERE row_id = NEW.row_id; END;
