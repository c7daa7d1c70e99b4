-- Buckets that Supabase's own server uses, too: where it places the bytes of versions (see the column "placed" of facts). Rows
-- of storage.objects without facts show in these only.
ALTER TABLE longshore.bucket_settings ADD COLUMN shared smallint;
CREATE INDEX bucket_settings_shared ON longshore.bucket_settings (id) WHERE shared IS NOT NULL;
