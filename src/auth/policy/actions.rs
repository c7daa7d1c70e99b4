//! Sets of actions, as patterns of policies name them.
//!
//! **Invariant:** the set is worked out when a document is read, so that a decision compares bits and no names.

use crate::auth::policy::Malformed;
use crate::model::action::Action;
use crate::model::pattern::wild_match;

/// A set of actions: bit n stands for the n-th of [`Action::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ActionSet(u128);

const _: () = assert!(Action::ALL.len() <= 128, "an action has no bit");

/// Actions of Amazon's that no request to Longshore needs; policies that name them are understood.
const ELSEWHERE: [&str; 21] = [
    "s3:GetObjectVersionForReplication",
    "s3:GetObjectVersionTorrent",
    "s3:InitiateReplication",
    "s3:ObjectOwnerOverrideToBucketOwner",
    "s3:ReplicateDelete",
    "s3:ReplicateObject",
    "s3:ReplicateTags",
    "s3:UpdateObjectEncryption",
    "s3:CreateBucketMetadataTableConfiguration",
    "s3:DeleteBucketMetadataTableConfiguration",
    "s3:GetBucketMetadataTableConfiguration",
    "s3:GetBucketAbac",
    "s3:PutBucketAbac",
    "s3:GetAccountPublicAccessBlock",
    "s3:PutAccountPublicAccessBlock",
    "s3:ListTagsForResource",
    "s3:TagResource",
    "s3:UntagResource",
    "s3:CreateSession",
    "s3:PauseReplication",
    "s3:ListAccessPoints",
];

impl ActionSet {
    /// None.
    pub(crate) const NONE: Self = Self(0);

    /// These.
    pub(crate) const fn of(actions: &[Action]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < actions.len() {
            bits |= 1 << actions[i] as u32;
            i += 1;
        }
        Self(bits)
    }

    /// All whose names match one of the patterns, which are separated by `|`.
    pub(super) fn matching(patterns: &str) -> Self {
        let patterns: Vec<String> = patterns.split('|').map(str::to_ascii_lowercase).collect();
        let chosen = |action: &Action| {
            let name = action.name().to_ascii_lowercase();
            patterns.iter().any(|pattern| wild_match(pattern, &name))
        };
        Self::of(&Action::ALL.iter().copied().filter(chosen).collect::<Vec<_>>())
    }

    /// What a pattern of a document names. `bucket`: in the policy of a bucket, which can speak of S3 alone.
    pub(super) fn parse(pattern: &str, bucket: bool) -> Result<Self, Malformed> {
        let unknown = || Malformed::new(format!("the action {pattern:?} is not known"));
        let (service, name) = if pattern == "*" { ("*", "*") } else { pattern.split_once(':').ok_or_else(unknown)? };
        if name.is_empty() || pattern.contains('|') {
            return Err(unknown());
        }
        let set = Self::matching(pattern);
        if bucket {
            let set = set.without(Self::of(&[Action::Administer]));
            let named = |known: &&str| wild_match(&pattern.to_ascii_lowercase(), &known.to_ascii_lowercase());
            let known = set != Self::NONE || ELSEWHERE.iter().any(named);
            return if known && (pattern == "*" || service.eq_ignore_ascii_case("s3")) {
                Ok(set)
            } else {
                Err(unknown())
            };
        }
        Ok(set)
    }

    /// All but these. What is not of S3 has to be named.
    pub(super) fn complement(self, with_administer: bool) -> Self {
        let all = Self::of(Action::ALL).without(self);
        if with_administer { all } else { all.without(Self::of(&[Action::Administer])) }
    }

    /// Those of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it holds an action.
    pub(crate) fn has(self, action: Action) -> bool {
        self.0 & (1 << action as u32) != 0
    }

    /// Whether one of its actions is done to objects.
    pub(super) fn has_on_objects(self) -> bool {
        Action::ALL.iter().any(|action| self.has(*action) && action.on_object())
    }

    /// Whether one of its actions is done to buckets.
    pub(super) fn has_on_buckets(self) -> bool {
        Action::ALL.iter().any(|action| self.has(*action) && !action.on_object())
    }
}
