//! A bucket as the catalog knows it.

use crate::model::id::BucketId;
use crate::model::name::BucketName;
use crate::model::pattern::wild_match;
use crate::model::place::Layout;
use crate::model::time::Timestamp;

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
    /// When a scan last walked it from end to end; `None`: never, so listings merge the provider's page with the rows.
    pub indexed: Option<Timestamp>,
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

/// Which settings a bucket gets when it is made or adopted: those of the first pattern that its name matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketRules(pub Vec<(String, BucketSettings)>);

impl BucketRules {
    /// The settings for a name; the defaults if no pattern matches.
    #[must_use]
    pub fn settings(&self, name: &BucketName) -> BucketSettings {
        let rule = self.0.iter().find(|(pattern, _)| wild_match(pattern, name.as_str()));
        rule.map_or_else(BucketSettings::default, |(_, settings)| *settings)
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
        let managed = BucketSettings { layout: Layout::Managed, ..BucketSettings::default() };
        let rules = BucketRules(vec![("log-*".into(), managed), ("*".into(), BucketSettings::default())]);
        let layout = |name: &str| rules.settings(&BucketName::new(name).expect("legal")).layout;
        assert_eq!((layout("log-1"), layout("logs")), (Layout::Managed, Layout::Natural));
        assert_eq!(BucketRules::default().settings(&BucketName::new("x").expect("legal")).layout, Layout::Natural);
    }
}
