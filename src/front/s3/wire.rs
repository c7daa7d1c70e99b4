//! Between the model and what s3s reads and writes: names, times, tags, checksums, owners.
//!
//! **Invariant:** a name, an id or a number of a client leaves here checked, or is refused; only the size of a page is
//! cut to what may be. Every time that is shown is in whole seconds.

use http::HeaderMap;
use s3s::dto::{self, ETag, Initiator, Owner, StorageClass};
use time::OffsetDateTime;

use super::error::{Refusal, Result, no_such_upload};
use crate::config::limits::PART_NUMBER_MAX;
use crate::model::acl::Grantee;
use crate::model::condition::{Conditions, TagMatch};
use crate::model::id::UploadId;
use crate::model::name::{BucketName, NameError, ObjectKey};
use crate::model::time::Timestamp;
use crate::model::versioning::VersionRef;
use crate::store::Error;

/// Sets the field of a checksum's algorithm in an output of s3s.
macro_rules! show_checksum {
    ($output:expr, $checksum:expr) => {
        if let Some(checksum) = $checksum {
            let value = Some(checksum.value.clone());
            match checksum.algorithm {
                $crate::model::checksum::Algorithm::Crc32 => $output.checksum_crc32 = value,
                $crate::model::checksum::Algorithm::Crc32c => $output.checksum_crc32c = value,
                $crate::model::checksum::Algorithm::Crc64Nvme => $output.checksum_crc64nvme = value,
                $crate::model::checksum::Algorithm::Sha1 => $output.checksum_sha1 = value,
                $crate::model::checksum::Algorithm::Sha256 => $output.checksum_sha256 = value,
            }
        }
    };
}
pub(super) use show_checksum;

/// The bucket of a request.
pub(super) fn bucket(name: &str) -> Result<BucketName> {
    BucketName::new(name).map_err(|_| {
        Refusal::new(400, "InvalidBucketName", "The specified bucket is not valid.").with("BucketName", name)
    })
}

/// The key of a request.
pub(super) fn key(name: &str) -> Result<ObjectKey> {
    ObjectKey::new(name).map_err(|error| match error {
        NameError::TooLong => Refusal::new(400, "KeyTooLongError", "Your key is too long")
            .with("Size", name.len().to_string())
            .with("MaxSizeAllowed", crate::model::name::KEY_BYTES_MAX.to_string()),
        NameError::Empty | NameError::Forbidden | NameError::Reserved => Error::Name(error).into(),
    })
}

/// The upload of a request. A text that is no id names no upload.
pub(super) fn upload(id: &str) -> Result<UploadId> {
    UploadId::parse(id).ok_or_else(no_such_upload)
}

/// The version that a request names.
pub(super) fn version(id: Option<&str>) -> Result<Option<VersionRef>> {
    let parse = |id: &str| {
        VersionRef::parse(id).ok_or_else(|| Refusal::argument("versionId", id, "Invalid version id specified"))
    };
    id.map(parse).transpose()
}

/// The number of a part.
pub(super) fn part_number(number: i32) -> Result<u32> {
    u32::try_from(number).ok().filter(|n| (1..=PART_NUMBER_MAX).contains(n)).ok_or_else(|| {
        Refusal::argument(
            "partNumber",
            &number.to_string(),
            "Part number must be an integer between 1 and 10000, inclusive",
        )
    })
}

/// The size of a page: the default is the most there is, and more is answered as the most.
pub(super) fn page_size(name: &'static str, asked: Option<i32>, most: usize) -> Result<usize> {
    let Some(asked) = asked else { return Ok(most) };
    usize::try_from(asked).map(|asked| asked.min(most)).map_err(|_| {
        Refusal::argument(name, &asked.to_string(), "Argument must be an integer between 0 and 2147483647")
    })
}

/// The part number a page begins after; without one it begins at the first part.
pub(super) fn part_marker(name: &'static str, asked: Option<i32>) -> Result<u32> {
    let asked = asked.unwrap_or(0);
    u32::try_from(asked).map_err(|_| {
        Refusal::argument(name, &asked.to_string(), "Argument must be an integer between 0 and 2147483647")
    })
}

/// A size or count as s3s writes it.
pub(super) fn count(n: impl TryInto<i32>) -> i32 {
    n.try_into().unwrap_or(i32::MAX)
}

/// Bytes as s3s writes them.
pub(super) fn bytes(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A time in whole seconds, so that headers, lists and conditions agree.
pub(super) fn time(at: Timestamp) -> dto::Timestamp {
    Timestamp::from_parts(at.seconds(), 0).to_utc().into()
}

/// A time that was read.
pub(super) fn moment(at: dto::Timestamp) -> Timestamp {
    Timestamp::from_utc(OffsetDateTime::from(at))
}

/// A tag.
pub(super) fn etag(text: &str) -> ETag {
    ETag::Strong(text.to_owned())
}

/// Who owns something.
pub(super) fn owner(id: &str) -> Owner {
    Owner { id: Some(id.to_owned()), display_name: Some(id.to_owned()) }
}

/// Who owns something, by the name it shows.
pub(super) fn named_owner(id: &str, name: &str) -> Owner {
    Owner { id: Some(id.to_owned()), display_name: Some(name.to_owned()) }
}

const GROUPS: [(Grantee, &str); 3] = [
    (Grantee::AllUsers, "http://acs.amazonaws.com/groups/global/AllUsers"),
    (Grantee::AuthenticatedUsers, "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"),
    (Grantee::LogDelivery, "http://acs.amazonaws.com/groups/s3/LogDelivery"),
];

/// The group of an address.
pub(super) fn group(uri: &str) -> Result<Grantee> {
    let found = GROUPS.into_iter().find(|(_, known)| *known == uri);
    found.map(|(group, _)| group).ok_or_else(|| Refusal::argument("Group/URI", uri, "Invalid group uri"))
}

/// The address of a group.
pub(super) fn group_uri(group: &Grantee) -> Option<&'static str> {
    GROUPS.iter().find(|(known, _)| known == group).map(|(_, uri)| *uri)
}

/// Who began something.
pub(super) fn initiator(id: &str) -> Initiator {
    Initiator { id: Some(id.to_owned()), display_name: Some(id.to_owned()) }
}

/// The storage class where it is always shown.
pub(super) fn storage_class(class: Option<String>) -> String {
    class.unwrap_or_else(|| StorageClass::STANDARD.to_owned())
}

/// The conditions on tags, read from the headers as they came, because s3s takes a list for one tag.
pub(super) fn tag_conditions(headers: &HeaderMap, if_match: &str, if_none_match: &str) -> Conditions {
    let tags = |name: &str| {
        let text = headers.get(name)?.to_str().ok()?;
        (!text.trim().is_empty()).then(|| TagMatch::parse(text))
    };
    Conditions { if_match: tags(if_match), if_none_match: tags(if_none_match), ..Conditions::default() }
}

/// The conditions on the tags of the object that the request names.
pub(super) fn conditions(headers: &HeaderMap) -> Conditions {
    tag_conditions(headers, "if-match", "if-none-match")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_clients_are_bounded() {
        for (asked, page) in [(None, Some(1000)), (Some(0), Some(0)), (Some(i32::MAX), Some(1000)), (Some(-1), None)] {
            assert_eq!(page_size("max-keys", asked, 1000).ok(), page, "{asked:?}");
        }
        for (asked, marker) in [(None, Some(0)), (Some(7), Some(7)), (Some(-1), None)] {
            assert_eq!(part_marker("part-number-marker", asked).ok(), marker, "{asked:?}");
        }
        for (number, legal) in [(0, false), (1, true), (10_000, true), (10_001, false), (-1, false)] {
            assert_eq!(part_number(number).is_ok(), legal, "{number}");
        }
    }

    #[test]
    fn versions_are_null_or_ids() {
        assert_eq!(version(None).ok(), Some(None));
        assert_eq!(version(Some("null")).ok(), Some(Some(VersionRef::Null)));
        assert!(matches!(version(Some(&"0a".repeat(16))), Ok(Some(VersionRef::Id(_)))));
        for bad in ["", "NULL", "0A", "notanid"] {
            assert_eq!(
                version(Some(bad)).err().map(|refusal| refusal.code.into_owned()).as_deref(),
                Some("InvalidArgument")
            );
        }
    }

    #[test]
    fn times_are_whole_seconds() {
        assert_eq!(moment(time(Timestamp::from_parts(7, 999_999_999))), Timestamp::from_parts(7, 0));
    }
}
