//! Object lock: how long a version may not be removed.
//!
//! **Invariant:** [`Lock::refuses_removal`] is the one rule, asked by the store for every front, by `gc` and by lifecycle.

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;

/// How strict a retention is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RetentionMode {
    /// Who may bypass it can shorten or remove it.
    Governance,
    /// Nobody can shorten it.
    Compliance,
}

impl RetentionMode {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }

    /// From its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Governance, Self::Compliance].into_iter().find(|mode| mode.name() == name)
    }
}

/// Until when a version is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// How strictly.
    pub mode: RetentionMode,
    /// Until when.
    pub until: Timestamp,
}

/// What holds one version. `None` in a field that S3 tells from "set to off": never set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lock {
    /// Its retention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Its legal hold; `Some(false)`: it was set and taken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legal_hold: Option<bool>,
}

impl Lock {
    /// Whether the version may not be removed at `now`. `bypass`: the caller may and wants to bypass governance.
    #[must_use]
    pub fn refuses_removal(&self, now: Timestamp, bypass: bool) -> bool {
        let retained = self
            .retention
            .is_some_and(|retention| retention.until > now && !(bypass && retention.mode == RetentionMode::Governance));
        self.legal_hold == Some(true) || retained
    }

    /// Whether its retention may be changed to `becomes` at `now`: longer always; shorter, weaker or none only where
    /// nothing holds any more, or governance is bypassed.
    #[must_use]
    pub fn allows_retention(&self, becomes: Option<Retention>, now: Timestamp, bypass: bool) -> bool {
        let Some(held) = self.retention.filter(|held| held.until > now) else { return true };
        let extends = becomes.is_some_and(|next| {
            next.until >= held.until
                && (held.mode == RetentionMode::Governance && next.mode == RetentionMode::Governance
                    || next.mode == RetentionMode::Compliance)
        });
        match held.mode {
            RetentionMode::Compliance => extends,
            RetentionMode::Governance => extends && becomes.is_some_and(|n| n.mode == held.mode) || bypass,
        }
    }
}

/// For how long new versions of a bucket are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultRetention {
    /// How strictly.
    pub mode: RetentionMode,
    /// For how long.
    pub period: Period,
}

/// A length of time as the client gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// Days of 24 hours.
    Days(u32),
    /// Years of 365 days.
    Years(u32),
}

impl DefaultRetention {
    /// The retention of a version made at `now`.
    #[must_use]
    pub fn from(&self, now: Timestamp) -> Retention {
        let days = match self.period {
            Period::Days(days) => i64::from(days),
            Period::Years(years) => i64::from(years) * 365,
        };
        let until = now.0.saturating_add(days.saturating_mul(24 * 3600 * 1_000_000_000));
        Retention { mode: self.mode, until: Timestamp(until) }
    }
}

/// Object lock of a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockConfig {
    /// What new versions get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<DefaultRetention>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mode: RetentionMode, until: i64) -> Option<Retention> {
        Some(Retention { mode, until: Timestamp(until) })
    }

    #[test]
    fn what_holds_a_version() {
        use RetentionMode::{Compliance, Governance};
        let now = Timestamp(10);
        for (retention, hold, bypass, refused) in [
            (None, None, false, false),
            (at(Governance, 11), None, false, true),
            (at(Governance, 11), None, true, false),
            (at(Governance, 10), None, false, false),
            (at(Compliance, 11), None, true, true),
            (at(Compliance, 9), None, false, false),
            (None, Some(true), true, true),
            (at(Governance, 11), Some(true), true, true),
            (None, Some(false), false, false),
        ] {
            let lock = Lock { retention, legal_hold: hold };
            assert_eq!(lock.refuses_removal(now, bypass), refused, "{lock:?} {bypass}");
        }
    }

    #[test]
    fn what_a_retention_may_become() {
        use RetentionMode::{Compliance, Governance};
        let now = Timestamp(10);
        for (held, becomes, bypass, allowed) in [
            (None, at(Governance, 11), false, true),
            (at(Governance, 20), at(Governance, 21), false, true),
            (at(Governance, 20), at(Governance, 19), false, false),
            (at(Governance, 20), at(Governance, 19), true, true),
            (at(Governance, 20), None, false, false),
            (at(Governance, 20), None, true, true),
            (at(Governance, 20), at(Compliance, 30), false, false),
            (at(Governance, 20), at(Compliance, 30), true, true),
            (at(Compliance, 20), at(Compliance, 20), false, true),
            (at(Compliance, 20), at(Compliance, 19), true, false),
            (at(Compliance, 20), at(Governance, 30), true, false),
            (at(Compliance, 20), None, true, false),
            (at(Compliance, 9), None, false, true),
        ] {
            let lock = Lock { retention: held, legal_hold: None };
            assert_eq!(lock.allows_retention(becomes, now, bypass), allowed, "{held:?} to {becomes:?} {bypass}");
        }
    }
}
