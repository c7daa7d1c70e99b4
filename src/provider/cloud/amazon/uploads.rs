//! Bodies in parts: multipart uploads.
//!
//! **Invariant:** an upload is completed with exactly the parts that were named; one that is gone counts as completed
//! only if what is at its name has the ETag that its parts make.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};
use md5::{Digest as _, Md5};

use super::Amazon;
use super::address::{decoded, value};
use super::facts::{bare, digest, listed_date, odd, tag, with_content};
use super::objects::etag;
use super::refusal::{Refusal, Refused, document, expect};
use super::xml::Element;
use crate::model::id::{hex, unhex};
use crate::model::name::RESERVED;
use crate::model::object::Content;
use crate::model::time::Timestamp;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::service::{At, When};
use crate::provider::cloud::transport::Call;
use crate::provider::{Error, Result};

/// Most pages of uploads that one sweep goes through; the next one goes on.
pub(super) const SWEEP_PAGES_MAX: usize = 1000;
/// Tries of a request whose answer began well and ended with an error.
const LATE_TRIES_MAX: u32 = 3;
/// Milliseconds between them, the first time.
const LATE_MILLIS: u64 = 200;

impl Amazon {
    pub(super) async fn begin_upload(&self, at: At<'_>, content: &Content) -> Result<String> {
        let call = Call::new(Method::POST, self.address.name(at.container, at.name, "uploads="));
        let root = document(self.send(&with_content(call, content)).await?).await?;
        match root.text("UploadId") {
            "" => Err(odd("an upload has no id")),
            id => Ok(id.to_owned()),
        }
    }

    pub(super) async fn send_part(&self, at: At<'_>, upload: &str, number: u32, body: &Payload) -> Result<String> {
        let call = Call::new(Method::PUT, self.part(at, upload, number));
        let call = call.header("content-md5", &BASE64_STANDARD.encode(body.md5()))?.body(body.clone());
        etag(&expect(self.send(&call).await?).await?)
    }

    /// The address of a part.
    pub(super) fn part(&self, at: At<'_>, upload: &str, number: u32) -> String {
        let query = format!("partNumber={number}&uploadId={}", value(upload));
        self.address.name(at.container, at.name, &query)
    }

    /// Makes the parts, of so many bytes in all, the object. Returns its tag.
    pub(super) async fn complete(
        &self,
        at: At<'_>,
        upload: &str,
        (parts, size): (&[(u32, String)], u64),
        when: When<'_>,
    ) -> Result<String> {
        let uri = self.address.name(at.container, at.name, &format!("uploadId={}", value(upload)));
        let call = Call::new(Method::POST, uri).header("content-type", "application/xml")?;
        let call = call.body(list(parts).into()).moving(size);
        let mut tries = 0;
        loop {
            let ended = match self.send_when(at, when, &call).await {
                Ok(reply) => document(reply).await,
                Err(refused) => Err(refused),
            };
            match ended {
                Ok(root) => return Ok(tag(root.text("ETag"))),
                Err(Refused::Answer(refusal)) if refusal.is_no_upload() => {
                    // An earlier try may have done it, and its answer was lost.
                    return match self.look(at).await {
                        Ok(found) if composite(parts).is_some_and(|made| bare(&found.tag) == made) => Ok(found.tag),
                        Ok(_) | Err(Error::NotFound) => Err(Error::NotFound),
                        Err(error) => Err(error),
                    };
                }
                Err(Refused::Answer(refusal)) if is_late(&refusal) && tries < LATE_TRIES_MAX => {
                    tokio::time::sleep(Duration::from_millis(LATE_MILLIS << tries)).await;
                    tries += 1;
                }
                Err(refused) => return Err(refused.into()),
            }
        }
    }

    /// Sends a request that moves bytes over there; its answer may begin well and end with an error.
    pub(super) async fn moved(&self, call: &Call) -> Result<Element> {
        let mut tries = 0;
        loop {
            match document(self.send(call).await?).await {
                Err(Refused::Answer(refusal)) if is_late(&refusal) && tries < LATE_TRIES_MAX => {
                    tokio::time::sleep(Duration::from_millis(LATE_MILLIS << tries)).await;
                    tries += 1;
                }
                ended => return ended.map_err(Error::from),
            }
        }
    }

    pub(super) async fn abort_upload(&self, at: At<'_>, upload: &str) -> Result<()> {
        let uri = self.address.name(at.container, at.name, &format!("uploadId={}", value(upload)));
        let reply = self.send(&Call::new(Method::DELETE, uri)).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        expect(reply).await.map(|_| ())
    }

    pub(super) async fn sweep_uploads(&self, container: &str, before: Timestamp) -> Result<u64> {
        let first = format!("encoding-type=url&max-uploads=1000&prefix={}", value(&format!("{RESERVED}/")));
        let mut place = String::new();
        let mut swept = 0;
        for _ in 0..SWEEP_PAGES_MAX {
            let uri = self.address.container(container, &format!("{first}{place}&uploads="));
            let root = document(self.send(&Call::new(Method::GET, uri)).await?).await?;
            let encoded = root.text("EncodingType").eq_ignore_ascii_case("url");
            let text = |text: &str| if encoded { decoded(text) } else { Some(text.to_owned()) };
            for upload in root.all("Upload") {
                let begun = listed_date(upload.text("Initiated"));
                let Some(name) = text(upload.text("Key")) else { continue };
                let ours = name.split('/').next() == Some(RESERVED);
                if ours && begun.is_some_and(|begun| begun < before) {
                    self.abort_upload(At { container, name: &name }, upload.text("UploadId")).await?;
                    swept += 1;
                }
            }
            let next = text(root.text("NextKeyMarker")).unwrap_or_default();
            let after =
                format!("&key-marker={}&upload-id-marker={}", value(&next), value(root.text("NextUploadIdMarker")));
            // A service that says "more" and stays where it is has no more to say.
            if !root.is_true("IsTruncated") || next.is_empty() || after == place {
                return Ok(swept);
            }
            place = after;
        }
        Ok(swept)
    }
}

/// Whether the same request may succeed, though the transport has not tried it again.
fn is_late(refusal: &Refusal) -> bool {
    matches!(refusal.code.as_str(), "InternalError" | "SlowDown" | "ServiceUnavailable" | "RequestTimeout")
}

fn list(parts: &[(u32, String)]) -> String {
    let part = |(number, tag): &(u32, String)| {
        let tag = quick_xml::escape::escape(tag.as_str());
        format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>")
    };
    let parts: String = parts.iter().map(part).collect();
    format!(
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{parts}</CompleteMultipartUpload>"
    )
}

/// The ETag of what these parts make, if theirs are MD5s.
fn composite(parts: &[(u32, String)]) -> Option<String> {
    let mut md5 = Md5::new();
    for (_, tag) in parts {
        md5.update(unhex::<16>(&digest(bare(tag))?)?);
    }
    Some(format!("{}-{}", hex(&md5.finalize()), parts.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_parts() {
        let parts = [(1, "\"d41d8cd98f00b204e9800998ecf8427e\"".to_owned()), (2, "\"a&b\"".to_owned())];
        let root = Element::parse(list(&parts).as_bytes()).expect("XML");
        let seen: Vec<_> = root.all("Part").map(|part| (part.text("PartNumber"), part.text("ETag"))).collect();
        assert_eq!(seen, [("1", "\"d41d8cd98f00b204e9800998ecf8427e\""), ("2", "\"a&b\"")]);
        assert_eq!(composite(&parts), None);
        assert_eq!(composite(&parts[..1]).as_deref(), Some("59adb24ef3cdbe0297f05b395827453f-1"));
    }
}
