//! Lengths of time as operators write them.
//!
//! **Invariant:** a number without a unit is refused: nobody should have to guess whether it means seconds or hours.

use std::time::Duration;

/// A length of time as an operator writes it: `90s`, `30m`, `24h`, `7d`.
///
/// # Errors
/// What is expected instead.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "expected a number with s, m, h or d behind it, such as 24h";
    let seconds = match text.chars().next_back() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 60 * 60,
        Some('d') => 24 * 60 * 60,
        _ => return Err(EXPECTED),
    };
    let number = &text[..text.len() - 1];
    let number: u64 = number.parse().map_err(|_| EXPECTED)?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or(EXPECTED)
}

/// A length of time between two runs of something, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval(pub Option<Duration>);

impl std::str::FromStr for Interval {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self(None)),
            text => match duration(text)? {
                Duration::ZERO => Err("expected a length of time such as 24h, or off"),
                interval => Ok(Self(Some(interval))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0h"), Ok(Duration::ZERO));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 24 * 3600)));
        for bad in ["", "s", "24", "-1h", "1w", "1.5h", "99999999999999999999s", "24\u{e9}"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!("off".parse(), Ok(Interval(None)));
        assert!("0m".parse::<Interval>().is_err());
    }
}
