//! The REST listener, wired: health and metrics, the LoopBack interface, the Supabase Storage interface, S3 below it, and
//! FileStores.
//!
//! **Invariant:** all interfaces here work on one store and verify tokens by one set of keys, so what is forgotten or
//! renewed there counts for all of them at once. A mount on which nobody needs a token to write is told of in the log.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use tower::service_fn;
use tower::util::BoxCloneSyncService;

use super::App;
use crate::auth::jwt::Tokens;
use crate::config::{Config, FilestoreConfig, LoopbackAccess, ServiceConfig};
use crate::front::filestore::{self, Filestore, FilestoreOptions, ServiceOptions};
use crate::front::loopback::{self, Loopback};
use crate::front::ops::{self, Ops};
use crate::front::s3::{self, Mount, S3Options, Sessions};
use crate::front::supabase::{self, Supabase, SupabaseOptions};
use crate::server::fronts::Rest;
use crate::server::{Exchange, Proxies};
use crate::store::ServiceRules;

/// What serves the listener.
pub(super) fn exchange(config: &Config, app: &App, tokens: Tokens) -> Exchange<Rest> {
    let ops = Ops {
        store: app.store.clone(),
        metrics: Arc::clone(&app.metrics),
        metrics_token: config.server.metrics_token.clone(),
    };
    let options = SupabaseOptions {
        file_bytes_max: config.supabase.file_size_limit,
        signed_upload_seconds: config.supabase.signed_upload_seconds,
        upload_seconds: config.supabase.upload_seconds,
    };
    let s3 = s3_below(config, app, tokens.clone());
    let loopback = Loopback::new(app.store.clone(), tokens.clone(), &config.loopback);
    for mount in config.loopback.iter().filter(|mount| mount.access == LoopbackAccess::Open) {
        tracing::warn!(
            path = mount.path,
            "whoever reaches this mount reads and writes what is root's, without a token"
        );
    }
    let supabase = supabase::router(Supabase::new(app.store.clone(), tokens.clone(), options, s3));
    let filestore = filestore::router(&filestore_front(config, app, tokens.clone()));
    let routes = ops::router(ops).merge(supabase).merge(filestore);
    let proxies = Proxies::new(config.server.trusted_proxies.clone());
    Exchange::new(Rest(loopback::in_front_of(routes, loopback)), Arc::clone(&app.metrics)).behind(proxies)
}

/// The FileStore interface of the services that are configured.
fn filestore_front(config: &Config, app: &App, tokens: Tokens) -> Filestore {
    let service = |service: &ServiceConfig| ServiceOptions {
        name: service.name.clone(),
        bucket: service.bucket.clone(),
        attachment: service.attachment,
    };
    let FilestoreConfig { domain, origins, sign_in, services } = &config.filestore;
    let options = FilestoreOptions {
        services: services.iter().map(service).collect(),
        domain: domain.clone(),
        origins: origins.clone(),
        sign_in: *sign_in,
    };
    Filestore::new(app.store.clone(), tokens, options)
}

/// What the store is told of them.
pub(super) fn services(config: &Config) -> Vec<ServiceRules> {
    let rules = |service: &ServiceConfig| ServiceRules {
        bucket: service.bucket.clone(),
        admin_group: service.admin_group.clone(),
        private: service.private,
        items_max: service.items_max,
        bytes_max: service.bytes_max,
        levels_max: service.levels_max,
    };
    config.filestore.services.iter().map(rules).collect()
}

/// S3 below the path that Supabase has it at.
fn s3_below(config: &Config, app: &App, tokens: Tokens) -> supabase::S3 {
    let project = config.supabase.project.clone();
    let sessions = config.supabase.anon_key.clone().map(|secret| Sessions { project, secret, tokens });
    let mount = Some(Mount { base: supabase::S3_BASE, sessions });
    let options = S3Options { region: config.s3.region.clone(), mount, ..S3Options::default() };
    let front = s3::service(app.store.clone(), options);
    BoxCloneSyncService::new(service_fn(move |request: Request| {
        let front = front.clone();
        async move { Ok(front.handle(request).await.map(Body::new)) }
    }))
}
