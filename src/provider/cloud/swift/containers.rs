//! Containers and what is in them.
//!
//! **Invariant:** no list is cut in silence: a page as long as the longest that the cluster gives says that more
//! follow, and containers beyond all pages are an error.

use http::{Method, StatusCode};

use super::Swift;
use super::call::{is_missing, query, refusal};
use super::headers::modified;
use super::json::{Row, rows};
use crate::config::limits::CLOUD_CONTAINER_PAGES_MAX;
use crate::model::time::Timestamp;
use crate::provider::cloud::service::{Entry, Page};
use crate::provider::{Error, Result};

impl Swift {
    pub(super) async fn all_containers(&self) -> Result<Vec<(String, Timestamp)>> {
        let limit = self.limits().await?.containers_page.min(1000);
        let mut all: Vec<(String, Timestamp)> = Vec::new();
        for _ in 0..CLOUD_CONTAINER_PAGES_MAX {
            let text = limit.to_string();
            let marker = all.last().map(|(name, _)| name.clone()).unwrap_or_default();
            let query = query(&[("format", "json"), ("limit", &text), ("marker", &marker)]);
            let reply = self.ask(&self.for_account(Method::GET, &query).await?).await?;
            let page: Vec<_> = rows(&reply.bytes().await?)?.into_iter().filter_map(Row::container).collect();
            let more = page.len() >= limit;
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
        Err(Error::Failed(std::io::Error::other("the list of containers does not end")))
    }

    pub(super) async fn one_container(&self, container: &str) -> Result<Option<Timestamp>> {
        let reply = self.send(&self.for_container(Method::HEAD, container, "").await?).await?;
        match reply.status {
            status if status.is_success() => Ok(Some(modified(&reply.headers))),
            _ if is_missing(&reply) => Ok(None),
            _ => Err(refusal(reply).await),
        }
    }

    pub(super) async fn make_container(&self, container: &str) -> Result<()> {
        let reply = self.ask(&self.for_container(Method::PUT, container, "").await?).await?;
        // 202: it was there, and is not changed by a request that asks for nothing else.
        if reply.status == StatusCode::ACCEPTED { Err(Error::AlreadyExists) } else { Ok(()) }
    }

    pub(super) async fn remove_container(&self, container: &str) -> Result<()> {
        let reply = self.send(&self.for_container(Method::DELETE, container, "").await?).await?;
        match reply.status {
            status if status.is_success() => Ok(()),
            StatusCode::CONFLICT => Err(Error::NotEmpty),
            _ => Err(refusal(reply).await),
        }
    }

    /// A page of a listing, in which names are put together up to the delimiter, if there is one.
    pub(super) async fn rows(
        &self,
        container: &str,
        prefix: &str,
        marker: &str,
        limit: usize,
        delimiter: Option<&str>,
    ) -> Result<Vec<Row>> {
        let limit = limit.to_string();
        let mut fields = vec![("format", "json"), ("limit", &limit), ("prefix", prefix), ("marker", marker)];
        fields.extend(delimiter.map(|delimiter| ("delimiter", delimiter)));
        let reply = self.ask(&self.for_container(Method::GET, container, &query(&fields)).await?).await?;
        rows(&reply.bytes().await?)
    }

    pub(super) async fn page(&self, container: &str, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        // Swift does not say whether more follow: one more is asked for, where it gives as many.
        let most = self.limits().await?.page;
        let limit = limit.min(most).clamp(1, 1000);
        let asked = (limit + 1).min(most);
        // It looks for the character behind the last one of a prefix, and fails where there is none.
        let short = prefix.trim_end_matches(char::MAX);
        let before = format!("{short}\u{10FFFE}");
        let marker = if short == prefix { after } else { after.max(Some(before.as_str())) };
        let mut rows = self.rows(container, short, marker.unwrap_or_default(), asked, None).await?;
        let more = rows.len() > limit || (asked == limit && rows.len() == limit);
        rows.truncate(limit);
        let mut entries: Vec<Entry> = rows.into_iter().filter_map(Row::entry).collect();
        let next = entries.last().filter(|_| short != prefix).map(|entry| entry.name.clone());
        entries.retain(|entry| entry.name.starts_with(prefix));
        Ok(Page { entries, more, next })
    }
}
