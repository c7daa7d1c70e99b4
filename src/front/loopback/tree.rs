//! What an answer holds, as a tree whose members keep their order: LoopBack's clients see that of its objects.
//!
//! **Invariant:** whatever names and texts are in it, the JSON is JSON and the XML is well formed.

use std::fmt::Write as _;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree {
    /// Nothing.
    Null,
    /// A whole number.
    Number(u64),
    /// A text.
    Text(String),
    /// Values in a row.
    List(Vec<Tree>),
    /// Values with names.
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// An object of these members.
    pub(super) fn object<const N: usize>(members: [(&str, Tree); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// A text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Adds a member to an object.
    pub(super) fn push(&mut self, name: &str, value: Tree) {
        if let Self::Object(members) = self {
            members.push((name.to_owned(), value));
        }
    }

    /// As JSON.
    pub(super) fn json(&self) -> String {
        let mut text = String::new();
        self.write_json(&mut text);
        text
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            // Writing to a text cannot fail.
            Self::Number(number) => drop(write!(out, "{number}")),
            Self::Text(text) => out.push_str(&quoted(text)),
            Self::List(values) => {
                out.push('[');
                for (at, value) in values.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    value.write_json(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    out.push_str(&quoted(name));
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
            }
        }
    }

    /// As an element of XML, with so many spaces for each level.
    pub(super) fn write_xml(&self, out: &mut String, name: &str, level: usize, indent: usize) {
        let space = " ".repeat(level * indent);
        let name = element(name);
        match self {
            Self::List(values) => values.iter().for_each(|value| value.write_xml(out, &name, level, indent)),
            Self::Object(members) => {
                let mut inner = String::new();
                members.iter().for_each(|(name, value)| value.write_xml(&mut inner, name, level + 1, indent));
                if inner.is_empty() {
                    let _ = write!(out, "\n{space}<{name}/>");
                } else {
                    let _ = write!(out, "\n{space}<{name}>{inner}\n{space}</{name}>");
                }
            }
            Self::Null => drop(write!(out, "\n{space}<{name}>null</{name}>")),
            Self::Number(number) => drop(write!(out, "\n{space}<{name}>{number}</{name}>")),
            Self::Text(text) if text.is_empty() => drop(write!(out, "\n{space}<{name}/>")),
            Self::Text(text) => drop(write!(out, "\n{space}<{name}>{}</{name}>", escaped(text))),
        }
    }
}

fn quoted(text: &str) -> String {
    // A text can always be written.
    serde_json::to_string(text).unwrap_or_default()
}

/// A name that an element can have.
fn element(name: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let mut text: String = name.chars().map(|c| if legal(c) { c } else { '_' }).collect();
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        text.insert(0, '_');
    }
    text
}

/// A text in XML 1.0; what that cannot hold is a question mark.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' | '\n' | '\r' => out.push(letter),
            letter if letter < ' ' || matches!(letter, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_hostile_texts_their_place() {
        let rows = vec![Tree::object([("name", Tree::text("<\"&\u{1}")), ("a b", Tree::Number(1)), ("é", Tree::Null)])];
        let tree = Tree::object([("z", Tree::List(rows)), ("a", Tree::Object(Vec::new()))]);
        assert_eq!(tree.json(), "{\"z\":[{\"name\":\"<\\\"&\\u0001\",\"a b\":1,\"é\":null}],\"a\":{}}");
        let mut xml = String::new();
        tree.write_xml(&mut xml, "response", 0, 2);
        let wanted = "\n<response>\n  <z>\n    <name>&lt;\"&amp;?</name>\n    <a_b>1</a_b>\n    <_>null</_>\n  </z>\n  <a/>\n</response>";
        assert_eq!(xml, wanted);
    }
}
