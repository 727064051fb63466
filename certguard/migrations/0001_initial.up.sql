-- Made from the types of plugin certguard. Change it before its release if need be, and never after.
CREATE TABLE certguard_x509_contentguard (
  pulp_id {{.uuid}} PRIMARY KEY REFERENCES core_contentguard ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  pulp_domain_id {{.uuid}} NOT NULL,
  "ca_certificate" TEXT NOT NULL
)
--;;
INSERT INTO certguard_x509_contentguard (pulp_id, pulp_domain_id, "ca_certificate")
  SELECT pulp_id, pulp_domain_id, '' FROM core_contentguard WHERE pulp_type = 'certguard.x509'
