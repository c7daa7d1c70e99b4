//! Buckets that others make in the tables of Supabase, and the objects of Supabase's own server, which goes on writing
//! beside us.
//!
//! A bucket may be made by SQL, as in a migration. Its container is made on the default provider when it is first asked for,
//! or on the one that Supabase's own server uses.
//!
//! That server has rows in tables that are ours, too, and bytes where both look for them: each version at a path of its own, which is
//! never anything else. So its rows are served as they are, without facts of ours, and nobody has to be told of a change.
//!
//! **Invariant:** a bucket of its becomes one of ours by its row alone; what lies in a directory becomes none, and what
//! is missing there ends no row.

use crate::model::bucket::BucketSettings;
use crate::model::object::Object;
use crate::provider;
use crate::store::adopt::provisional_etag;
use crate::store::bound::Bound;
use crate::store::error::Result;
use crate::store::mount::Mount;
use crate::store::{SERVICE, Store};

impl Store {
    /// Takes in the buckets that have come to the tables since.
    pub(super) async fn adopt_shared(&self) -> Result<()> {
        if !self.catalog().is_shared() {
            return Ok(());
        }
        for (name, mount) in self.makers() {
            if mount.serving().is_ok() {
                self.adopt_shared_on(name, mount).await?;
            }
        }
        Ok(())
    }

    /// The providers of buckets that are only rows so far: those of Supabase's own server, else the default one.
    fn makers(&self) -> Vec<(&String, &Mount)> {
        let shared: Vec<_> = self.0.mounts.iter().filter(|(_, mount)| mount.shared().is_some()).collect();
        match shared.is_empty() {
            true => self.0.mounts.iter().filter(|(name, _)| **name == self.0.default_provider).collect(),
            false => shared,
        }
    }

    /// The same for one provider, whether or not it is attached yet. A container that is missing is made: that server has
    /// none before it has an object.
    pub(super) async fn adopt_shared_on(&self, name: &str, mount: &Mount) -> Result<()> {
        if !self.makers().iter().any(|(maker, _)| *maker == name) {
            return Ok(());
        }
        let settings = match mount.shared() {
            Some(layout) => BucketSettings { layout, exclusive: true, ..BucketSettings::default() },
            None => BucketSettings { layout: mount.usual_layout(), ..BucketSettings::default() },
        };
        for bucket in self.catalog().adopt_buckets(&SERVICE, name, settings).await? {
            let provider = mount.opened()?;
            match provider.create_container(&bucket.container).await {
                Ok(()) | Err(provider::Error::AlreadyExists) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(container) = provider.container(&bucket.container).await? {
                self.claim(&*provider, &container, false).await?;
            }
            if mount.shared().is_none() {
                let ruled = self.0.bucket_rules.settings(&bucket.name, mount.usual_layout());
                let ruled = BucketSettings { public: bucket.settings.public, ..ruled };
                if ruled != bucket.settings {
                    self.catalog().set_bucket(&SERVICE, bucket.id, ruled).await?;
                }
            }
            tracing::info!(bucket = %bucket.name, provider = name, "a bucket that was made by SQL is served");
            self.forget_bucket(&bucket.name);
        }
        Ok(())
    }

    /// The row with what its writer has not said of its bytes.
    pub(super) async fn looked_at(&self, bound: &Bound, row: Object) -> Result<Object> {
        if !row.stamp.is_any() || !row.etag.is_empty() {
            return Ok(row);
        }
        match bound.provider.stat(bound.place(), &row.place()).await {
            Ok(stat) => {
                let foreign = stat.foreign.map(|foreign| *foreign).unwrap_or_default();
                let etag = foreign.etag.unwrap_or_else(|| provisional_etag(&stat.stamp));
                let mut content = row.content.clone();
                content.content_type = content.content_type.or(foreign.content.content_type);
                Ok(Object { etag, content, size: stat.size, ..row })
            }
            Err(provider::Error::NotFound) => Ok(row),
            Err(error) => Err(error.into()),
        }
    }
}
