//! The S3 protocol, on s3s. Only this module names s3s.
//!
//! A request passes the request layer ([`layer_request`]), then s3s, which reads it, verifies its signature and asks
//! [`access`] who the caller is, then one function per operation, which calls the store, and last the response layer
//! ([`layer_response`]), which gives every answer its ids and every error its body.
//!
//! **Invariant:** authorization is the store's alone; every request is answered, whatever it holds.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Request, Response};
use http_body::{Frame, SizeHint};
use s3s::config::StaticConfigProvider;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::validation::NameValidation;

use crate::front::facts::RequestFacts;
use crate::front::wire::{APART, confine};
use crate::model::name::BucketName;
use crate::store::Store;

mod access;
mod acl;
mod auth;
mod body;
mod bucket;
mod bucket_config;
mod config;
mod content;
mod context;
mod copy;
mod cors;
mod declared;
mod delete;
mod detached;
mod encode;
mod error;
mod exchange;
mod gateway;
mod given;
mod guard;
mod hoisted;
mod host;
mod last_chunk;
mod layer_request;
mod layer_response;
mod lifecycle;
mod list;
mod lock;
mod logging;
mod mount;
mod multipart;
mod notification;
mod object;
mod operation;
mod post;
mod query;
mod references;
mod rewrite;
mod scope;
mod sigv2;
mod site;
mod sse;
mod tagging;
mod unset;
mod verb;
mod website;
mod wire;
mod xml_body;

pub use bucket::FIRST_REGION;
use cors::Page;
use error::Refusal;
use exchange::Exchange;
use gateway::Gateway;
use host::Hosts;
use layer_response::Asked;
use logging::Visit;
use mount::Keys;
pub use mount::{Mount, Sessions};

/// How the front is set up.
#[derive(Debug, Clone, Default)]
pub struct S3Options {
    /// The region of all buckets, of `a-z`, `0-9` and `-`. If it is set, signatures must be made for it.
    pub region: Option<String>,
    /// Domains under which `bucket.domain` names a bucket.
    pub domains: Vec<String>,
    /// Whether signatures of the second version are let in.
    pub sigv2: bool,
    /// Domains under which `bucket.domain` is the website of a bucket.
    pub website_domains: Vec<String>,
    /// The path below which it is; `None`: at the root of a listener of its own. Below a path only paths name buckets,
    /// and signatures are of version 4: the options for others are ignored.
    pub mount: Option<Mount>,
}

/// The S3 front.
#[derive(Debug, Clone)]
pub struct S3Front {
    sigv2: sigv2::SigV2,
    store: Store,
    /// Verifies requests.
    service: S3Service,
    /// Serves what was verified before.
    plain: S3Service,
    hosts: Arc<Hosts>,
    websites: Arc<Hosts>,
    region: Option<Arc<str>>,
    keys: Keys,
    /// The path below which it is served; empty: at the root.
    base: &'static str,
}

/// Bucket names as s3s is to take them: any that the model has, since adopted buckets may have any.
struct AnyBucket;

impl NameValidation for AnyBucket {
    fn validate_bucket_name(&self, name: &str) -> bool {
        BucketName::new(name).is_ok()
    }
}

/// Makes the front.
#[must_use]
pub fn service(store: Store, mut options: S3Options) -> S3Front {
    let mount = options.mount.take();
    let base = mount.as_ref().map_or("", |mount| mount.base);
    if mount.is_some() {
        options = S3Options { region: options.region, ..S3Options::default() };
    }
    let keys = Keys { store: store.clone(), sessions: mount.and_then(|mount| mount.sessions).map(Arc::new) };
    let hosts = Hosts::new(&options.domains);
    let region = options.region.clone().unwrap_or_else(|| bucket::FIRST_REGION.to_owned());
    let gateway = Gateway { store: store.clone(), region, hosts: hosts.clone(), base };
    let settings = Arc::new(config::settings(options.region.as_deref()));
    let builder = || {
        let mut builder = S3ServiceBuilder::new(gateway.clone());
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::clone(&settings))));
        builder.set_auth(auth::Secrets(keys.clone()));
        builder.set_access(access::Gate(gateway.store.clone()));
        builder.set_host(hosts.clone());
        builder.set_validation(AnyBucket);
        builder
    };
    let sigv2 = sigv2::SigV2 { accepted: options.sigv2, store: gateway.store.clone(), hosts: hosts.clone() };
    let plain = builder().build();
    let mut outer = builder();
    outer.set_route(rewrite::Rewrite { plain: plain.clone(), keys: keys.clone() });
    S3Front {
        store,
        service: outer.build(),
        sigv2,
        plain,
        hosts: Arc::new(hosts),
        websites: Arc::new(Hosts::new(&options.website_domains)),
        region: options.region.map(Arc::from),
        keys,
        base,
    }
}

impl S3Front {
    /// Answers one request.
    ///
    /// On cancellation: as the store says of the operation; a body that was not taken in leaves nothing behind.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<ResponseBody>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let request = if self.base.is_empty() { request } else { mount::enter(self.base, request) };
        let facts = request.extensions().get::<RequestFacts>().cloned().unwrap_or_default();
        let exchange = Exchange::new(facts);
        let range = request.headers().get(http::header::RANGE).and_then(|value| value.to_str().ok());
        let asked = Asked {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            range: range.map(str::to_owned),
            region: self.region.as_deref().map(str::to_owned),
        };
        let named = Named::by(self, &request);
        let website = matches!(named, Named::Website(_));
        let bucket = named.bucket().filter(|bucket| self.store.may_log_access(bucket));
        let visit = bucket.map(|_| Visit::of(&request, exchange.facts()));
        // Below a path, the interface that it belongs to speaks to pages.
        let page = Page::new(named.bucket(), request.method(), request.headers()).filter(|_| self.base.is_empty());
        let served = AssertUnwindSafe(self.answer(request, named, &exchange)).catch_unwind().await;
        let served = served.unwrap_or_else(|_| {
            exchange.facts().set_panicked();
            tracing::error!(request = exchange.facts().id().as_str(), "a request panicked");
            Err(Refusal::internal())
        });
        let preflight = asked.method == Method::OPTIONS;
        let mut response = match served {
            // An error of a website is a page already.
            Ok(page) if website && !preflight => layer_response::sign_off(page, &asked.method, &exchange),
            served => layer_response::dress(served, &asked, &exchange),
        };
        if let Some(page) = page.filter(|_| !preflight) {
            page.tell(&self.store, response.headers_mut()).await;
        }
        // Below a path it has the origin of interfaces that know a browser by its cookie.
        if !self.base.is_empty() {
            confine(response.headers_mut(), APART);
        }
        if let Some(visit) = visit {
            visit.log(&self.store, exchange.facts(), &response);
        }
        response.map(ResponseBody)
    }

    /// Answers a request for what it names.
    async fn answer<B>(
        &self,
        request: Request<B>,
        named: Named,
        exchange: &Exchange,
    ) -> error::Result<Response<s3s::Body>>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        match named {
            named if request.method() == Method::OPTIONS => {
                exchange.facts().set_operation("PreflightObject");
                cors::preflight(&self.store, named.bucket(), request.headers()).await
            }
            Named::Website(bucket) => {
                let (asked, _) = request.into_parts();
                Ok(site::serve(self, exchange, &bucket, &asked).await)
            }
            Named::Bucket(_) => self.serve(request, exchange).await,
        }
    }

    async fn serve<B>(&self, request: Request<B>, exchange: &Exchange) -> error::Result<Response<s3s::Body>>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let request = layer_request::admit(request, &self.hosts, exchange)?;
        let request = self.sigv2.verify(request).await?;
        if let Some(bucket) = post::bucket(self, &request) {
            return post::serve(self, request, &bucket, exchange).await;
        }
        let method = request.method().clone();
        let wrong = verb::wrong(&request, &self.hosts);
        // s3s gives up where it cannot write an answer: on an error text that XML has no form for.
        let unread = |_| Refusal::request("The request could not be read.");
        let response = self.service.call(mount::as_sent(request)).await.map_err(unread)?;
        match wrong {
            Some(refusal) if verb::is_unknown(&method, &response) => Err(refusal),
            _ => Ok(response),
        }
    }
}

/// What a request names.
enum Named {
    /// A bucket as S3 has it, or none.
    Bucket(Option<BucketName>),
    /// A bucket as a website, by the text of the host.
    Website(String),
}

impl Named {
    fn by<B>(front: &S3Front, request: &Request<B>) -> Self {
        let host = host::of(request.uri(), request.headers());
        match front.websites.bucket(host) {
            Some(bucket) => Self::Website(bucket),
            None => Self::Bucket(host::target(&front.hosts, host, request.uri().path()).map(|(bucket, _)| bucket)),
        }
    }

    fn bucket(&self) -> Option<BucketName> {
        match self {
            Self::Bucket(bucket) => bucket.clone(),
            Self::Website(bucket) => BucketName::new(bucket).ok(),
        }
    }
}

/// The body of an answer.
pub struct ResponseBody(s3s::Body);

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
