//! Names as Supabase takes them.
//!
//! **Invariant:** what is written obeys Supabase's rules; what other interfaces wrote is read under whatever name it has.

use super::Supabase;
use super::error::{Refusal, Result};
use crate::model::name::{BucketName, ObjectKey};

/// The characters beside letters and digits.
const MARKS: &str = "_!.*'() &$=@;:+,?-";

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || MARKS.contains(c)
}

fn is_bucket(name: &str) -> bool {
    !name.is_empty() && name.len() <= 100 && name.chars().all(is_plain) && name.trim() == name
}

/// The name of a bucket that is to be made.
pub(super) fn new_bucket(name: &str) -> Result<BucketName> {
    if !is_bucket(name) || name.ends_with("--table-s3") {
        return Err(Refusal::bucket_name());
    }
    BucketName::new(name).map_err(|_| Refusal::bucket_name())
}

/// The key of an object that is to be written. Segments that mean another place to others are refused.
pub(super) fn new_key(key: &str) -> Result<ObjectKey> {
    let plain = !key.is_empty() && key.chars().all(|c| is_plain(c) || c == '/');
    if !plain || key.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(Refusal::key(key));
    }
    ObjectKey::new(key).map_err(|_| Refusal::key(key))
}

/// The key of an object that may be there.
pub(super) fn key(key: &str) -> Result<ObjectKey> {
    ObjectKey::new(key).map_err(|_| Refusal::key(key))
}

impl Supabase {
    /// The name of a bucket. One that Supabase would not take counts if there is such a bucket.
    pub(super) async fn bucket(&self, name: &str) -> Result<BucketName> {
        let bucket = BucketName::new(name).map_err(|_| Refusal::bucket_name())?;
        if is_bucket(name) || self.store.is_open(&bucket).await.is_ok() {
            return Ok(bucket);
        }
        Err(Refusal::bucket_name())
    }
}
