//! The names of containers: which container is a bucket's, and back.
//!
//! **Invariant:** no two buckets are one container, as a name that was given to one bucket by the map is nobody else's.

use std::collections::BTreeMap;

use crate::model::name::BucketName;

/// How buckets are named at a storage.
#[derive(Debug, Clone, Default)]
pub struct Names {
    prefix: String,
    map: BTreeMap<BucketName, String>,
}

impl Names {
    /// Containers are named `prefix` and the bucket's name, but for those in `map`.
    #[must_use]
    pub fn new(prefix: &str, map: BTreeMap<BucketName, String>) -> Self {
        Self { prefix: prefix.to_owned(), map }
    }

    /// The container of a bucket; `None` if another bucket was given that name.
    #[must_use]
    pub fn container(&self, bucket: &BucketName) -> Option<String> {
        if let Some(name) = self.map.get(bucket) {
            return Some(name.clone());
        }
        let name = format!("{}{bucket}", self.prefix);
        self.map.values().all(|taken| *taken != name).then_some(name)
    }

    /// The bucket of a container; `None` if it is no bucket's.
    #[must_use]
    pub fn bucket(&self, container: &str) -> Option<BucketName> {
        if let Some((bucket, _)) = self.map.iter().find(|(_, name)| *name == container) {
            return Some(bucket.clone());
        }
        let bucket = BucketName::new(container.strip_prefix(&*self.prefix)?).ok()?;
        (!self.map.contains_key(&bucket)).then_some(bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back_and_never_meet() {
        let bucket = |name: &str| BucketName::new(name).expect("legal");
        let names =
            Names::new("ls-", [(bucket("photos"), "Old.Photos".to_owned()), (bucket("b"), "ls-c".to_owned())].into());
        for (name, container) in [("photos", "Old.Photos"), ("b", "ls-c"), ("a", "ls-a")] {
            assert_eq!(names.container(&bucket(name)).as_deref(), Some(container));
            assert_eq!(names.bucket(container), Some(bucket(name)));
        }
        assert_eq!(names.container(&bucket("c")), None, "it is the container of b");
        assert_eq!(names.bucket("ls-photos"), None, "photos is elsewhere");
        assert_eq!(names.bucket("other"), None);
    }
}
