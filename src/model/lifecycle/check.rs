//! What lifecycle rules may be, as AWS has it, with the sentences it says.
//!
//! Several terms side by side in one filter are taken, and all of them must hold; AWS wants them in an `And`.
//!
//! **Invariant:** what passes can be followed without another look: each rule does something, expires in one way,
//! counts at least one day where a day is counted to a removal, and names its dates at midnight.

use super::{DAY_SECONDS, Expiration, Lifecycle, RULES_MAX, Rule, Terms};
use crate::model::time::Timestamp;

/// Longest name of a rule, in characters.
const ID_CHARS_MAX: usize = 255;
/// Longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 1024;
/// Most noncurrent versions that a rule can keep.
const KEPT_VERSIONS_MAX: u32 = 100;
/// Where a transition may lead.
const CLASSES: [&str; 6] =
    ["GLACIER", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "DEEP_ARCHIVE", "GLACIER_IR"];

/// Why rules are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// The document is not of the form.
    #[error("the document is not of the form")]
    Malformed,
    /// A value cannot be.
    #[error("{0}")]
    Argument(&'static str),
    /// Two things do not go together.
    #[error("{0}")]
    Request(&'static str),
}

type Result = std::result::Result<(), Unsound>;

impl Lifecycle {
    /// Whether the rules can be followed.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn check(&self) -> Result {
        if self.rules.is_empty() || self.rules.len() > RULES_MAX {
            return Err(Unsound::Malformed);
        }
        let mut ids: Vec<&str> = self.rules.iter().map(|rule| rule.id.as_str()).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Unsound::Argument("Rule ID must be unique. Found same ID for more than one rule"));
        }
        self.rules.iter().try_for_each(rule)
    }
}

fn rule(rule: &Rule) -> Result {
    if rule.id.chars().count() > ID_CHARS_MAX {
        return Err(Unsound::Argument("ID length should not exceed allowed limit of 255"));
    }
    if rule.prefix.is_some() == rule.filter.is_some() {
        return Err(Unsound::Malformed);
    }
    rule.terms().try_for_each(terms)?;
    let prefixes = rule.prefix.iter().chain(rule.terms().filter_map(|terms| terms.prefix.as_ref()));
    if prefixes.into_iter().any(|prefix| prefix.len() > PREFIX_BYTES_MAX) {
        return Err(Unsound::Argument("The maximum size of a prefix is 1024."));
    }
    let acts = rule.expiration.is_some()
        || rule.noncurrent.is_some()
        || rule.abort_days.is_some()
        || !rule.transitions.is_empty()
        || !rule.noncurrent_transitions.is_empty();
    if !acts {
        return Err(Unsound::Request("At least one action needs to be specified in a rule"));
    }
    if let Some(expiration) = &rule.expiration {
        expires(rule, expiration)?;
    }
    if let Some(noncurrent) = &rule.noncurrent {
        if noncurrent.days == 0 {
            return Err(positive("'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer"));
        }
        kept(noncurrent.keep)?;
    }
    aborts(rule)?;
    transitions(rule)
}

fn positive(message: &'static str) -> Unsound {
    Unsound::Argument(message)
}

fn terms(terms: &Terms) -> Result {
    let mut keys: Vec<&str> = terms.tags.iter().map(|tag| tag.key.as_str()).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Unsound::Request("Duplicate Tag Keys are not allowed."));
    }
    if let (Some(greater), Some(less)) = (terms.greater, terms.less)
        && less <= greater.saturating_add(1)
    {
        return Err(Unsound::Request("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'"));
    }
    Ok(())
}

fn expires(rule: &Rule, expiration: &Expiration) -> Result {
    let Expiration { days, date, lone_marker } = expiration;
    if usize::from(days.is_some()) + usize::from(date.is_some()) + usize::from(lone_marker.is_some()) != 1 {
        return Err(Unsound::Malformed);
    }
    if *days == Some(0) {
        return Err(positive("'Days' for Expiration action must be a positive integer"));
    }
    if lone_marker.is_some() && rule.asks_tags() {
        return Err(Unsound::Request("ExpiredObjectDeleteMarker cannot be specified with Tags."));
    }
    midnight(*date)
}

fn midnight(date: Option<Timestamp>) -> Result {
    match date {
        Some(at) if at.subsec_nanos() != 0 || at.seconds().rem_euclid(i64::from(DAY_SECONDS)) != 0 => {
            Err(Unsound::Argument("'Date' must be at midnight GMT"))
        }
        _ => Ok(()),
    }
}

fn kept(keep: Option<u32>) -> Result {
    match keep {
        Some(keep) if !(1..=KEPT_VERSIONS_MAX).contains(&keep) => {
            Err(Unsound::Argument("'NewerNoncurrentVersions' must be an integer between 1 and 100"))
        }
        _ => Ok(()),
    }
}

fn aborts(rule: &Rule) -> Result {
    let Some(days) = rule.abort_days else { return Ok(()) };
    if days == 0 {
        return Err(positive(
            "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer",
        ));
    }
    if rule.asks_tags() {
        return Err(Unsound::Request("AbortIncompleteMultipartUpload cannot be specified with Tags."));
    }
    if rule.terms().any(|terms| terms.greater.is_some() || terms.less.is_some()) {
        return Err(Unsound::Request("AbortIncompleteMultipartUpload cannot be specified with Object Size."));
    }
    Ok(())
}

fn transitions(rule: &Rule) -> Result {
    let known = |class: &str| if CLASSES.contains(&class) { Ok(()) } else { Err(Unsound::Malformed) };
    let expiry = rule.expiration.and_then(|expiration| expiration.days);
    for transition in &rule.transitions {
        if transition.days.is_some() == transition.date.is_some() {
            return Err(Unsound::Malformed);
        }
        known(&transition.class)?;
        midnight(transition.date)?;
        if let (Some(days), Some(expiry)) = (transition.days, expiry)
            && expiry <= days
        {
            return Err(Unsound::Argument(
                "'Days' in the Expiration action must be greater than 'Days' in the Transition action",
            ));
        }
    }
    for transition in &rule.noncurrent_transitions {
        known(&transition.class)?;
        kept(transition.keep)?;
        if rule.noncurrent.is_some_and(|noncurrent| noncurrent.days <= transition.days) {
            return Err(Unsound::Argument(
                "'NoncurrentDays' in the NoncurrentVersionExpiration action must be greater than 'NoncurrentDays' in \
                 the NoncurrentVersionTransition action",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Filter, Noncurrent, Transition};
    use super::*;
    use crate::model::tag::Tag;

    fn verdict(change: impl FnOnce(&mut Rule)) -> Result {
        let expiration = Some(Expiration { days: Some(1), ..Expiration::default() });
        let mut rule = Rule { id: "r".into(), prefix: Some("p".into()), expiration, ..Rule::default() };
        change(&mut rule);
        Lifecycle { rules: vec![rule], minimum_size: None }.check()
    }

    fn kind(change: impl FnOnce(&mut Rule)) -> &'static str {
        match verdict(change) {
            Ok(()) => "sound",
            Err(Unsound::Malformed) => "malformed",
            Err(Unsound::Argument(_)) => "argument",
            Err(Unsound::Request(_)) => "request",
        }
    }

    #[test]
    fn what_a_rule_may_be() {
        let midnight = Timestamp::from_parts(i64::from(DAY_SECONDS), 0);
        let tagged = |keys: &[&str]| {
            let tags = keys.iter().map(|key| Tag { key: (*key).into(), value: String::new() }).collect();
            Some(Filter { and: Some(Terms { tags, ..Terms::default() }), ..Filter::default() })
        };
        assert_eq!(kind(|_| {}), "sound");
        assert_eq!(kind(|r| r.id = "x".repeat(256)), "argument");
        assert_eq!(kind(|r| r.prefix = None), "malformed");
        assert_eq!(kind(|r| r.filter = Some(Filter::default())), "malformed");
        assert_eq!(kind(|r| r.expiration = None), "request");
        assert_eq!(kind(|r| r.expiration = Some(Expiration::default())), "malformed");
        assert_eq!(kind(|r| r.expiration = Some(Expiration { days: Some(0), ..Expiration::default() })), "argument");
        let on = |date| Some(Expiration { date: Some(date), ..Expiration::default() });
        assert_eq!(kind(|r| r.expiration = on(midnight)), "sound");
        assert_eq!(kind(|r| r.expiration = on(Timestamp(midnight.0 + 1))), "argument");
        assert_eq!(kind(|r| r.noncurrent = Some(Noncurrent { days: 0, keep: None })), "argument");
        assert_eq!(kind(|r| r.noncurrent = Some(Noncurrent { days: 1, keep: Some(101) })), "argument");
        assert_eq!(kind(|r| r.abort_days = Some(0)), "argument");
        let abort = |filter| move |r: &mut Rule| (r.prefix, r.filter, r.abort_days) = (None, filter, Some(1));
        assert_eq!(kind(abort(tagged(&["a"]))), "request");
        assert_eq!(kind(abort(tagged(&[]))), "sound");
        assert_eq!(kind(|r| (r.prefix, r.filter) = (None, tagged(&["a", "b", "a"]))), "request");
        let to = |days, class: &str| vec![Transition { days: Some(days), date: None, class: class.into() }];
        assert_eq!(kind(|r| r.transitions = to(0, "GLACIER")), "sound");
        assert_eq!(kind(|r| r.transitions = to(1, "GLACIER")), "argument");
        assert_eq!(kind(|r| r.transitions = to(0, "PAPER")), "malformed");
    }

    #[test]
    fn names_are_unique_and_rules_are_few() {
        let rule = |id: usize| Rule {
            id: id.to_string(),
            prefix: Some(String::new()),
            abort_days: Some(1),
            ..Rule::default()
        };
        let check = |ids: &mut dyn Iterator<Item = usize>| {
            Lifecycle { rules: ids.map(rule).collect(), minimum_size: None }.check()
        };
        assert_eq!(check(&mut (0..0)), Err(Unsound::Malformed));
        assert_eq!(check(&mut (0..RULES_MAX)), Ok(()));
        assert_eq!(check(&mut (0..=RULES_MAX)), Err(Unsound::Malformed));
        assert!(matches!(check(&mut [1, 1].into_iter()), Err(Unsound::Argument(_))));
    }
}
