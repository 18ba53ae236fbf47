-- GitHub App installations: where the app is installed and what it may do there.
CREATE TABLE installations (
  installation_id INTEGER PRIMARY KEY,
  chitty_id TEXT NOT NULL UNIQUE,
  chitty_dna_id TEXT,
  account_id INTEGER NOT NULL,
  account_login TEXT NOT NULL,
  account_type TEXT NOT NULL CHECK (account_type IN ('User', 'Organization')),
  account_avatar_url TEXT,
  repository_selection TEXT NOT NULL CHECK (repository_selection IN ('all', 'selected')),
  permissions TEXT NOT NULL DEFAULT '{}' CHECK (json_type(permissions) = 'object'),
  events TEXT NOT NULL DEFAULT '[]' CHECK (json_type(events) = 'array'),
  selected_repositories TEXT NOT NULL DEFAULT '[]' CHECK (json_type(selected_repositories) = 'array'),
  suspended_at TEXT,
  suspended_by_chitty_id TEXT,
  installed_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  uninstalled_at TEXT
) STRICT;

CREATE INDEX installations_account ON installations (account_id);

CREATE INDEX installations_login ON installations (account_login);

CREATE INDEX installations_live ON installations (installed_at) WHERE uninstalled_at IS NULL;
