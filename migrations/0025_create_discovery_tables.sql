-- Where ChittyRegistry says that services are, as far as that was believed.
CREATE TABLE service_addresses (
  -- As it is compared, such as cases.
  name TEXT PRIMARY KEY,
  -- Its name below chitty.cc, such as cases or eu.cases.
  host TEXT NOT NULL,
  -- Whether this gateway has the service built in, at another name.
  is_moved INTEGER NOT NULL CHECK (is_moved IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE INDEX service_addresses_moved ON service_addresses (name, host) WHERE is_moved = 1;

-- When the registry was last asked, and when it last answered. One row.
CREATE TABLE registry_refresh (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  tried_at TEXT NOT NULL,
  refreshed_at TEXT NOT NULL
) STRICT;

INSERT INTO registry_refresh (one, tried_at, refreshed_at) VALUES (1, '', '');
