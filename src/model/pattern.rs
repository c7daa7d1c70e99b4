//! Patterns with `*` and `?`, as policies and the configuration use them.
//!
//! **Invariant:** matching takes at most pattern length times text length steps, whatever the pattern.

/// Whether `text` matches `pattern`, in which `*` stands for any characters and `?` for one.
#[must_use]
pub fn wild_match(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // The last star and the text position it stands before: on a mismatch it takes in one character more.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("s3:get*", "s3:getobject", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*b*b", "abab", true),
            ("*b", "abc", false),
            ("", "a", false),
            ("a*", "b", false),
        ] {
            assert_eq!(wild_match(pattern, text), matches, "{pattern} {text}");
        }
        // Backtracking must not explode.
        assert!(!wild_match(&"*a".repeat(200), &"a".repeat(199)));
    }
}
