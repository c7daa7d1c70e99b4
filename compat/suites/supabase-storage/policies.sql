-- The bucket and the policies that the suite expects to find: whoever has signed in may do everything below `authenticated`.
INSERT INTO storage.buckets (id, name, public) VALUES ('bucket2', 'bucket2', false) ON CONFLICT DO NOTHING;
CREATE POLICY suite_objects ON storage.objects TO authenticated
  USING (bucket_id = 'bucket2' AND (storage.foldername(name))[1] = 'authenticated')
  WITH CHECK (bucket_id = 'bucket2' AND (storage.foldername(name))[1] = 'authenticated');
