-- Whose entity an event has happened to, as it was then: what is listed as one's own, and kept from whoever has
-- the entity later. NULL where that was nobody's. It is not sealed: it follows from what is.
ALTER TABLE audit ADD COLUMN owner_id TEXT;

-- The ids of events sort by their time.
CREATE INDEX audit_owner ON audit (owner_id, event_id) WHERE owner_id IS NOT NULL;

-- What has happened in a repository, for its owner.
CREATE INDEX audit_owned_repository ON audit (owner_id, entity_id, seq) WHERE owner_id IS NOT NULL AND entity_type = 'repository';

-- (The body of a trigger stays on one line: a semicolon that ends a line ends a statement here.)
-- An installation that somebody has let go of was theirs. What happens in a repository happens to the
-- installation that tells of it.
DROP TRIGGER audit_every_event;

CREATE TRIGGER audit_every_event AFTER INSERT ON outbox WHEN NEW.event_type NOT IN ('service.state_changed', 'audit.sealed')
BEGIN INSERT INTO audit (event_id, at, actor_id, via, action, entity_type, entity_id, detail, traceparent, outcome, owner_id) VALUES (NEW.event_id, NEW.created_at, NEW.actor_id, NEW.via, NEW.event_type, NEW.entity_type, NEW.entity_id, NEW.payload, NEW.traceparent, iif(json_extract(NEW.payload, '$.outcome') IN ('begun', 'failed', 'undone'), json_extract(NEW.payload, '$.outcome'), 'done'), CASE NEW.entity_type WHEN 'actor' THEN NEW.entity_id WHEN 'context' THEN (SELECT owner_chitty_id FROM contexts WHERE chitty_id = NEW.entity_id) WHEN 'connection' THEN (SELECT owner_chitty_id FROM connections WHERE connection_id = NEW.entity_id) WHEN 'delegation' THEN (SELECT delegator_chitty_id FROM delegations WHERE delegation_id = NEW.entity_id) WHEN 'key' THEN (SELECT owner_chitty_id FROM keys WHERE key_id = NEW.entity_id) WHEN 'orchestration' THEN (SELECT owner_chitty_id FROM orchestrations WHERE id = NEW.entity_id) WHEN 'installation' THEN iif(NEW.event_type = 'github.app.released', json_extract(NEW.payload, '$.from'), (SELECT owner_chitty_id FROM installations WHERE chitty_id = NEW.entity_id)) WHEN 'repository' THEN (SELECT owner_chitty_id FROM installations WHERE chitty_id = NEW.actor_id) END); END;

-- The newest hundred thousand entries get theirs now, which is what one statement may do; older ones are
-- found by their entities. Only installations have changed hands: each claim and each release is on record.
DROP TRIGGER audit_is_append_only;

UPDATE audit SET owner_id = CASE entity_type WHEN 'actor' THEN entity_id WHEN 'context' THEN (SELECT owner_chitty_id FROM contexts WHERE chitty_id = audit.entity_id) WHEN 'connection' THEN (SELECT owner_chitty_id FROM connections WHERE connection_id = audit.entity_id) WHEN 'delegation' THEN (SELECT delegator_chitty_id FROM delegations WHERE delegation_id = audit.entity_id) WHEN 'key' THEN (SELECT owner_chitty_id FROM keys WHERE key_id = audit.entity_id) WHEN 'orchestration' THEN (SELECT owner_chitty_id FROM orchestrations WHERE id = audit.entity_id) ELSE iif(action = 'github.app.released', json_extract(detail, '$.from'), (SELECT iif(c.action = 'github.app.claimed', c.actor_id, NULL) FROM audit AS c WHERE c.entity_id = iif(audit.entity_type = 'repository', audit.actor_id, audit.entity_id) AND c.action IN ('github.app.claimed', 'github.app.released') AND c.seq <= audit.seq ORDER BY c.seq DESC LIMIT 1)) END WHERE seq > (SELECT ifnull(max(seq), 0) - 100000 FROM audit) AND entity_type IN ('actor', 'context', 'connection', 'delegation', 'key', 'orchestration', 'installation', 'repository');

CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
