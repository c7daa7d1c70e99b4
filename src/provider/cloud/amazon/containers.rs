//! Buckets of the service as containers.
//!
//! **Invariant:** one that is there is never taken for one that was made now.

use http::{Method, StatusCode};

use super::address::value;
use super::facts::{listed_date, odd};
use super::refusal::{Refusal, document, expect};
use super::{Amazon, FIRST_REGION};
use crate::config::limits::CLOUD_CONTAINER_PAGES_MAX;
use crate::model::time::Timestamp;
use crate::provider::cloud::transport::Call;
use crate::provider::{Error, Result};

impl Amazon {
    /// Those whose names begin with `prefix`; services other than Amazon's give all.
    pub(super) async fn all_containers(&self, prefix: &str) -> Result<Vec<(String, Timestamp)>> {
        let mut all = Vec::new();
        let mut token = String::new();
        for _ in 0..CLOUD_CONTAINER_PAGES_MAX {
            let mut query = String::new();
            if self.address.amazon {
                // Those of other regions are served at other addresses.
                query = format!("bucket-region={}&max-buckets=1000", value(&self.region));
                if !prefix.is_empty() {
                    query.push_str(&format!("&prefix={}", value(prefix)));
                }
            }
            if !token.is_empty() {
                let more = format!("continuation-token={}", value(&token));
                query = if query.is_empty() { more } else { format!("{query}&{more}") };
            }
            let root = document(self.send(&Call::new(Method::GET, self.address.service(&query))).await?).await?;
            for bucket in root.child("Buckets").iter().flat_map(|buckets| buckets.all("Bucket")) {
                let made = listed_date(bucket.text("CreationDate")).unwrap_or_default();
                all.push((bucket.text("Name").to_owned(), made));
            }
            token = root.text("ContinuationToken").to_owned();
            if token.is_empty() {
                return Ok(all);
            }
        }
        Err(odd("the list of containers does not end"))
    }

    /// When one was made; 0 if that is not for us to know.
    pub(super) async fn one_container(&self, container: &str) -> Result<Option<Timestamp>> {
        let reply = self.send(&Call::new(Method::HEAD, self.address.container(container, ""))).await?;
        match reply.status {
            StatusCode::NOT_FOUND => return Ok(None),
            status if status.is_success() => {}
            _ => return Err(Refusal::read(reply).await.error()),
        }
        match self.all_containers(container).await {
            Ok(all) => {
                let made = all.into_iter().find(|(name, _)| name == container).map(|(_, made)| made);
                Ok(Some(made.unwrap_or_default()))
            }
            Err(Error::Denied) => Ok(Some(Timestamp::default())),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn make_container(&self, container: &str) -> Result<()> {
        let uri = self.address.container(container, "");
        // Some answer as if they had made it when we own one of that name.
        let reply = self.send(&Call::new(Method::HEAD, uri.clone())).await?;
        match reply.status {
            StatusCode::NOT_FOUND => {}
            // Nobody but its owner may know more of it.
            status if status.is_success() || status == StatusCode::FORBIDDEN || status.is_redirection() => {
                return Err(Error::AlreadyExists);
            }
            _ => return Err(Refusal::read(reply).await.error()),
        }
        let mut call = Call::new(Method::PUT, uri);
        if self.region != FIRST_REGION {
            let region = quick_xml::escape::escape(self.region.as_str());
            let text = format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            );
            call = call.body(text.into());
        }
        expect(self.send(&call).await?).await.map(|_| ())
    }

    pub(super) async fn remove_container(&self, container: &str) -> Result<()> {
        let call = Call::new(Method::DELETE, self.address.container(container, ""));
        expect(self.send(&call).await?).await.map(|_| ())
    }
}
