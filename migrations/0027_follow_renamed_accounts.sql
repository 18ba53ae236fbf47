-- What the account of an installation was called before it was last renamed: a rename that comes late, after
-- the one that has followed it, is known by that.
ALTER TABLE installations ADD COLUMN account_former_login TEXT;
