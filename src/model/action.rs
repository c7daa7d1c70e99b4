//! What a caller may be allowed to do, under the names IAM policies use.
//!
//! **Invariant:** what an action is done to follows from its name: to an object if it begins with `s3:GetObject`,
//! `s3:PutObject` or `s3:DeleteObject`, or is listed in [`Action::on_object`]; else to a bucket or the service. A new
//! name has to fit that.

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
    /// Read a named version of an object.
    GetObjectVersion = "s3:GetObjectVersion",
    /// Read the attributes of an object.
    GetObjectAttributes = "s3:GetObjectAttributes",
    /// Read the attributes of a named version.
    GetObjectVersionAttributes = "s3:GetObjectVersionAttributes",
    /// Write an object, also in parts.
    PutObject = "s3:PutObject",
    /// Delete an object.
    DeleteObject = "s3:DeleteObject",
    /// Delete a named version of an object.
    DeleteObjectVersion = "s3:DeleteObjectVersion",
    /// Abort an upload.
    AbortMultipartUpload = "s3:AbortMultipartUpload",
    /// List the parts of an upload.
    ListMultipartUploadParts = "s3:ListMultipartUploadParts",
    /// Read an object's access control list.
    GetObjectAcl = "s3:GetObjectAcl",
    /// Read the access control list of a named version.
    GetObjectVersionAcl = "s3:GetObjectVersionAcl",
    /// Change an object's access control list.
    PutObjectAcl = "s3:PutObjectAcl",
    /// Change the access control list of a named version.
    PutObjectVersionAcl = "s3:PutObjectVersionAcl",
    /// Read an object's tags.
    GetObjectTagging = "s3:GetObjectTagging",
    /// Read the tags of a named version.
    GetObjectVersionTagging = "s3:GetObjectVersionTagging",
    /// Change an object's tags.
    PutObjectTagging = "s3:PutObjectTagging",
    /// Change the tags of a named version.
    PutObjectVersionTagging = "s3:PutObjectVersionTagging",
    /// Remove an object's tags.
    DeleteObjectTagging = "s3:DeleteObjectTagging",
    /// Remove the tags of a named version.
    DeleteObjectVersionTagging = "s3:DeleteObjectVersionTagging",
    /// Read until when a version is kept.
    GetObjectRetention = "s3:GetObjectRetention",
    /// Change until when a version is kept.
    PutObjectRetention = "s3:PutObjectRetention",
    /// Read whether a version is on legal hold.
    GetObjectLegalHold = "s3:GetObjectLegalHold",
    /// Put a version on legal hold, or take it off.
    PutObjectLegalHold = "s3:PutObjectLegalHold",
    /// Remove what governance retention keeps.
    BypassGovernanceRetention = "s3:BypassGovernanceRetention",
    /// Bring an archived object back.
    RestoreObject = "s3:RestoreObject",
    /// Read an object as a torrent.
    GetObjectTorrent = "s3:GetObjectTorrent",
    /// Read a bucket's access control list.
    GetBucketAcl = "s3:GetBucketAcl",
    /// Change a bucket's access control list.
    PutBucketAcl = "s3:PutBucketAcl",
    /// Read a bucket's policy.
    GetBucketPolicy = "s3:GetBucketPolicy",
    /// Change a bucket's policy.
    PutBucketPolicy = "s3:PutBucketPolicy",
    /// Remove a bucket's policy.
    DeleteBucketPolicy = "s3:DeleteBucketPolicy",
    /// Read whether a bucket's policy makes it public.
    GetBucketPolicyStatus = "s3:GetBucketPolicyStatus",
    /// Read a bucket's switches against public access.
    GetBucketPublicAccessBlock = "s3:GetBucketPublicAccessBlock",
    /// Change or remove a bucket's switches against public access.
    PutBucketPublicAccessBlock = "s3:PutBucketPublicAccessBlock",
    /// Read who owns the objects of a bucket.
    GetBucketOwnershipControls = "s3:GetBucketOwnershipControls",
    /// Change or remove who owns the objects of a bucket.
    PutBucketOwnershipControls = "s3:PutBucketOwnershipControls",
    /// Read whether a bucket keeps versions.
    GetBucketVersioning = "s3:GetBucketVersioning",
    /// Change whether a bucket keeps versions.
    PutBucketVersioning = "s3:PutBucketVersioning",
    /// Read a bucket's tags.
    GetBucketTagging = "s3:GetBucketTagging",
    /// Change or remove a bucket's tags.
    PutBucketTagging = "s3:PutBucketTagging",
    /// Read which origins a bucket answers.
    GetBucketCORS = "s3:GetBucketCORS",
    /// Change or remove which origins a bucket answers.
    PutBucketCORS = "s3:PutBucketCORS",
    /// Read a bucket's lifecycle rules.
    GetLifecycleConfiguration = "s3:GetLifecycleConfiguration",
    /// Change or remove a bucket's lifecycle rules.
    PutLifecycleConfiguration = "s3:PutLifecycleConfiguration",
    /// Read how a bucket encrypts.
    GetEncryptionConfiguration = "s3:GetEncryptionConfiguration",
    /// Change or remove how a bucket encrypts.
    PutEncryptionConfiguration = "s3:PutEncryptionConfiguration",
    /// Read a bucket's website.
    GetBucketWebsite = "s3:GetBucketWebsite",
    /// Change a bucket's website.
    PutBucketWebsite = "s3:PutBucketWebsite",
    /// Remove a bucket's website.
    DeleteBucketWebsite = "s3:DeleteBucketWebsite",
    /// Read what a bucket notifies.
    GetBucketNotification = "s3:GetBucketNotification",
    /// Change what a bucket notifies.
    PutBucketNotification = "s3:PutBucketNotification",
    /// Read where a bucket logs to.
    GetBucketLogging = "s3:GetBucketLogging",
    /// Change where a bucket logs to.
    PutBucketLogging = "s3:PutBucketLogging",
    /// Read a bucket's object lock.
    GetBucketObjectLockConfiguration = "s3:GetBucketObjectLockConfiguration",
    /// Change a bucket's object lock.
    PutBucketObjectLockConfiguration = "s3:PutBucketObjectLockConfiguration",
    /// Read whether a bucket is accelerated.
    GetAccelerateConfiguration = "s3:GetAccelerateConfiguration",
    /// Change whether a bucket is accelerated.
    PutAccelerateConfiguration = "s3:PutAccelerateConfiguration",
    /// Read who pays for a bucket's requests.
    GetBucketRequestPayment = "s3:GetBucketRequestPayment",
    /// Change who pays for a bucket's requests.
    PutBucketRequestPayment = "s3:PutBucketRequestPayment",
    /// Read where a bucket is replicated to.
    GetReplicationConfiguration = "s3:GetReplicationConfiguration",
    /// Change or remove where a bucket is replicated to.
    PutReplicationConfiguration = "s3:PutReplicationConfiguration",
    /// Read a bucket's analytics.
    GetAnalyticsConfiguration = "s3:GetAnalyticsConfiguration",
    /// Change or remove a bucket's analytics.
    PutAnalyticsConfiguration = "s3:PutAnalyticsConfiguration",
    /// Read a bucket's inventories.
    GetInventoryConfiguration = "s3:GetInventoryConfiguration",
    /// Change or remove a bucket's inventories.
    PutInventoryConfiguration = "s3:PutInventoryConfiguration",
    /// Read a bucket's request metrics.
    GetMetricsConfiguration = "s3:GetMetricsConfiguration",
    /// Change or remove a bucket's request metrics.
    PutMetricsConfiguration = "s3:PutMetricsConfiguration",
    /// Read a bucket's tiering.
    GetIntelligentTieringConfiguration = "s3:GetIntelligentTieringConfiguration",
    /// Change or remove a bucket's tiering.
    PutIntelligentTieringConfiguration = "s3:PutIntelligentTieringConfiguration",
    /// Administer users, keys, bucket settings and scans.
    Administer = "longshore:Administer",
}

impl Action {
    /// Whether it acts on an object, and so on `arn:aws:s3:::bucket/key`; else on the bucket or the service.
    #[must_use]
    pub fn on_object(self) -> bool {
        let name = self.name();
        name.starts_with("s3:GetObject")
            || name.starts_with("s3:PutObject")
            || name.starts_with("s3:DeleteObject")
            || matches!(
                self,
                Self::AbortMultipartUpload
                    | Self::ListMultipartUploadParts
                    | Self::BypassGovernanceRetention
                    | Self::RestoreObject
            )
    }

    /// Whether it can be done to a key that has no object.
    #[must_use]
    pub fn needs_no_object(self) -> bool {
        matches!(
            self,
            Self::PutObject
                | Self::DeleteObject
                | Self::DeleteObjectVersion
                | Self::AbortMultipartUpload
                | Self::ListMultipartUploadParts
        )
    }

    /// What it is called when the request names a version: the same right on old versions is another one.
    #[must_use]
    pub fn of_version(self) -> Self {
        match self {
            Self::GetObject => Self::GetObjectVersion,
            Self::GetObjectAttributes => Self::GetObjectVersionAttributes,
            Self::DeleteObject => Self::DeleteObjectVersion,
            Self::GetObjectAcl => Self::GetObjectVersionAcl,
            Self::PutObjectAcl => Self::PutObjectVersionAcl,
            Self::GetObjectTagging => Self::GetObjectVersionTagging,
            Self::PutObjectTagging => Self::PutObjectVersionTagging,
            Self::DeleteObjectTagging => Self::DeleteObjectVersionTagging,
            other => other,
        }
    }
}
