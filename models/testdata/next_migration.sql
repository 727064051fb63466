== 0001_initial.up.sql
-- Made from the types of plugin shop. Change it before its release if need be, and never after.
CREATE TABLE shop_item_content (
  pulp_id {{.uuid}} PRIMARY KEY REFERENCES core_content ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  pulp_domain_id {{.uuid}} NOT NULL,
  "name" TEXT NOT NULL,
  "price" BIGINT NOT NULL,
  "note" TEXT
)
--;;
CREATE UNIQUE INDEX shop_item_content_key ON shop_item_content ("pulp_domain_id", "name")
--;;
CREATE INDEX shop_item_content_name_idx ON shop_item_content ("name")
== 0001_initial.down.sql
DROP TABLE shop_item_content
== 0002_drop_note.up.sql
-- Made from the types of plugin shop. Change it before its release if need be, and never after.
DROP INDEX shop_item_content_key
--;;
DROP INDEX shop_item_content_name_idx
--;;
ALTER TABLE shop_item_content DROP COLUMN "note"
--;;
ALTER TABLE shop_item_content ADD COLUMN "variant" TEXT NOT NULL DEFAULT ''
--;;
ALTER TABLE shop_item_content ADD COLUMN "colour" TEXT
--;;
ALTER TABLE shop_item_content ADD COLUMN "fresh" BOOLEAN NOT NULL DEFAULT FALSE
--;;
ALTER TABLE shop_item_content ADD COLUMN "weight" DOUBLE PRECISION NOT NULL DEFAULT 0
--;;
ALTER TABLE shop_item_content ADD COLUMN "owner" {{.uuid}} NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
--;;
ALTER TABLE shop_item_content ADD COLUMN "picked" {{.time}} NOT NULL DEFAULT '0001-01-01 00:00:00+00:00'
--;;
ALTER TABLE shop_item_content ADD COLUMN "sizes" {{.json}}
--;;
ALTER TABLE shop_item_content ADD COLUMN "secret" {{.bytes}}
--;;
CREATE UNIQUE INDEX shop_item_content_key ON shop_item_content ("pulp_domain_id", "name", "variant")
--;;
CREATE INDEX shop_item_content_place ON shop_item_content ("pulp_domain_id", "colour")
--;;
CREATE INDEX shop_item_content_look_idx ON shop_item_content ("variant", "colour")
--;;
CREATE INDEX shop_item_content_price_idx ON shop_item_content ("price")
--;;
CREATE TABLE shop_shelf_repository (
  pulp_id {{.uuid}} PRIMARY KEY REFERENCES core_repository ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  pulp_domain_id {{.uuid}} NOT NULL,
  "height" BIGINT NOT NULL,
  "label" TEXT NOT NULL,
  "depth" BIGINT
)
--;;
INSERT INTO shop_shelf_repository (pulp_id, pulp_domain_id, "height", "label")
  SELECT pulp_id, pulp_domain_id, 0, '' FROM core_repository WHERE pulp_type = 'shop.shelf'
--;;
CREATE TABLE shop_crate_content (
  pulp_id {{.uuid}} PRIMARY KEY REFERENCES core_content ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  pulp_domain_id {{.uuid}} NOT NULL,
  "number" BIGINT NOT NULL
)
--;;
CREATE UNIQUE INDEX shop_crate_content_key ON shop_crate_content ("pulp_domain_id", "number")
== 0002_drop_note.down.sql
DROP TABLE shop_crate_content
--;;
DROP TABLE shop_shelf_repository
--;;
DROP INDEX shop_item_content_price_idx
--;;
DROP INDEX shop_item_content_look_idx
--;;
DROP INDEX shop_item_content_place
--;;
DROP INDEX shop_item_content_key
--;;
ALTER TABLE shop_item_content DROP COLUMN "secret"
--;;
ALTER TABLE shop_item_content DROP COLUMN "sizes"
--;;
ALTER TABLE shop_item_content DROP COLUMN "picked"
--;;
ALTER TABLE shop_item_content DROP COLUMN "owner"
--;;
ALTER TABLE shop_item_content DROP COLUMN "weight"
--;;
ALTER TABLE shop_item_content DROP COLUMN "fresh"
--;;
ALTER TABLE shop_item_content DROP COLUMN "colour"
--;;
ALTER TABLE shop_item_content DROP COLUMN "variant"
--;;
ALTER TABLE shop_item_content ADD COLUMN "note" TEXT
--;;
CREATE INDEX shop_item_content_name_idx ON shop_item_content ("name")
--;;
CREATE UNIQUE INDEX shop_item_content_key ON shop_item_content ("pulp_domain_id", "name")
