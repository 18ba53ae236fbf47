-- The catalog of services: what ChittyRegistry says of them besides their addresses, and the services that
-- have been registered here.

-- The service's name as ChittyRegistry spells it, such as chittycases.
ALTER TABLE service_addresses ADD COLUMN listed_name TEXT;

ALTER TABLE service_addresses ADD COLUMN chitty_id TEXT;

-- The registry's word, in small letters and with underscores for blanks.
ALTER TABLE service_addresses ADD COLUMN status TEXT;

-- The path of the health check; NULL stands for /health.
ALTER TABLE service_addresses ADD COLUMN health_path TEXT;

-- How the registry failed when it was last asked; NULL after an answer.
ALTER TABLE registry_refresh ADD COLUMN last_error TEXT;

-- Rises with each list of the registry and with each registration, so that isolates notice a change.
ALTER TABLE registry_refresh ADD COLUMN catalog_version INTEGER NOT NULL DEFAULT 0;

CREATE TABLE registered_services (
  -- The name in the form in which names are compared, such as weather.
  name TEXT PRIMARY KEY,
  -- The name as it was registered, such as chittyweather.
  shown_name TEXT NOT NULL,
  -- actor:<ChittyID> or github:<id of the repository>.
  owner TEXT NOT NULL,
  -- For people, such as chittyos/chittyweather.
  owner_label TEXT NOT NULL DEFAULT '',
  -- Whether the credential of a registration named this service, or an administrator has confirmed it.
  is_confirmed INTEGER NOT NULL CHECK (is_confirmed IN (0, 1)),
  -- Its name below chitty.cc.
  host TEXT NOT NULL,
  -- The path of the health check; NULL stands for /health.
  health_path TEXT,
  version TEXT,
  description TEXT,
  capabilities TEXT NOT NULL DEFAULT '[]' CHECK (json_type(capabilities) = 'array'),
  -- The other members of the registration, as they were sent.
  more TEXT NOT NULL DEFAULT '{}' CHECK (json_type(more) = 'object'),
  status TEXT NOT NULL DEFAULT 'registered',
  last_deployed_at TEXT,
  last_beacon_at TEXT,
  -- The last sign of life, as it was sent.
  beacon TEXT CHECK (beacon IS NULL OR json_type(beacon) = 'object'),
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  revision TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX registered_services_own ON registered_services (owner, created_at DESC, name DESC);
