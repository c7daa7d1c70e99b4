//! A bucket as the catalog knows it.
//!
//! **Invariant:** a field of [`BucketConfig`] that is not known here is an error when it is read: no older version
//! drops it by its next change. Every field may be absent, and says then that nothing was set.

use std::sync::Arc;

use crate::model::acl::Acl;
use crate::model::cors::Cors;
use crate::model::encryption::DefaultEncryption;
use crate::model::id::BucketId;
use crate::model::lifecycle::Lifecycle;
use crate::model::lock::LockConfig;
use crate::model::logging::Logging;
use crate::model::name::BucketName;
use crate::model::notification::Notification;
use crate::model::pattern::wild_match;
use crate::model::place::Layout;
use crate::model::service::Service;
use crate::model::tag::Tags;
use crate::model::time::Timestamp;
use crate::model::versioning::Versioning;
use crate::model::website::Website;

/// One bucket, bound to one container of one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The catalog's number of it.
    pub id: BucketId,
    /// Its name.
    pub name: BucketName,
    /// The name of the provider that holds its container.
    pub provider: String,
    /// The container, on that provider.
    pub container: BucketName,
    /// Canonical id of the owner; adopted and configured buckets belong to root.
    pub owner: String,
    /// When it was made, or adopted.
    pub created: Timestamp,
    /// What can be changed.
    pub settings: BucketSettings,
    /// What its owner may set through a protocol.
    pub config: Arc<BucketConfig>,
    /// How often `config` was changed: a commit that was decided under another one is refused.
    pub revision: u64,
    /// When a scan last walked it from end to end; `None`: never, so listings merge the provider's page with the rows.
    pub indexed: Option<Timestamp>,
}

impl Bucket {
    /// Whether its access log may go to a bucket: only to one of its owner.
    #[must_use]
    pub fn may_log_to(&self, target: &Self) -> bool {
        self.owner == target.owner
    }
}

/// What the owner of a bucket may set through a protocol. A field that is absent was never set, or was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BucketConfig {
    /// Whether it keeps versions.
    pub versioning: Versioning,
    /// Object lock, which once on stays on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockConfig>,
    /// Its access control list; `None`: the owner's full control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acl: Option<Acl>,
    /// Whether lists count at all, and who owns what others write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ownership: Option<Ownership>,
    /// Its policy, as it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What is public no longer counts, or can no longer be set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_access: Option<PublicAccessBlock>,
    /// Its tags.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// How writes are encrypted that do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<DefaultEncryption>,
    /// How much it may hold.
    #[serde(skip_serializing_if = "Quota::is_none")]
    pub quota: Quota,
    /// Which pages of other origins may use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// What it answers as a website.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub website: Option<Website>,
    /// What becomes of its objects in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// What it notifies of, and whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification: Option<Notification>,
    /// Where its access log goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// Which objects it takes.
    #[serde(skip_serializing_if = "Intake::is_any")]
    pub intake: Intake,
    /// The name that the Supabase interface shows beside its id, if they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it knows as a FileStore, if it is one or was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
}

impl BucketConfig {
    /// What it knows as a FileStore, if it is one: then its groups decide.
    #[must_use]
    pub fn bound_service(&self) -> Option<&Service> {
        self.service.as_ref().filter(|service| service.bound)
    }
}

/// Which objects a bucket takes, at every door.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Intake {
    /// Most bytes of one object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<u64>,
    /// The media types, as `type/subtype` or `type/*`; none: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

impl Intake {
    /// The end of the names of empty objects that stand for directories: they are of any type.
    const PLACEHOLDER: &str = ".emptyFolderPlaceholder";

    /// Whether everything is taken.
    #[must_use]
    pub fn is_any(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an object of this name and type is taken.
    #[must_use]
    pub fn takes_type(&self, key: &str, content_type: &str) -> bool {
        let (kind, subtype) = content_type.split_once('/').unwrap_or((content_type, ""));
        let takes = |allowed: &String| {
            let (a, b) = allowed.split_once('/').unwrap_or((allowed, ""));
            (a == kind || a == "*" && !b.is_empty()) && (b == subtype || b == "*")
        };
        self.types.is_empty() || key.ends_with(Self::PLACEHOLDER) || self.types.iter().any(takes)
    }

    /// Most bytes of an object of this name, where `bytes_max` is the most of any.
    #[must_use]
    pub fn bytes_max(&self, key: &str, bytes_max: u64) -> u64 {
        // What is of any type holds nothing, or anything could be stored under such a name.
        let most = if !self.types.is_empty() && key.ends_with(Self::PLACEHOLDER) { Some(0) } else { self.bytes_max };
        most.map_or(bytes_max, |most| most.min(bytes_max))
    }
}

/// Who owns objects, and whether access control lists count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Ownership {
    /// The bucket's owner owns all, and lists do not count.
    BucketOwnerEnforced,
    /// The bucket's owner owns what is written with `bucket-owner-full-control`.
    BucketOwnerPreferred,
    /// Who writes owns.
    ObjectWriter,
}

/// Four switches against public access.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "four switches of the protocol")]
pub struct PublicAccessBlock {
    /// Public lists are refused.
    pub block_acls: bool,
    /// Public lists do not count.
    pub ignore_acls: bool,
    /// Public policies are refused.
    pub block_policy: bool,
    /// Public policies serve the owner alone.
    pub restrict_buckets: bool,
}

/// The most a bucket may hold, all versions together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
}

impl Quota {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What an administrator may set of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketSettings {
    /// Where new bytes end up.
    pub layout: Layout,
    /// Anyone may read its objects.
    pub public: bool,
    /// Nobody writes to its container but Longshore: a miss in the catalog is final.
    pub exclusive: bool,
    /// Hash what is adopted, so that its ETag is its MD5 at once.
    pub hash_on_adopt: bool,
}

/// Where a bucket goes and which settings it gets when it is made or adopted: what the first pattern says that its name
/// matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketRules(pub Vec<BucketRule>);

/// What is said of the buckets that match a pattern.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketRule {
    /// The pattern of their names.
    pub pattern: String,
    /// The provider of those that are made; `None`: the default one.
    pub provider: Option<String>,
    /// Where new bytes end up; `None`: where the provider's buckets have them.
    pub layout: Option<Layout>,
    /// See [`BucketSettings::exclusive`].
    pub exclusive: bool,
    /// See [`BucketSettings::hash_on_adopt`].
    pub hash_on_adopt: bool,
}

impl BucketRules {
    /// The rule for a name.
    #[must_use]
    pub fn rule(&self, name: &BucketName) -> Option<&BucketRule> {
        self.0.iter().find(|rule| wild_match(&rule.pattern, name.as_str()))
    }

    /// The settings for a name, on a provider whose buckets have `layout` unless a rule says otherwise.
    #[must_use]
    pub fn settings(&self, name: &BucketName, layout: Layout) -> BucketSettings {
        let rule = self.rule(name).cloned().unwrap_or_default();
        BucketSettings {
            layout: rule.layout.unwrap_or(layout),
            public: false,
            exclusive: rule.exclusive,
            hash_on_adopt: rule.hash_on_adopt,
        }
    }
}

impl Default for BucketSettings {
    fn default() -> Self {
        Self { layout: Layout::Natural, public: false, exclusive: false, hash_on_adopt: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_counts() {
        let rule = |pattern: &str, layout| BucketRule { pattern: pattern.into(), layout, ..BucketRule::default() };
        let rules = BucketRules(vec![
            rule("log-*", Some(Layout::Managed)),
            rule("raw", None),
            rule("*", Some(Layout::Natural)),
        ]);
        let settings = |rules: &BucketRules, name: &str, layout| {
            rules.settings(&BucketName::new(name).expect("legal"), layout).layout
        };
        assert_eq!(settings(&rules, "log-1", Layout::Natural), Layout::Managed);
        assert_eq!(settings(&rules, "logs", Layout::Managed), Layout::Natural);
        assert_eq!(settings(&rules, "raw", Layout::Managed), Layout::Managed);
        assert_eq!(settings(&BucketRules::default(), "x", Layout::Managed), Layout::Managed);
    }
}
