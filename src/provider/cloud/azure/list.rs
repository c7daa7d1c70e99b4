//! Pages of names, begun at any name.
//!
//! **Invariant:** as of [`super::order`]; a service that does not begin where it is told to is found out.

use std::io;

use http::Method;

use super::order::{self, Scan};
use super::{Azure, names, refusal, xml};
use crate::config::limits::{CLOUD_ROUNDS_MAX, LIST_KEYS_MAX};
use crate::provider::cloud::service::{Entry, Page};
use crate::provider::cloud::transport::Call;
use crate::provider::{Error, Result};

/// The version of the protocol since which a listing begins where it is told to.
const VERSION_STARTING: &str = "2026-02-06";
/// Most answers in a row that show nothing though more is to come.
const EMPTY_ANSWERS_MAX: usize = 1000;

impl Azure {
    /// A page of blobs.
    pub(super) async fn page(&self, container: &str, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        let limit = limit.clamp(1, LIST_KEYS_MAX);
        let mut page = Page { next: after.map(str::to_owned), more: true, ..Page::default() };
        for _ in 0..CLOUD_ROUNDS_MAX {
            let Some(scan) = order::plan(prefix, page.next.as_deref()) else { return Ok(Page::default()) };
            let (entries, more) = self.scan(container, &scan, limit).await?;
            page = scan.arrange(entries, more, limit);
            if !page.more || !page.entries.is_empty() {
                break;
            }
        }
        Ok(page)
    }

    /// Whether a container holds nothing at all.
    pub(super) async fn is_empty(&self, container: &str) -> Result<bool> {
        Ok(self.page(container, "", None, 1).await?.entries.is_empty())
    }

    /// What the service shows first of a scan, and whether it has more.
    async fn scan(&self, container: &str, scan: &Scan, limit: usize) -> Result<(Vec<Entry>, bool)> {
        let mut marker: Option<String> = None;
        for _ in 0..EMPTY_ANSWERS_MAX {
            let call = self.listing(container, scan, limit, marker.as_deref())?;
            let reply = refusal::expect(self.send(&call).await?, 200).await?;
            let listing = xml::blobs(&reply.bytes().await?)?;
            if let (Some(from), Some(first)) = (&scan.from, listing.items.first())
                && first.name.encode_utf16().lt(from.encode_utf16())
            {
                return Err(Error::Failed(io::Error::other("the service does not begin listings at a name")));
            }
            if listing.marker.is_none() || listing.items.iter().any(|entry| scan.shows(&entry.name)) {
                return Ok((listing.items, listing.marker.is_some()));
            }
            marker = listing.marker;
        }
        Err(Error::Unavailable(io::Error::other("the listing shows nothing and does not end")))
    }

    fn listing(&self, container: &str, scan: &Scan, limit: usize, marker: Option<&str>) -> Result<Call> {
        let mut uri = format!("{}/{container}?restype=container&comp=list", self.base);
        uri.push_str(&format!("&maxresults={}", scan.wanted(limit)));
        for (name, value) in
            [("prefix", Some(scan.prefix.as_str())), ("startFrom", scan.from.as_deref()), ("marker", marker)]
        {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                uri.push_str(&format!("&{name}={}", names::query(value)));
            }
        }
        let call = Call::new(Method::GET, uri);
        if scan.from.is_some() { call.header("x-ms-version", VERSION_STARTING) } else { Ok(call) }
    }
}
