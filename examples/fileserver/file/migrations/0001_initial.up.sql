-- Made from the types of plugin file. Change it before its release if need be, and never after.
CREATE TABLE file_file_content (
  pulp_id {{.uuid}} PRIMARY KEY REFERENCES core_content ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  pulp_domain_id {{.uuid}} NOT NULL,
  "relative_path" TEXT NOT NULL,
  "sha256" TEXT NOT NULL
)
--;;
CREATE UNIQUE INDEX file_file_content_key ON file_file_content ("pulp_domain_id", "relative_path", "sha256")
--;;
CREATE TABLE file_file_publication (
  pulp_id {{.uuid}} PRIMARY KEY REFERENCES core_publication ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  pulp_domain_id {{.uuid}} NOT NULL,
  "manifest" TEXT
)
--;;
INSERT INTO file_file_publication (pulp_id, pulp_domain_id)
  SELECT pulp_id, pulp_domain_id FROM core_publication WHERE pulp_type = 'file.file'
--;;
CREATE TABLE file_file_repository (
  pulp_id {{.uuid}} PRIMARY KEY REFERENCES core_repository ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  pulp_domain_id {{.uuid}} NOT NULL,
  "autopublish" BOOLEAN NOT NULL,
  "manifest" TEXT
)
--;;
INSERT INTO file_file_repository (pulp_id, pulp_domain_id, "autopublish")
  SELECT pulp_id, pulp_domain_id, FALSE FROM core_repository WHERE pulp_type = 'file.file'
