-- The value of ALLOWED_CONTENT_CHECKSUMS that all artifacts were last found to agree with; one row.
CREATE TABLE core_checksumpolicy (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  allowed TEXT NOT NULL,
  since {{.time}} NOT NULL,
  checked {{.time}} NOT NULL
);
