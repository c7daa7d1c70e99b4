//! Properties of what is read without a server: names, ranges, conditions, policies, records, configuration, tokens.
//!
//! Each takes any bytes and panics if its property does not hold.

use std::path::{Component, Path};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use longshore::auth::decide::{Target, decide};
use longshore::auth::jwt::{Algorithm, KeySet, TokenRules, Tokens};
use longshore::auth::policy;
use longshore::auth::secret::Secret;
use longshore::config::limits::POLICY_BYTES_MAX;
use longshore::config::{Config, Overrides};
use longshore::model::action::Action;
use longshore::model::caller::{Caller, User, Who};
use longshore::model::condition::{Conditions, Current, ReadVerdict, TagMatch, WriteRefusal};
use longshore::model::name::{BUCKET_NAME_BYTES_MAX, BucketName, KEY_BYTES_MAX, ObjectKey, PATH_DEPTH_MAX, RESERVED};
use longshore::model::range::ByteRange;
use longshore::model::record::Record;
use longshore::model::time::{Clock, Timestamp};

/// A name is kept byte for byte, and a key that may be a path stays inside its container and out of the reserved tree.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(key) = ObjectKey::new(&text) {
        assert_eq!(key.as_str(), text);
        assert!((1..=KEY_BYTES_MAX).contains(&text.len()));
        let json = serde_json::to_string(&key).expect("a text");
        assert_eq!(serde_json::from_str::<ObjectKey>(&json).expect("the same text"), key);
        for folds in [false, true] {
            let Some(path) = key.as_path(folds) else { continue };
            assert_eq!(path, text);
            let parts: Vec<_> = Path::new(path).components().collect();
            assert!(parts.iter().all(|part| matches!(part, Component::Normal(_))), "{path:?}");
            assert_eq!(parts.len(), path.split('/').count(), "{path:?}");
            assert!(parts.len() <= PATH_DEPTH_MAX);
            let first = path.split('/').next().expect("a segment");
            assert!(first != RESERVED && !(folds && first.eq_ignore_ascii_case(RESERVED)), "{path:?}");
            assert!(Path::new("/container").join(path).starts_with("/container"), "{path:?}");
        }
    }
    if let Ok(bucket) = BucketName::new(&text) {
        assert_eq!(bucket.as_str(), text);
        assert!((1..=BUCKET_NAME_BYTES_MAX).contains(&text.len()));
        let parts: Vec<_> = Path::new(bucket.as_str()).components().collect();
        assert!(matches!(parts[..], [Component::Normal(_)]), "{bucket:?}");
        assert!(!text.eq_ignore_ascii_case(RESERVED) && !text.contains(char::is_control));
        if bucket.is_aws() {
            assert!((3..=63).contains(&text.len()) && text.is_ascii() && !text.contains('_'), "{bucket:?}");
        }
    }
}

/// A range means bytes of the body, at least one, and is read the same again.
pub fn range(data: &[u8]) {
    let Some((size, header)) = data.split_first_chunk::<8>() else { return };
    let size = u64::from_le_bytes(*size);
    let Some(range) = ByteRange::parse(&String::from_utf8_lossy(header)) else { return };
    let printed = match range {
        ByteRange::FromTo(from, to) => format!("bytes={from}-{to}"),
        ByteRange::From(from) => format!("bytes={from}-"),
        ByteRange::Suffix(count) => format!("bytes=-{count}"),
    };
    assert_eq!(ByteRange::parse(&printed), Some(range));
    for size in [size, size % 16, 0] {
        match (range.resolve(size), range) {
            (Ok(bytes), _) => assert!(bytes.start < bytes.end && bytes.end <= size, "{range:?} of {size}"),
            (Err(_), ByteRange::FromTo(from, to)) => assert!(from >= size || from > to),
            (Err(_), ByteRange::From(from)) => assert!(from >= size),
            (Err(_), ByteRange::Suffix(count)) => assert!(count == 0 || size == 0),
        }
    }
}

/// Three lines: If-Match, If-None-Match, the ETag of what is there.
pub fn conditions(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let mut header = || lines.next().filter(|line| !line.is_empty());
    let (some, none, etag) = (header(), header(), header().unwrap_or("e"));
    let conditions = Conditions {
        if_match: some.map(TagMatch::parse),
        if_none_match: none.map(TagMatch::parse),
        ..Conditions::default()
    };
    let current = Current { etag, modified: Timestamp(0), size: 1 };
    let names = |header: &str| header.trim() == "*" || header.split(',').any(|tag| bare(tag) == etag);
    let (some, none) = (some.map(names), none.map(names));
    let read = match (some, none) {
        (Some(false), _) => ReadVerdict::Failed,
        (_, Some(true)) => ReadVerdict::NotModified,
        _ => ReadVerdict::Proceed,
    };
    assert_eq!(conditions.read(current), read);
    assert_eq!(conditions.copy_source(current), read == ReadVerdict::Proceed);
    let write = if read == ReadVerdict::Proceed { Ok(()) } else { Err(WriteRefusal::Failed) };
    assert_eq!(conditions.write(Some(current)), write);
    assert_eq!(conditions.delete(Some(current)), write);
    let absent = if some.is_some() { Err(WriteRefusal::Missing) } else { Ok(()) };
    assert_eq!(conditions.write(None), absent);
}

/// A tag without its quotes, whether it is weak or not.
fn bare(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

/// A document that is accepted holds nothing but what is evaluated.
pub fn policy(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(compiled) = policy::compile(&text) else { return };
    let statements = compiled.statements;
    assert!(!statements.is_empty() && text.len() as u64 <= POLICY_BYTES_MAX);
    let user =
        User { name: "u".into(), display_name: "u".into(), email: None, groups: vec![], policy: text.to_string() };
    let caller = Caller::from(Who::User(user.into()));
    for bucket in ["abc", "a-long-name-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let bucket = BucketName::new(bucket).expect("legal");
        let _either = decide(&caller, Action::CreateBucket, Target::NewBucket(&bucket));
    }
    let Ok(document) = serde_json::from_str::<serde_json::Value>(&text) else {
        assert!(["readonly", "readwrite", "admin"].contains(&&*text), "{text}");
        return;
    };
    let keys = |value: &serde_json::Value, known: &[&str]| {
        value.as_object().is_some_and(|map| map.keys().all(|key| known.contains(&key.as_str())))
    };
    assert!(keys(&document, &["Version", "Id", "Statement"]), "{text}");
    let listed = document["Statement"].as_array().cloned().unwrap_or_else(|| vec![document["Statement"].clone()]);
    assert_eq!(listed.len(), statements.len());
    for statement in listed {
        const KNOWN: [&str; 9] = [
            "Sid",
            "Effect",
            "Principal",
            "NotPrincipal",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ];
        assert!(keys(&statement, &KNOWN), "{text}");
        let named = |name: &str| statement.get(name).is_some_and(|value| !value.is_null());
        assert!(!named("Principal") && !named("NotPrincipal"), "{text}");
        assert!(named("Action") != named("NotAction") && named("Resource") != named("NotResource"), "{text}");
    }
}

/// A record that is read is written the same, and never longer than asked.
pub fn record(data: &[u8]) {
    let Some(record) = Record::decode(data) else { return };
    let whole = record.encode(usize::MAX).expect("without a limit it fits");
    assert_eq!(Record::decode(&whole).as_ref(), Some(&record));
    for bytes_max in [0, 200, 3800] {
        let Some(text) = record.encode(bytes_max) else { continue };
        assert!(text.len() <= bytes_max);
        let cut = Record::decode(&text).expect("a record");
        assert!(cut.is_of(&record.bucket, &record.key) && cut.is_live(record.size, record.modified));
        assert_eq!((cut.version, &cut.etag, cut.counter), (record.version, &record.etag, record.counter));
    }
    assert!(!record.is_live(record.size.wrapping_add(1), record.modified));
}

/// A sound configuration, or problems in words that name their place.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Config::parse(&text, &Overrides::default()) {
        Ok(config) => {
            assert!(config.default_provider().is_some());
            assert!(config.limits.connections_max > 0);
            let names: std::collections::BTreeSet<_> = config.providers.iter().map(|p| &p.name).collect();
            assert_eq!(names.len(), config.providers.len());
        }
        Err(error) => assert!(error.to_string().contains(':')),
    }
}

/// A token speaks only for what this server's secret signed: not unsigned, not by another key, not with a letter changed.
pub fn jwt(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let tokens = |secret: &str| {
        Tokens::new(TokenRules {
            secret: Secret::new(secret),
            algorithms: vec![Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256],
            roles: ["anon", "authenticated", "service_role"].map(str::to_owned).to_vec(),
            require_exp: true,
            issuers: Vec::new(),
            audiences: Vec::new(),
        })
    };
    let (ours, theirs) = (tokens("a secret of thirty-two characters"), tokens("another one of thirty-two letters"));
    if let Ok(keys) = KeySet::parse(&text, false) {
        ours.set_keys(keys);
    }
    assert!(ours.caller(&text).is_err() && ours.address(&text).is_err(), "it was signed by nobody: {text}");
    let (head, body) = text.split_once('\n').unwrap_or(("", &text));
    let unsigned = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(body));
    assert!(ours.caller(&format!("{unsigned}.")).is_err() && ours.caller(&format!("{unsigned}.AAAA")).is_err());
    let Ok(serde_json::Value::Object(claims)) = serde_json::from_str(body) else { return };
    let Ok(signed) = ours.sign(&claims) else { return };
    assert!(theirs.caller(&signed).is_err(), "another server takes it");
    let Ok(token) = ours.caller(&signed) else { return };
    assert!(ours.has_role(token.role()) && !claims.contains_key("url"));
    let end = claims.get("exp").and_then(serde_json::Value::as_f64);
    assert!(end.is_some_and(|end| end > Clock::now().seconds() as f64 - 1.0), "it has no end, or is over: {body}");
    let at = data.len() % signed.len();
    let other = if signed.as_bytes()[at] == b'A' { 'B' } else { 'A' };
    let changed: String = signed.chars().enumerate().map(|(i, c)| if i == at { other } else { c }).collect();
    // The last letter of a signature has bits that mean nothing.
    assert!(at + 1 == signed.len() || ours.caller(&changed).is_err(), "{changed} is taken for {signed}");
}
