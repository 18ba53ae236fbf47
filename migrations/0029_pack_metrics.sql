-- What the isolates have counted, one row a series: a handover writes a row for each route and service that it counted
-- instead of one for each bucket of their histograms. The table metrics stays for versions before this one; what they
-- add to it from here on is not taken over.
CREATE TABLE metric_series (
  family TEXT NOT NULL,
  -- As they are printed: method="GET",route="/health"
  labels TEXT NOT NULL,
  -- Of a counter its one number; of a histogram its buckets, then how many there were, then their sum in ms.
  counts TEXT NOT NULL CHECK (json_valid(counts)),
  PRIMARY KEY (family, labels)
) STRICT, WITHOUT ROWID;

INSERT INTO metric_series (family, labels, counts)
SELECT family, labels, json_group_array(value)
FROM (SELECT family, labels, value FROM metrics ORDER BY family, labels, part, position)
GROUP BY family, labels;
