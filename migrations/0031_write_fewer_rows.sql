-- Indexes that are written with every event and every mint, and that nothing needs. D1 bills each as a row.

-- What is open of an entity is found by outbox_open; what has happened to it, by the audit.
DROP INDEX outbox_entity;

-- Most intents have an id that begins with their time (`mnt_` and a UUIDv7, whose first digit is 0 until the
-- year 10889): their key is in the order in which they become old. The others are named after what they are
-- for, and are attempted again: only those need another order.
DROP INDEX mint_intents_created;

CREATE INDEX mint_intents_repeated ON mint_intents (created_at) WHERE intent_id >= 'mnt_1';
