//! Patterns of policies: wildcards and policy variables.
//!
//! **Invariant:** what a variable stands for is never read as a wildcard, and matching takes at most pattern length
//! times text length steps.

use crate::auth::policy::Malformed;
use crate::auth::policy::keys::Key;
use crate::auth::policy::question::Question;

/// A pattern of a document, in which `*` and `?` may stand for other characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Token(Token),
    Variable { key: Key, default: Option<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Is(char),
    One,
    Any,
}

/// Whether variables and wildcards mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reads {
    /// `${…}` stands for something. Documents of the first version know no variables: theirs are refused.
    pub(super) variables: bool,
    /// `*` and `?` stand for other characters.
    pub(super) wildcards: bool,
}

impl Template {
    /// Reads a pattern.
    pub(super) fn parse(text: &str, reads: Reads) -> Result<Self, Malformed> {
        let mut pieces = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if rest.starts_with("${") {
                if !reads.variables {
                    return Err(Malformed::new("policy variables need the Version 2012-10-17"));
                }
                let end = rest.find('}').ok_or_else(|| Malformed::new("a policy variable without an end"))?;
                pieces.push(variable(&rest[2..end])?);
                rest = &rest[end + 1..];
                continue;
            }
            pieces.push(Piece::Token(match first {
                '*' if reads.wildcards => Token::Any,
                '?' if reads.wildcards => Token::One,
                other => Token::Is(other),
            }));
            rest = &rest[first.len_utf8()..];
        }
        Ok(Self(pieces))
    }

    /// Whether it matches any text.
    pub(super) fn is_any(&self) -> bool {
        self.0.as_slice() == [Piece::Token(Token::Any)]
    }

    /// Whether it always stands for the same one text.
    pub(super) fn is_fixed(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Token(Token::Is(_))))
    }

    /// Whether `text` matches; `None`: a variable stands for nothing here.
    pub(super) fn matches(&self, text: &str, fold_case: bool, question: &Question<'_>) -> Option<bool> {
        let tokens = self.tokens(question)?;
        Some(matches(&tokens, text, fold_case))
    }

    /// Whether a text that begins with `start` can match, where its variables may stand for anything.
    pub(super) fn may_begin_with(&self, start: &str) -> bool {
        let open = |piece: &Piece| !matches!(piece, Piece::Token(Token::Is(_) | Token::One));
        // The places in the pattern that can be reached after each character.
        let mut here = vec![false; self.0.len() + 1];
        here[0] = true;
        let spread = |here: &mut Vec<bool>| {
            for (i, piece) in self.0.iter().enumerate() {
                if here[i] && open(piece) {
                    here[i + 1] = true;
                }
            }
        };
        spread(&mut here);
        for c in start.chars() {
            let mut next = vec![false; here.len()];
            for (i, piece) in self.0.iter().enumerate().filter(|(i, _)| here[*i]) {
                match piece {
                    Piece::Token(Token::Is(wanted)) => next[i + 1] |= *wanted == c,
                    Piece::Token(Token::One) => next[i + 1] = true,
                    Piece::Token(Token::Any) | Piece::Variable { .. } => next[i] = true,
                }
            }
            spread(&mut next);
            here = next;
        }
        here.contains(&true)
    }

    /// Whether exactly `text` can match, where its variables may stand for anything.
    pub(super) fn may_be(&self, text: &str) -> bool {
        let tokens: Vec<Token> = self.0.iter().map(|piece| piece.token().unwrap_or(Token::Any)).collect();
        matches(&tokens, text, false)
    }

    fn tokens(&self, question: &Question<'_>) -> Option<Vec<Token>> {
        let mut tokens = Vec::with_capacity(self.0.len());
        for piece in &self.0 {
            match piece {
                Piece::Token(token) => tokens.push(*token),
                Piece::Variable { key, default } => {
                    let values = question.values(key);
                    let value = match values.as_deref() {
                        Some([value, ..]) => value,
                        _ => default.as_ref()?,
                    };
                    tokens.extend(value.chars().map(Token::Is));
                }
            }
        }
        Some(tokens)
    }

    /// The keys that its variables stand for.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable { key, .. } => Some(key),
            Piece::Token(_) => None,
        })
    }
}

impl Piece {
    fn token(&self) -> Option<Token> {
        match self {
            Self::Token(token) => Some(*token),
            Self::Variable { .. } => None,
        }
    }
}

/// What stands between `${` and `}`.
fn variable(inside: &str) -> Result<Piece, Malformed> {
    if let "*" | "?" | "$" = inside {
        return Ok(Piece::Token(Token::Is(inside.chars().next().unwrap_or('$'))));
    }
    let (name, default) = match inside.split_once(',') {
        None => (inside, None),
        Some((name, default)) => {
            let text = default.trim().strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
            (name, Some(text.ok_or_else(|| Malformed::new("the default of a policy variable needs quotes"))?))
        }
    };
    Ok(Piece::Variable { key: Key::parse(name.trim())?, default: default.map(str::to_owned) })
}

/// Matches with one step back per star: on a mismatch the last star takes in one character more.
fn matches(tokens: &[Token], text: &str, fold_case: bool) -> bool {
    let (mut at, mut rest) = (0, text.chars());
    let mut star = None;
    loop {
        let before = rest.clone();
        let Some(c) = rest.next() else { break };
        match tokens.get(at) {
            Some(Token::Any) => {
                at += 1;
                star = Some((at, before.clone()));
                rest = before;
            }
            Some(token) if token.takes(c, fold_case) => at += 1,
            _ => {
                let Some((after, mut taken)) = star else { return false };
                taken.next();
                at = after;
                rest = taken.clone();
                star = Some((after, taken));
            }
        }
    }
    tokens[at..].iter().all(|token| *token == Token::Any)
}

impl Token {
    fn takes(self, c: char, fold_case: bool) -> bool {
        match self {
            Self::Is(wanted) if fold_case => wanted == c || wanted.to_lowercase().eq(c.to_lowercase()),
            Self::Is(wanted) => wanted == c,
            Self::One | Self::Any => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Reads = Reads { variables: true, wildcards: true };

    #[test]
    fn wildcards() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("a?c", "a\u{e9}c", true),
            ("a?c", "ac", false),
            ("*b*b", "abab", true),
            ("*b", "abc", false),
            ("", "a", false),
            ("a*", "b", false),
            ("a*b*c", "aXbYbZc", true),
            ("a**", "a", true),
        ] {
            let template = Template::parse(pattern, ALL).expect("a pattern");
            assert_eq!(template.may_be(text), wanted, "{pattern} {text}");
        }
        let many = Template::parse(&"*a".repeat(200), ALL).expect("a pattern");
        assert!(!many.may_be(&"a".repeat(199)), "backtracking must not explode");
    }

    #[test]
    fn beginnings() {
        for (pattern, start, wanted) in [
            ("b/*", "b/", true),
            ("b", "b/", false),
            ("*", "b/", true),
            ("b*k", "b/", true),
            ("c/*", "b/", false),
            ("?/k", "b/", true),
            ("${aws:username}/k", "b/", true),
        ] {
            let template = Template::parse(pattern, ALL).expect("a pattern");
            assert_eq!(template.may_begin_with(start), wanted, "{pattern} {start}");
        }
    }

    #[test]
    fn what_cannot_be_read() {
        let none = Reads { variables: false, wildcards: true };
        for (text, reads) in [("${aws:username", ALL), ("${aws:username, x}", ALL), ("${}", ALL), ("${*}", none)] {
            assert!(Template::parse(text, reads).is_err(), "{text}");
        }
    }
}
