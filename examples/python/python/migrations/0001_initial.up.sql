-- Made from the types of plugin python. Change it before its release if need be, and never after.
CREATE TABLE python_python_content (
  pulp_id {{.uuid}} PRIMARY KEY REFERENCES core_content ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  pulp_domain_id {{.uuid}} NOT NULL,
  "filename" TEXT NOT NULL,
  "sha256" TEXT NOT NULL,
  "yanked" BOOLEAN NOT NULL,
  "name" TEXT NOT NULL,
  "version" TEXT NOT NULL,
  "requires_python" TEXT NOT NULL,
  "size" BIGINT NOT NULL,
  "hashes" {{.json}}
)
--;;
CREATE UNIQUE INDEX python_python_content_key ON python_python_content ("pulp_domain_id", "sha256", "yanked")
--;;
CREATE INDEX python_python_content_place ON python_python_content ("pulp_domain_id", "filename")
--;;
CREATE INDEX python_python_content_name_idx ON python_python_content ("name")
--;;
CREATE TABLE python_python_remote (
  pulp_id {{.uuid}} PRIMARY KEY REFERENCES core_remote ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  pulp_domain_id {{.uuid}} NOT NULL,
  "projects" {{.json}}
)
--;;
INSERT INTO python_python_remote (pulp_id, pulp_domain_id)
  SELECT pulp_id, pulp_domain_id FROM core_remote WHERE pulp_type = 'python.python'
--;;
CREATE TABLE python_header_contentguard (
  pulp_id {{.uuid}} PRIMARY KEY REFERENCES core_contentguard ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  pulp_domain_id {{.uuid}} NOT NULL,
  "header_name" TEXT NOT NULL,
  "header_value" {{.bytes}}
)
--;;
INSERT INTO python_header_contentguard (pulp_id, pulp_domain_id, "header_name")
  SELECT pulp_id, pulp_domain_id, '' FROM core_contentguard WHERE pulp_type = 'python.header'
