//! Containers at Google: buckets of a project, whose names are those of everybody's.
//!
//! **Invariant:** a container is removed only if the service says that it is empty.

use http::{Method, StatusCode};
use serde::Serialize;

use super::Google;
use super::json::{Bucket, Buckets, moment};
use crate::config::limits::CLOUD_CONTAINER_PAGES_MAX;
use crate::model::time::Timestamp;
use crate::provider::cloud::transport::{Call, failed};
use crate::provider::{Error, Result};

#[derive(Serialize)]
struct New<'a> {
    name: &'a str,
}

impl Google {
    pub(super) async fn list_containers(&self) -> Result<Vec<(String, Timestamp)>> {
        let (mut found, mut token) = (Vec::new(), None::<String>);
        for _ in 0..CLOUD_CONTAINER_PAGES_MAX {
            let address = self
                .endpoint
                .containers()
                .with("project", self.project()?)
                .with("maxResults", "1000")
                .with("fields", "items(name,timeCreated),nextPageToken")
                .with_some("pageToken", token.as_deref());
            let page: Buckets = self.fetch(address).await?;
            for bucket in page.items {
                found.push((bucket.name, moment(&bucket.time_created)?));
            }
            token = page.next_page_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(found);
            }
        }
        Err(Error::Failed(std::io::Error::other("the list of containers does not end")))
    }

    pub(super) async fn look_at_container(&self, container: &str) -> Result<Option<Timestamp>> {
        let address = self.endpoint.container(container).with("fields", "name,timeCreated");
        match self.fetch::<Bucket>(address).await {
            Ok(bucket) => moment(&bucket.time_created).map(Some),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn make_container(&self, container: &str) -> Result<()> {
        let address = self.endpoint.containers().with("project", self.project()?).with("fields", "name");
        let text = serde_json::to_string(&New { name: container }).map_err(|error| failed("a body", error))?;
        let call = Call::new(Method::POST, address.uri()).header("content-type", "application/json")?.body(text.into());
        let reply = self.transport.send(&self.account, &call).await?;
        match reply.status {
            status if status.is_success() => Ok(()),
            StatusCode::CONFLICT => Err(Error::AlreadyExists),
            // A policy of the organization forbids it.
            StatusCode::PRECONDITION_FAILED => Err(Error::Denied),
            _ => Err(reply.refusal().await),
        }
    }

    pub(super) async fn remove_container(&self, container: &str) -> Result<()> {
        let call = Call::new(Method::DELETE, self.endpoint.container(container).uri());
        let reply = self.transport.send(&self.account, &call).await?;
        match reply.status {
            status if status.is_success() => Ok(()),
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Err(Error::NotEmpty),
            _ => Err(reply.refusal().await),
        }
    }
}
