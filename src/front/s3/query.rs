//! Query strings as the guards see them: names and values, raw and decoded; and paths.
//!
//! **Invariant:** names and values are decoded as s3s decodes them, lest a guard look at another request than the one
//! that is served. Of a parameter that was sent twice [`value`] is the first.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The raw pairs of a query.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// A name or value, decoded as s3s decodes it.
pub(super) fn decoded(raw: &str) -> String {
    percent_decode_str(&raw.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// A path, decoded as s3s decodes it: a plus is one.
pub(super) fn decoded_path(raw: &str) -> Cow<'_, str> {
    percent_decode_str(raw).decode_utf8_lossy()
}

/// The first value of a parameter.
pub(super) fn value(query: Option<&str>, name: &str) -> Option<String> {
    pairs(query?).find(|(raw, _)| decoded(raw) == name).map(|(_, value)| decoded(value))
}

/// Whether a query says more than who asks: a sub-resource, or what is wanted of a resource.
pub(super) fn names_any(query: Option<&str>) -> bool {
    pairs(query.unwrap_or_default()).any(|(name, _)| name != "x-id" && !is_signature(&decoded(name)))
}

/// Whether a parameter is part of a signature in the query.
pub(super) fn is_signature(name: &str) -> bool {
    const NAMES: [&str; 7] = [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-Security-Token",
        "X-Amz-Signature",
        "X-Amz-SignedHeaders",
    ];
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}
