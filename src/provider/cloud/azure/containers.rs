//! Containers.
//!
//! **Invariant:** a container is removed only when it was seen to be empty; between the look and the removal there is no
//! lock, as the service has none.

use std::io;

use http::Method;

use super::{Azure, date, names, refusal, xml};
use crate::config::limits::CLOUD_CONTAINER_PAGES_MAX;
use crate::model::time::Timestamp;
use crate::provider::cloud::transport::Call;
use crate::provider::{Error, Result};

impl Azure {
    pub(super) async fn all_containers(&self) -> Result<Vec<(String, Timestamp)>> {
        let (mut all, mut marker) = (Vec::new(), None::<String>);
        for _ in 0..CLOUD_CONTAINER_PAGES_MAX {
            let mut uri = format!("{}/?comp=list", self.base);
            if let Some(marker) = &marker {
                uri.push_str(&format!("&marker={}", names::query(marker)));
            }
            let reply = refusal::expect(self.send(&Call::new(Method::GET, uri)).await?, 200).await?;
            let listing = xml::containers(&reply.bytes().await?)?;
            all.extend(listing.items);
            marker = listing.marker;
            if marker.is_none() {
                return Ok(all);
            }
        }
        Err(Error::Failed(io::Error::other("there are too many containers")))
    }

    pub(super) async fn one_container(&self, container: &str) -> Result<Option<Timestamp>> {
        let reply = self.send(&self.container_call(Method::HEAD, container)).await?;
        match refusal::expect(reply, 200).await {
            Ok(reply) => Ok(Some(date::parsed(reply.header("last-modified")).unwrap_or_default())),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn make_container(&self, container: &str) -> Result<()> {
        let reply = self.send(&self.container_call(Method::PUT, container)).await?;
        refusal::expect(reply, 201).await.map(drop)
    }

    pub(super) async fn remove_container(&self, container: &str) -> Result<()> {
        if !self.is_empty(container).await? {
            return Err(Error::NotEmpty);
        }
        let reply = self.send(&self.container_call(Method::DELETE, container)).await?;
        refusal::expect(reply, 202).await.map(drop)
    }

    fn container_call(&self, method: Method, container: &str) -> Call {
        Call::new(method, format!("{}/{container}?restype=container", self.base))
    }
}
