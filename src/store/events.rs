//! Events: what happened to an object, for whoever a bucket's rules notify.
//!
//! **Invariant:** an event is a row of the commit that made it true, so it is told if and only if that happened. Its text
//! is finished then: nothing has to be looked up when it is told.

use serde_json::json;

use crate::catalog::NewEvent;
use crate::model::caller::Caller;
use crate::model::notification::{EventName, Rule};
use crate::model::object::Object;
use crate::model::time::{Clock, Timestamp};
use crate::store::Store;
use crate::store::bound::Bound;

/// Who did something, and by which request.
#[derive(Debug, Clone)]
pub(super) struct Cause {
    how: How,
    by: String,
    from: String,
}

/// By which request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// A body.
    Put,
    /// The form of a browser.
    Post,
    /// A copy.
    Copy,
    /// The end of an upload.
    Complete,
    /// A deletion.
    Delete,
    /// A lifecycle rule.
    Lifecycle,
}

impl Cause {
    pub(super) fn new(caller: &Caller, how: How) -> Self {
        let from = caller.context.as_ref().and_then(|context| context.source_ip);
        let from = from.map_or_else(|| "127.0.0.1".to_owned(), |ip| ip.to_string());
        Self { how, by: caller.id().to_owned(), from }
    }

    /// What is told of the other side of a move, which goes.
    pub(super) fn of_removal(&self) -> Self {
        Self { how: How::Delete, ..self.clone() }
    }

    /// Whether a rule asks, and no client.
    pub(super) fn is_rule(&self) -> bool {
        self.how == How::Lifecycle
    }

    /// The event of an object that was written, or of one that went or is hidden by a marker.
    fn event(&self, object: &Object, removed: bool) -> EventName {
        match (self.how, object.marker && !removed) {
            (How::Put, _) => EventName::Put,
            (How::Post, _) => EventName::Post,
            (How::Copy, _) => EventName::Copy,
            (How::Complete, _) => EventName::Complete,
            (How::Delete, false) => EventName::Delete,
            (How::Delete, true) => EventName::DeleteMarker,
            (How::Lifecycle, false) => EventName::Expire,
            (How::Lifecycle, true) => EventName::ExpireMarker,
        }
    }
}

/// What happened to an object.
struct Happened<'a> {
    bound: &'a Bound,
    cause: &'a Cause,
    object: &'a Object,
    event: EventName,
    /// Its place in the order of what happens to the key.
    order: u64,
    at: Timestamp,
    region: &'a str,
}

impl Store {
    /// The events of a version or marker that comes.
    pub(super) fn events_of(&self, bound: &Bound, cause: &Cause, object: &Object) -> Vec<NewEvent> {
        let (event, region) = (cause.event(object, false), self.0.region.as_str());
        Happened { bound, cause, object, event, order: object.counter, at: Clock::now(), region }.told()
    }

    /// The events of a key that is deleted: of the marker that hides it, or of the object that goes.
    pub(super) fn events_of_deletion(&self, bound: &Bound, cause: &Cause, gone: &Object) -> Vec<NewEvent> {
        if gone.marker { self.events_of(bound, cause, gone) } else { self.events_of_removal(bound, cause, gone) }
    }

    /// The events of a version or marker that is removed for good.
    pub(super) fn events_of_removal(&self, bound: &Bound, cause: &Cause, object: &Object) -> Vec<NewEvent> {
        let (at, region) = (Clock::now(), self.0.region.as_str());
        let order = u64::try_from(at.0).unwrap_or(0).max(object.counter.saturating_add(1));
        Happened { bound, cause, object, event: cause.event(object, true), order, at, region }.told()
    }
}

impl Happened<'_> {
    fn told(&self) -> Vec<NewEvent> {
        let Some(notification) = &self.bound.bucket.config.notification else { return Vec::new() };
        let key = &self.object.key;
        let rules = notification.rules.iter().filter(|rule| rule.covers(self.event, key.as_str()));
        let event = |(rule, target): (&Rule, &str)| NewEvent {
            bucket: self.bound.bucket.id,
            key: key.clone(),
            target: target.to_owned(),
            created: self.at,
            text: text(self, &rule.id),
        };
        rules.filter_map(|rule| Some((rule, rule.target()?))).map(event).collect()
    }
}

/// The event as AWS writes it, version 2.1.
fn text(happened: &Happened<'_>, rule: &str) -> String {
    let Happened { bound, cause, object, event, order, at, region } = happened;
    const MILLIS: &[time::format_description::BorrowedFormatItem<'_>] =
        time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let name = bound.bucket.name.as_str();
    let mut facts = json!({ "key": form_encoded(object.key.as_str()), "sequencer": format!("{order:016X}") });
    if bound.bucket.config.versioning.ever() {
        facts["versionId"] = object.shown().to_string().into();
    }
    let written =
        !matches!(event, EventName::Delete | EventName::DeleteMarker | EventName::Expire | EventName::ExpireMarker);
    if written {
        facts["size"] = object.size.into();
        facts["eTag"] = object.etag.clone().into();
    }
    json!({ "Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": at.to_utc().format(MILLIS).unwrap_or_default(),
        "eventName": event.name(),
        "userIdentity": { "principalId": cause.by },
        "requestParameters": { "sourceIPAddress": cause.from },
        "responseElements": {},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": rule,
            "bucket": {
                "name": name,
                "ownerIdentity": { "principalId": bound.bucket.owner },
                "arn": format!("arn:aws:s3:::{name}"),
            },
            "object": facts,
        },
    }] })
    .to_string()
}

/// A key as AWS has it in an event: like a field of a form, with slashes.
fn form_encoded(key: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'*')
        .remove(b' ');
    percent_encoding::utf8_percent_encode(key, KEPT).to_string().replace(' ', "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_like_fields_of_a_form() {
        assert_eq!(form_encoded("a b/c+d é.txt"), "a+b/c%2Bd+%C3%A9.txt");
    }
}
