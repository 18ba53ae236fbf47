-- Credentials that may live with nobody.

-- Renewals that may have taken place without the new credential having been kept: not answered, or their
-- process ended. When the old one is refused then, the new one was lost.
ALTER TABLE connection_secrets ADD COLUMN in_doubt INTEGER NOT NULL DEFAULT 0 CHECK (in_doubt >= 0);

-- What was tried to be revoked and is not confirmed.
CREATE INDEX credential_revocations_unconfirmed ON credential_revocations (created_at) WHERE attempts > 0;
