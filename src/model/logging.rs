//! Where a bucket's access log goes, and how a line of it is written.
//!
//! **Invariant:** a field of a line holds nothing that could end it: what a client sent is quoted and escaped.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::model::name::BucketName;
use crate::model::time::Timestamp;

/// Longest prefix of the names of log objects, in bytes: the rest of the name must fit behind it.
pub const PREFIX_BYTES_MAX: usize = 512;

/// Where the log of a bucket goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// The bucket that gets it.
    pub target: BucketName,
    /// What the names of its objects begin with.
    pub prefix: String,
    /// How the names go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<KeyFormat>,
}

/// How the names of log objects go on behind the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyFormat {
    /// With the time of delivery.
    Simple,
    /// With owner, region, bucket and day, and the time of delivery.
    DeliveryTime,
    /// The same, with the day and time of the first line.
    EventTime,
}

/// What the name of a log object says of its lines.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The bucket that is logged.
    pub bucket: &'a BucketName,
    /// Its owner.
    pub owner: &'a str,
    /// Its region.
    pub region: &'a str,
    /// When the first line was written.
    pub first: Timestamp,
    /// When it is delivered.
    pub delivered: Timestamp,
    /// 16 hexadecimal digits that no other object has.
    pub unique: &'a str,
}

impl Logging {
    /// The name of a log object.
    #[must_use]
    pub fn key(&self, named: &Named<'_>) -> String {
        const SECONDS: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]-[hour]-[minute]-[second]");
        const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]/[month]/[day]");
        let at = if self.format == Some(KeyFormat::EventTime) { named.first } else { named.delivered };
        let stamp = at.to_utc().format(SECONDS).unwrap_or_default();
        let (prefix, unique) = (&self.prefix, named.unique);
        match self.format {
            None | Some(KeyFormat::Simple) => format!("{prefix}{stamp}-{unique}"),
            Some(KeyFormat::DeliveryTime | KeyFormat::EventTime) => {
                let day = at.to_utc().format(DAY).unwrap_or_default();
                let Named { bucket, owner, region, .. } = named;
                format!("{prefix}{owner}/{region}/{bucket}/{day}/{stamp}-{unique}")
            }
        }
    }
}

/// One request, as a line of the log tells it. What is not known is a dash.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// When it came.
    pub at: Timestamp,
    /// From where.
    pub peer: Option<IpAddr>,
    /// Who asked; `None`: nobody in particular.
    pub requester: Option<String>,
    /// Its id.
    pub request: String,
    /// The operation: `REST.GET.OBJECT`.
    pub operation: String,
    /// The key.
    pub key: Option<String>,
    /// Method, target and protocol.
    pub target: String,
    /// The status of the answer.
    pub status: u16,
    /// The code of an error.
    pub error: Option<String>,
    /// Bytes of the answer's body.
    pub sent: Option<u64>,
    /// Bytes of the object.
    pub size: Option<u64>,
    /// Milliseconds until the answer began.
    pub millis: u64,
    /// `Referer`.
    pub referer: Option<String>,
    /// `User-Agent`.
    pub agent: Option<String>,
    /// The version that was named.
    pub version: Option<String>,
    /// Whether the signature was in the header (`AuthHeader`) or the query (`QueryString`).
    pub signed: Option<&'static str>,
    /// `Host`.
    pub host: Option<String>,
}

impl Line {
    /// The line, with its end.
    #[must_use]
    pub fn text(&self, owner: &str, bucket: &BucketName) -> String {
        const TIME: &[BorrowedFormatItem<'_>] =
            format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
        let plain = |text: Option<&str>| text.filter(|text| !text.is_empty()).map_or_else(|| "-".to_owned(), escaped);
        let quoted = |text: Option<&str>| match text.filter(|text| !text.is_empty()) {
            Some(text) => format!("\"{}\"", text_in_quotes(text)),
            None => "\"-\"".to_owned(),
        };
        let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let mut line = String::with_capacity(512);
        // Writing to a String does not fail.
        let _ = write!(
            line,
            "{} {bucket} [{}] {} {} {} {} {} {} {} {} {} {} {} {} ",
            plain(Some(owner)),
            self.at.to_utc().format(TIME).unwrap_or_default(),
            self.peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string()),
            plain(self.requester.as_deref()),
            plain(Some(&self.request)),
            plain(Some(&self.operation)),
            plain(self.key.as_deref()),
            quoted(Some(&self.target)),
            self.status,
            plain(self.error.as_deref()),
            number(self.sent),
            number(self.size),
            self.millis,
            self.millis,
        );
        let scheme = if self.signed.is_some() { "SigV4" } else { "-" };
        let _ = writeln!(
            line,
            "{} {} {} - {scheme} - {} {} - - -",
            quoted(self.referer.as_deref()),
            quoted(self.agent.as_deref()),
            plain(self.version.as_deref()),
            self.signed.unwrap_or("-"),
            plain(self.host.as_deref()),
        );
        line
    }
}

/// A field without quotes: what would part or end it is escaped as in a URI.
fn escaped(text: &str) -> String {
    const PARTING: &percent_encoding::AsciiSet =
        &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'%').add(b'[').add(b']');
    percent_encoding::utf8_percent_encode(text, PARTING).to_string()
}

/// A field in quotes.
fn text_in_quotes(text: &str) -> String {
    const ENDING: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b'"');
    percent_encoding::utf8_percent_encode(text, ENDING).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket() -> BucketName {
        BucketName::new("b-1").expect("legal")
    }

    #[test]
    fn a_line_has_its_fields_in_order() {
        let line = Line {
            at: Timestamp::from_parts(784_111_777, 0),
            peer: Some(IpAddr::from([10, 0, 0, 1])),
            requester: Some("ann".into()),
            request: "ID".into(),
            operation: "REST.GET.OBJECT".into(),
            key: Some("a b\n".into()),
            target: "GET /b-1/a%20b HTTP/1.1".into(),
            status: 200,
            sent: Some(3),
            millis: 7,
            agent: Some("x\"y\n".into()),
            signed: Some("AuthHeader"),
            host: Some("h".into()),
            ..Line::default()
        };
        assert_eq!(
            line.text("root", &bucket()),
            "root b-1 [06/Nov/1994:08:49:37 +0000] 10.0.0.1 ann ID REST.GET.OBJECT a%20b%0A \
             \"GET /b-1/a%20b HTTP/1.1\" 200 - 3 - 7 7 \"-\" \"x%22y%0A\" - - SigV4 - AuthHeader h - - -\n"
        );
    }

    #[test]
    fn names_tell_when() {
        let bucket = bucket();
        let (first, delivered) = (Timestamp::from_parts(0, 0), Timestamp::from_parts(784_111_777, 0));
        let named = Named { bucket: &bucket, owner: "o", region: "r", first, delivered, unique: "U" };
        let key = |format| Logging { target: named.bucket.clone(), prefix: "p/".into(), format }.key(&named);
        assert_eq!(key(None), "p/1994-11-06-08-49-37-U");
        assert_eq!(key(Some(KeyFormat::DeliveryTime)), "p/o/r/b-1/1994/11/06/1994-11-06-08-49-37-U");
        assert_eq!(key(Some(KeyFormat::EventTime)), "p/o/r/b-1/1970/01/01/1970-01-01-00-00-00-U");
    }
}
