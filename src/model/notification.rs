//! What a bucket notifies of, and whom.
//!
//! **Invariant:** rules that are kept name only events that are raised here, and no two of them speak of the same event of
//! the same key.

use serde::{Deserialize, Serialize};

/// Most rules of a bucket (the S3 limit).
pub const RULES_MAX: usize = 100;
/// Longest prefix or suffix of a filter, in bytes.
const FILTER_BYTES_MAX: usize = 1024;
/// Longest name of a rule, in characters.
const ID_CHARS_MAX: usize = 255;
/// How the target of a name is written.
const ARN: &str = "arn:longshore:sns:::";

/// The rules of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The rules, in the order given.
    pub rules: Vec<Rule>,
}

/// Under which element a rule was sent. They differ in name only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `TopicConfiguration`.
    #[default]
    Topic,
    /// `QueueConfiguration`.
    Queue,
    /// `CloudFunctionConfiguration`.
    Function,
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Its name among the rules.
    pub id: String,
    /// Under which element it was sent.
    pub kind: Kind,
    /// Whom it notifies.
    pub arn: String,
    /// Of what: names such as `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// Only keys that begin with this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Only keys that end with this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventName {
    /// PutObject.
    Put,
    /// A form.
    Post,
    /// CopyObject.
    Copy,
    /// CompleteMultipartUpload.
    Complete,
    /// A version was removed for good.
    Delete,
    /// A delete marker was put before the versions of a key.
    DeleteMarker,
    /// A version was removed for good by a lifecycle rule.
    Expire,
    /// A lifecycle rule put a delete marker before the versions of a key.
    ExpireMarker,
}

impl EventName {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Put,
        Self::Post,
        Self::Copy,
        Self::Complete,
        Self::Delete,
        Self::DeleteMarker,
        Self::Expire,
        Self::ExpireMarker,
    ];

    /// Its name in an event; rules write `s3:` before it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "ObjectCreated:Put",
            Self::Post => "ObjectCreated:Post",
            Self::Copy => "ObjectCreated:Copy",
            Self::Complete => "ObjectCreated:CompleteMultipartUpload",
            Self::Delete => "ObjectRemoved:Delete",
            Self::DeleteMarker => "ObjectRemoved:DeleteMarkerCreated",
            Self::Expire => "LifecycleExpiration:Delete",
            Self::ExpireMarker => "LifecycleExpiration:DeleteMarkerCreated",
        }
    }

    /// Whether a name in a rule means it.
    #[must_use]
    pub fn is_meant_by(self, pattern: &str) -> bool {
        let Some(pattern) = pattern.strip_prefix("s3:") else { return false };
        match pattern.strip_suffix('*') {
            Some(group) => group.ends_with(':') && self.name().starts_with(group),
            None => self.name() == pattern,
        }
    }
}

impl Rule {
    /// The name of the target it notifies, if it is one of ours.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.arn.strip_prefix(ARN).filter(|name| !name.is_empty())
    }

    /// Whether it speaks of an event of a key.
    #[must_use]
    pub fn covers(&self, event: EventName, key: &str) -> bool {
        self.events.iter().any(|pattern| event.is_meant_by(pattern))
            && self.prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix))
            && self.suffix.as_deref().is_none_or(|suffix| key.ends_with(suffix))
    }

    fn overlaps(&self, other: &Self) -> bool {
        let same = |event: EventName| {
            let means = |rule: &Self| rule.events.iter().any(|pattern| event.is_meant_by(pattern));
            means(self) && means(other)
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (a, b) = (text(&self.prefix), text(&other.prefix));
        let (y, z) = (text(&self.suffix), text(&other.suffix));
        EventName::ALL.into_iter().any(same)
            && (a.starts_with(&b) || b.starts_with(&a))
            && (y.ends_with(&z) || z.ends_with(&y))
    }
}

/// Why rules are refused, as a sentence for the client. S3 answers all of them with `InvalidArgument`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// Too many.
    #[error("There are more notification configurations than a bucket can have.")]
    TooMany,
    /// A name twice, or too long.
    #[error("The ids of notification configurations must be unique and have at most 255 characters.")]
    Id,
    /// A target that is not configured.
    #[error("Unable to validate the following destination configurations")]
    Target,
    /// An event that does not exist.
    #[error("The event is not supported for notifications")]
    Event,
    /// A filter that is too long.
    #[error("The value of a filter rule must have at most 1024 bytes.")]
    Filter,
    /// Two rules for one thing.
    #[error(
        "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are \
         overlapping for the same event type."
    )]
    Overlap,
}

impl Notification {
    /// Whether the rules can be followed, with targets for which `known` is true.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn check(&self, known: impl Fn(&str) -> bool) -> Result<(), Unsound> {
        if self.rules.len() > RULES_MAX {
            return Err(Unsound::TooMany);
        }
        for (i, rule) in self.rules.iter().enumerate() {
            let before = &self.rules[..i];
            if rule.id.chars().count() > ID_CHARS_MAX || before.iter().any(|other| other.id == rule.id) {
                return Err(Unsound::Id);
            }
            if !rule.target().is_some_and(&known) {
                return Err(Unsound::Target);
            }
            let raised = |pattern: &String| EventName::ALL.into_iter().any(|event| event.is_meant_by(pattern));
            if rule.events.is_empty() || !rule.events.iter().all(raised) {
                return Err(Unsound::Event);
            }
            if rule.prefix.iter().chain(&rule.suffix).any(|text| text.len() > FILTER_BYTES_MAX) {
                return Err(Unsound::Filter);
            }
            if before.iter().any(|other| other.overlaps(rule)) {
                return Err(Unsound::Overlap);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str, event: &str, prefix: &str, suffix: &str) -> Rule {
        Rule {
            id: id.into(),
            arn: "arn:longshore:sns:::hook".into(),
            events: vec![event.into()],
            prefix: Some(prefix.into()),
            suffix: Some(suffix.into()),
            ..Rule::default()
        }
    }

    #[test]
    fn names_of_rules_mean_events() {
        assert!(EventName::Put.is_meant_by("s3:ObjectCreated:*"));
        assert!(EventName::Put.is_meant_by("s3:ObjectCreated:Put"));
        assert!(!EventName::Put.is_meant_by("s3:ObjectRemoved:*"));
        assert!(!EventName::Put.is_meant_by("ObjectCreated:Put"));
        assert!(!EventName::Put.is_meant_by("s3:*") && !EventName::Put.is_meant_by("s3:Object*"));
    }

    #[test]
    fn keys_are_filtered_at_both_ends() {
        let rule = rule("a", "s3:ObjectCreated:*", "in/", ".jpg");
        for (event, key, covered) in [
            (EventName::Put, "in/a.jpg", true),
            (EventName::Copy, "in/a.jpg", true),
            (EventName::Delete, "in/a.jpg", false),
            (EventName::Put, "out/a.jpg", false),
            (EventName::Put, "in/a.png", false),
        ] {
            assert_eq!(rule.covers(event, key), covered, "{event:?} {key}");
        }
    }

    #[test]
    fn what_rules_may_be() {
        let created = "s3:ObjectCreated:*";
        let check = |rules: &[Rule]| Notification { rules: rules.to_vec() }.check(|name| name == "hook");
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[rule("a", created, "x", ""), rule("b", created, "y", "")]), Ok(()));
        assert_eq!(check(&[rule("a", created, "x", ""), rule("b", created, "xy", "")]), Err(Unsound::Overlap));
        assert_eq!(check(&[rule("a", created, "x", "1"), rule("b", created, "xy", "2")]), Ok(()));
        assert_eq!(check(&[rule("a", created, "", ""), rule("b", "s3:ObjectRemoved:*", "", "")]), Ok(()));
        assert_eq!(check(&[rule("a", created, "x", ""), rule("a", created, "y", "")]), Err(Unsound::Id));
        assert_eq!(check(&[rule("a", "s3:Bogus:*", "x", "")]), Err(Unsound::Event));
        let elsewhere = Rule { arn: "arn:aws:sns:::hook".into(), ..rule("a", created, "", "") };
        assert_eq!(check(&[elsewhere]), Err(Unsound::Target));
    }
}
