//! Lifecycle rules of a bucket: what a rule may be, and when it is due for what.
//!
//! Transitions are checked and kept, and nothing comes of them: there is one place for bytes, whatever their class is
//! called.
//!
//! **Invariant:** [`due`] is a function of its arguments. It says of a version no earlier than the rule does what is to
//! become of it, and of a noncurrent one only if it is known since when it is that.

use serde::{Deserialize, Serialize};

use crate::model::tag::{Tag, Tags};
use crate::model::time::Timestamp;

mod check;

pub use check::Unsound;

/// Most rules of a bucket (the S3 limit).
pub const RULES_MAX: usize = 1000;
/// Seconds of a day outside of tests.
pub const DAY_SECONDS: u32 = 24 * 60 * 60;

/// The rules of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// The rules, in the order given.
    pub rules: Vec<Rule>,
    /// What a client says about the least size of a transition, given back as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_size: Option<String>,
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Its name among the rules.
    pub id: String,
    /// Whether it is followed.
    pub enabled: bool,
    /// The prefix of a rule in the old form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Which objects it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// What becomes of current versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<Expiration>,
    /// What becomes of noncurrent ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noncurrent: Option<Noncurrent>,
    /// After how many days an upload is given up that was not completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort_days: Option<u32>,
    /// Transitions of current versions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transitions: Vec<Transition>,
    /// Transitions of noncurrent versions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub noncurrent_transitions: Vec<NoncurrentTransition>,
}

/// Which objects a rule is about: those that everything holds for that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// What holds.
    #[serde(flatten)]
    pub terms: Terms,
    /// Further terms, in an element of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub and: Option<Terms>,
}

/// What must hold for an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// Its key begins with this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// It has these tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// It has more bytes than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub greater: Option<u64>,
    /// It has fewer bytes than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub less: Option<u64>,
}

/// When current versions expire: one of the three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Expiration {
    /// So many days after they were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// From this day on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<Timestamp>,
    /// Whether a delete marker goes that nothing is left behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lone_marker: Option<bool>,
}

/// When noncurrent versions expire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noncurrent {
    /// So many days after they stopped being current.
    pub days: u32,
    /// Not the newest so many of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
}

/// When current versions get another storage class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Transition {
    /// So many days after they were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// From this day on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<Timestamp>,
    /// Which.
    pub class: String,
}

/// When noncurrent versions get another storage class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NoncurrentTransition {
    /// So many days after they stopped being current.
    pub days: u32,
    /// Not the newest so many of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
    /// Which.
    pub class: String,
}

/// How long a day is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day(u32);

impl Default for Day {
    fn default() -> Self {
        Self::CALENDAR
    }
}

impl Day {
    /// A day of the calendar, which ends at midnight UTC.
    pub const CALENDAR: Self = Self(DAY_SECONDS);

    /// A day of so many seconds, at least one: a short one is for tests.
    #[must_use]
    pub fn of_seconds(seconds: u32) -> Self {
        Self(seconds.max(1))
    }

    /// Its seconds.
    #[must_use]
    pub fn seconds(self) -> u32 {
        self.0
    }

    /// When so many days after `from` have passed. Days of the calendar are whole ones: the next midnight after that.
    #[must_use]
    pub fn after(self, from: Timestamp, days: u32) -> Timestamp {
        let until = from.seconds().saturating_add(i64::from(days).saturating_mul(i64::from(self.0)));
        if self != Self::CALENDAR {
            return Timestamp::from_parts(until, from.subsec_nanos());
        }
        let day = i64::from(DAY_SECONDS);
        Timestamp::from_parts(until.div_euclid(day).saturating_add(1).saturating_mul(day), 0)
    }
}

/// What a rule asks about a version.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The key.
    pub key: &'a str,
    /// Bytes.
    pub size: u64,
    /// Its tags.
    pub tags: &'a Tags,
    /// When it was written.
    pub modified: Timestamp,
    /// Whether it is a delete marker.
    pub marker: bool,
    /// Where it stands among the versions of its key.
    pub rank: Rank,
}

/// Where a version stands among those of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// It is the current one. `alone`: there is no other.
    Current {
        /// Whether no other version is left.
        alone: bool,
    },
    /// It is not.
    Noncurrent {
        /// Since when: the date of the version that displaced it.
        since: Timestamp,
        /// How many noncurrent versions with bytes are newer.
        newer: u32,
    },
}

/// What is to become of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Its key is deleted, which in a bucket with versions adds a marker.
    Delete,
    /// It is removed for good.
    Remove,
}

impl Terms {
    fn hold(&self, facts: &Facts<'_>) -> bool {
        let sized = self.greater.is_some() || self.less.is_some();
        self.prefix.as_deref().is_none_or(|prefix| facts.key.starts_with(prefix))
            && self.tags.iter().all(|tag| facts.tags.get(&tag.key) == Some(&tag.value))
            && !(facts.marker && sized)
            && self.greater.is_none_or(|bytes| facts.size > bytes)
            && self.less.is_none_or(|bytes| facts.size < bytes)
    }
}

impl Rule {
    /// The prefix that all keys begin with which it may be about.
    #[must_use]
    pub fn prefix(&self) -> &str {
        let all = self.prefix.iter().chain(self.terms().filter_map(|terms| terms.prefix.as_ref()));
        all.max_by_key(|prefix| prefix.len()).map_or("", String::as_str)
    }

    /// Whether it asks for tags, which a listing does not have.
    #[must_use]
    pub fn asks_tags(&self) -> bool {
        self.terms().any(|terms| !terms.tags.is_empty())
    }

    /// Whether it is about such a version.
    #[must_use]
    pub fn covers(&self, facts: &Facts<'_>) -> bool {
        self.prefix.as_deref().is_none_or(|prefix| facts.key.starts_with(prefix))
            && self.terms().all(|terms| terms.hold(facts))
    }

    /// When an upload of this key is to be given up that was begun at `created`; `None`: never.
    #[must_use]
    pub fn abort_at(&self, key: &str, created: Timestamp, day: Day) -> Option<Timestamp> {
        let facts = Facts {
            key,
            size: 0,
            tags: &Tags::default(),
            modified: created,
            marker: false,
            rank: Rank::Current { alone: true },
        };
        let days = self.abort_days.filter(|_| self.enabled && self.covers(&facts))?;
        Some(day.after(created, days))
    }

    fn terms(&self) -> impl Iterator<Item = &Terms> {
        self.filter.iter().flat_map(|filter| std::iter::once(&filter.terms).chain(&filter.and))
    }
}

impl Lifecycle {
    /// When the current version of such facts expires, and by which rule; `None`: never.
    #[must_use]
    pub fn expires(&self, facts: &Facts<'_>) -> Option<(Timestamp, &str)> {
        let rules = self.rules.iter().filter(|rule| rule.enabled && rule.covers(facts));
        let dated = rules.filter_map(|rule| Some((expiry(rule, facts.modified, Day::CALENDAR)?, rule.id.as_str())));
        dated.min_by_key(|(at, _)| *at)
    }
}

fn expiry(rule: &Rule, modified: Timestamp, day: Day) -> Option<Timestamp> {
    let expiration = rule.expiration?;
    expiration.date.or_else(|| Some(day.after(modified, expiration.days?)))
}

/// What a rule wants of a version now.
#[must_use]
pub fn due(rule: &Rule, facts: &Facts<'_>, now: Timestamp, day: Day) -> Option<Due> {
    if !rule.enabled || !rule.covers(facts) {
        return None;
    }
    let come = |at: Timestamp| at <= now;
    match facts.rank {
        Rank::Current { .. } if !facts.marker => expiry(rule, facts.modified, day).filter(|at| come(*at))?,
        // A marker with versions behind it hides them, and stays.
        Rank::Current { alone: false } => return None,
        Rank::Current { alone: true } => {
            let lone = rule.expiration.and_then(|expiration| expiration.lone_marker) == Some(true);
            return (lone || expiry(rule, facts.modified, day).is_some_and(come)).then_some(Due::Remove);
        }
        Rank::Noncurrent { since, newer } => {
            let Noncurrent { days, keep } = rule.noncurrent?;
            return (newer >= keep.unwrap_or(0) && come(day.after(since, days))).then_some(Due::Remove);
        }
    };
    Some(Due::Delete)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_parts(seconds, 0)
    }

    fn rule(change: impl FnOnce(&mut Rule)) -> Rule {
        let mut rule = Rule { id: "r".into(), enabled: true, ..Rule::default() };
        change(&mut rule);
        rule
    }

    fn facts(tags: &Tags) -> Facts<'_> {
        Facts { key: "a/b", size: 10, tags, modified: at(0), marker: false, rank: Rank::Current { alone: true } }
    }

    #[test]
    fn days_of_the_calendar_end_at_midnight() {
        let day = i64::from(DAY_SECONDS);
        assert_eq!(Day::CALENDAR.after(at(10 * HOUR), 3), at(4 * day));
        assert_eq!(Day::CALENDAR.after(at(0), 1), at(2 * day));
        assert_eq!(Day::of_seconds(10).after(at(7), 3), at(37));
        assert_eq!(Day::CALENDAR.after(Timestamp(i64::MAX), u32::MAX).0, i64::MAX);
    }

    #[test]
    fn current_versions_expire_by_days_and_by_date() {
        let (tags, ten) = (Tags::default(), Day::of_seconds(10));
        let by_days = rule(|r| r.expiration = Some(Expiration { days: Some(2), ..Expiration::default() }));
        assert_eq!(due(&by_days, &facts(&tags), at(19), ten), None);
        assert_eq!(due(&by_days, &facts(&tags), at(20), ten), Some(Due::Delete));
        let by_date = rule(|r| r.expiration = Some(Expiration { date: Some(at(5)), ..Expiration::default() }));
        assert_eq!(due(&by_date, &facts(&tags), at(4), ten), None);
        assert_eq!(due(&by_date, &facts(&tags), at(5), ten), Some(Due::Delete));
        let off = Rule { enabled: false, ..by_date };
        assert_eq!(due(&off, &facts(&tags), at(5), ten), None);
    }

    #[test]
    fn everything_in_a_filter_must_hold() {
        let tag = |key: &str| Tag { key: key.into(), value: "v".into() };
        let tags = Tags::new(vec![tag("x"), tag("y")], 10).expect("legal");
        let expiring = |terms: Terms, and: Option<Terms>| {
            let rule = rule(|r| r.filter = Some(Filter { terms, and }));
            rule.covers(&facts(&tags))
        };
        let prefix = |prefix: &str| Terms { prefix: Some(prefix.into()), ..Terms::default() };
        let tagged = |tags: &[&str]| Terms { tags: tags.iter().map(|key| tag(key)).collect(), ..Terms::default() };
        assert!(expiring(Terms::default(), None));
        assert!(expiring(prefix("a/"), Some(tagged(&["x", "y"]))));
        assert!(!expiring(prefix("a/"), Some(tagged(&["x", "z"]))));
        assert!(!expiring(prefix("b/"), None));
        assert!(!expiring(Terms { greater: Some(10), ..Terms::default() }, None));
        assert!(expiring(Terms { greater: Some(9), less: Some(11), ..Terms::default() }, None));
        assert!(!expiring(Terms { less: Some(10), ..Terms::default() }, None));
    }

    #[test]
    fn markers_go_when_nothing_is_behind_them() {
        let (tags, ten) = (Tags::default(), Day::of_seconds(10));
        let marker = |alone| Facts { marker: true, rank: Rank::Current { alone }, ..facts(&tags) };
        let lone = rule(|r| r.expiration = Some(Expiration { lone_marker: Some(true), ..Expiration::default() }));
        assert_eq!(due(&lone, &marker(true), at(0), ten), Some(Due::Remove));
        assert_eq!(due(&lone, &marker(false), at(99), ten), None);
        assert_eq!(due(&lone, &facts(&tags), at(99), ten), None);
        let aged = rule(|r| r.expiration = Some(Expiration { days: Some(5), ..Expiration::default() }));
        assert_eq!(due(&aged, &marker(true), at(49), ten), None);
        assert_eq!(due(&aged, &marker(true), at(50), ten), Some(Due::Remove));
    }

    #[test]
    fn noncurrent_versions_go_but_for_the_newest() {
        let (tags, ten) = (Tags::default(), Day::of_seconds(10));
        let old = |newer| Facts { rank: Rank::Noncurrent { since: at(100), newer }, ..facts(&tags) };
        let two = rule(|r| r.noncurrent = Some(Noncurrent { days: 1, keep: Some(2) }));
        assert_eq!(due(&two, &old(2), at(109), ten), None);
        assert_eq!(due(&two, &old(2), at(110), ten), Some(Due::Remove));
        assert_eq!(due(&two, &old(1), at(999), ten), None);
        assert_eq!(due(&two, &facts(&tags), at(999), ten), None);
    }

    #[test]
    fn the_header_names_the_rule_that_comes_first() {
        let tags = Tags::default();
        let days = |id: &str, days| Rule {
            id: id.into(),
            expiration: Some(Expiration { days: Some(days), ..Expiration::default() }),
            ..rule(|_| {})
        };
        let rules = Lifecycle { rules: vec![days("late", 9), days("soon", 1)], ..Lifecycle::default() };
        assert_eq!(rules.expires(&facts(&tags)), Some((at(2 * i64::from(DAY_SECONDS)), "soon")));
    }
}
