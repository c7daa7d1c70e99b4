//! What a caller may be allowed to do, under the names IAM policies use.

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// One permission, as policies name it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in a policy.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

actions! {
    /// Make a bucket.
    CreateBucket = "s3:CreateBucket",
    /// Remove an empty bucket.
    DeleteBucket = "s3:DeleteBucket",
    /// Learn which buckets exist.
    ListAllMyBuckets = "s3:ListAllMyBuckets",
    /// List the keys of a bucket; also: learn that a key is missing.
    ListBucket = "s3:ListBucket",
    /// List the versions of the keys of a bucket.
    ListBucketVersions = "s3:ListBucketVersions",
    /// List the uploads in progress in a bucket.
    ListBucketMultipartUploads = "s3:ListBucketMultipartUploads",
    /// Read a bucket's region.
    GetBucketLocation = "s3:GetBucketLocation",
    /// Read an object and its metadata.
    GetObject = "s3:GetObject",
    /// Read the attributes of an object.
    GetObjectAttributes = "s3:GetObjectAttributes",
    /// Write an object, also in parts.
    PutObject = "s3:PutObject",
    /// Delete an object.
    DeleteObject = "s3:DeleteObject",
    /// Abort an upload.
    AbortMultipartUpload = "s3:AbortMultipartUpload",
    /// List the parts of an upload.
    ListMultipartUploadParts = "s3:ListMultipartUploadParts",
    /// Read the CORS rules of a bucket.
    GetBucketCORS = "s3:GetBucketCORS",
    /// Set and remove the CORS rules of a bucket.
    PutBucketCORS = "s3:PutBucketCORS",
    /// Read how a bucket is a website.
    GetBucketWebsite = "s3:GetBucketWebsite",
    /// Make a bucket a website.
    PutBucketWebsite = "s3:PutBucketWebsite",
    /// Let a bucket be a website no longer.
    DeleteBucketWebsite = "s3:DeleteBucketWebsite",
    /// Administer users, keys, bucket settings and scans.
    Administer = "longshore:Administer",
}
