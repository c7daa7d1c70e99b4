//! Objects at Google that fit into one request: looking at them, writing, removing and listing them.
//!
//! **Invariant:** what is written has the MD5 that was announced with it, or is refused by the service; the name that
//! the service answers is the one that was meant.

use http::Method;

use super::Google;
use super::json::{FACTS, Object, Objects, PAGE, Resource, WRITTEN, digest, strange};
use crate::config::limits::{CLOUD_EMPTY_PAGES_MAX, LIST_KEYS_MAX};
use crate::model::id::{VersionId, hex};
use crate::model::object::Content;
use crate::provider::cloud::payload::Payload;
use crate::provider::cloud::service::{At, Facts, Page, When};
use crate::provider::cloud::transport::{Call, failed};
use crate::provider::{Error, Result};

impl Google {
    pub(super) async fn look(&self, at: At<'_>) -> Result<Facts> {
        let object: Object = self.fetch(self.endpoint.object(at).with("fields", FACTS)).await?;
        same_name(&object, at)?;
        object.facts()
    }

    /// Sends headers and bytes as the two parts of one body.
    pub(super) async fn write(&self, at: At<'_>, body: &Payload, content: &Content, when: When<'_>) -> Result<String> {
        let md5 = body.md5();
        let resource = Resource::new(content).of(at.name, md5);
        let text = serde_json::to_string(&resource).map_err(|error| failed("a body", error))?;
        // No body holds a boundary that is random.
        let boundary = format!("longshore-{}", VersionId::fresh());
        let mut parts = Payload::from(format!(
            "--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{text}\r\n\
             --{boundary}\r\nContent-Type: {}\r\n\r\n",
            resource.content_type
        ));
        parts.append(body);
        parts.append(&format!("\r\n--{boundary}--\r\n").into());
        let address = self.endpoint.upload(at.container).when(when).with("fields", WRITTEN);
        let call = Call::new(Method::POST, address.uri())
            .header("content-type", &format!("multipart/related; boundary={boundary}"))?
            .body(parts);
        let written: Object = super::answer(self.ask(&call).await?).await?;
        same_name(&written, at)?;
        // The service has refused what it did not verify; this is for those that only speak like it.
        if written.md5_hash.as_deref().and_then(digest).is_some_and(|stored| stored != hex(&md5)) {
            return Err(strange("other bytes were stored than were sent"));
        }
        Ok(written.generation)
    }

    pub(super) async fn remove(&self, at: At<'_>, when: When<'_>) -> Result<()> {
        let call = Call::new(Method::DELETE, self.endpoint.object(at).when(when).uri());
        match self.ask(&call).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            // A condition on a generation is also not met where nothing is.
            Err(Error::StampMismatch) if matches!(when, When::Is(_)) => match self.look(at).await {
                Ok(_) => Err(Error::StampMismatch),
                Err(Error::NotFound) => Ok(()),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Removes one generation of a name, also where the container keeps older ones.
    pub(super) async fn remove_generation(&self, at: At<'_>, generation: &str) -> Result<()> {
        let address = self.endpoint.object(at).with("generation", generation);
        match self.ask(&Call::new(Method::DELETE, address.uri())).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn page(&self, container: &str, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        let (objects, more) = self.objects(container, prefix, after, limit).await?;
        let entries = objects.into_iter().map(Object::entry).collect::<Result<_>>()?;
        Ok(Page { entries, more, next: None })
    }

    /// Objects behind `after`, and whether more may follow: none only if nothing follows.
    pub(super) async fn objects(
        &self,
        container: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Object>, bool)> {
        // The service begins with the name it is told, which may be one of the page.
        let wanted = limit.saturating_add(usize::from(after.is_some())).clamp(1, LIST_KEYS_MAX);
        let offset = after.map(beginning);
        let mut token = None::<String>;
        for _ in 0..CLOUD_EMPTY_PAGES_MAX {
            let address = self
                .endpoint
                .names(container)
                .with("maxResults", &wanted.to_string())
                .with("fields", PAGE)
                .with("prefix", prefix)
                .with_some("startOffset", offset.as_deref())
                .with_some("pageToken", token.as_deref());
            let Objects { mut items, next_page_token } = self.fetch(address).await?;
            items.retain(|object| after.is_none_or(|after| object.name.as_str() > after));
            token = next_page_token.filter(|token| !token.is_empty());
            if !items.is_empty() || token.is_none() {
                let more = token.is_some() || items.len() > limit;
                items.truncate(limit);
                return Ok((items, more));
            }
        }
        Err(strange("its listing does not come to an end"))
    }
}

/// Where a listing is to begin so that nothing behind `after` is missed. The last character of all is none that text may
/// be sent with, so one before it stands for it.
fn beginning(after: &str) -> String {
    match after.strip_suffix(char::MAX) {
        Some(rest) => format!("{rest}\u{10fffd}"),
        None => after.to_owned(),
    }
}

fn same_name(object: &Object, at: At<'_>) -> Result<()> {
    if object.name == at.name { Ok(()) } else { Err(strange("another name than was asked for")) }
}
