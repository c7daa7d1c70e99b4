//! The Supabase Storage interface: buckets, objects, signed addresses, lists, resumable uploads.
//!
//! A request is matched to a [`route`], its caller is made of its token ([`who`]), one function calls the store, and what
//! is refused is told in the words that Supabase's clients know ([`error`]).
//!
//! S3 is there too, below a path: such requests go to the front of S3 as they came.
//!
//! **Invariant:** the store decides; here only is said how a refusal looks. A name in a path is decoded once, and what is
//! authorized is what is acted on.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use http::request::Parts;

use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

use crate::auth::jwt::Tokens;
use crate::config::limits::RENDERS_AT_ONCE;
use crate::front::dates;
use crate::front::facts::RequestFacts;
use crate::front::wire;
use crate::store::Store;

mod bucket;
mod change;
mod cors;
mod error;
mod fit;
mod form;
mod health;
mod intake;
mod list;
mod meta;
mod names;
mod read;
mod remove;
mod render;
mod resumable;
mod route;
mod row;
mod schema;
mod select;
mod sign;
mod transform;
mod upload;
mod who;

use error::Result;
use route::{Op, Route};

/// Under which the interface is served beside the root.
const BASE: &str = "/storage/v1";
/// Under which S3 is.
pub const S3_BASE: &str = "/storage/v1/s3";

/// What serves S3.
pub type S3 = BoxCloneSyncService<Request, Response, Infallible>;

/// How the front is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupabaseOptions {
    /// Most bytes of an object, whatever its bucket says.
    pub file_bytes_max: u64,
    /// Seconds for which an address to upload to counts.
    pub signed_upload_seconds: u64,
    /// Seconds for which a resumable upload can be gone on with.
    pub upload_seconds: u64,
}

/// What the routes need.
#[derive(Debug, Clone)]
pub struct Supabase {
    store: Store,
    tokens: Tokens,
    options: Arc<SupabaseOptions>,
    turns: intake::Turns,
    /// Who may transform an image now.
    renders: Arc<tokio::sync::Semaphore>,
    s3: S3,
}

impl Supabase {
    /// Over a store, for callers with these tokens; `s3` serves what is below [`S3_BASE`].
    #[must_use]
    pub fn new(store: Store, tokens: Tokens, options: SupabaseOptions, s3: S3) -> Self {
        let renders = Arc::new(tokio::sync::Semaphore::new(RENDERS_AT_ONCE));
        Self { store, tokens, options: Arc::new(options), turns: intake::Turns::default(), renders, s3 }
    }
}

/// A request on its way.
#[derive(Debug)]
struct Asked {
    head: Parts,
    facts: RequestFacts,
    route: Route,
}

impl Asked {
    fn query(&self) -> Option<&str> {
        self.head.uri.query()
    }

    /// A header as text.
    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether a write may replace what is there.
    fn upserts(&self) -> bool {
        self.header("x-upsert") == Some("true")
    }
}

/// The routes, at the root and under `/storage/v1`.
pub fn router(supabase: Supabase) -> Router {
    let mut router = Router::new().route(&format!("{BASE}/{{*rest}}"), any(serve));
    for first in ["bucket", "object", "upload", "render", "cdn", "health", "status", "version"] {
        router = router.route(&format!("/{first}"), any(serve)).route(&format!("/{first}/"), any(serve));
        router = router.route(&format!("/{first}/{{*rest}}"), any(serve));
    }
    router.with_state(supabase)
}

/// Whether a path is one of S3.
fn is_s3(path: &str) -> bool {
    path.strip_prefix(S3_BASE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn serve(State(front): State<Supabase>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let facts = head.extensions.get::<RequestFacts>().cloned().unwrap_or_default();
    let page = cors::Page::of(&head);
    let mut answer = match page.as_ref().and_then(cors::Page::preflight) {
        Some(preflight) => {
            facts.set_operation("Preflight");
            preflight
        }
        None if is_s3(head.uri.path()) => {
            let asked = Request::from_parts(head, body);
            let mut answer = match front.s3.clone().oneshot(asked).await {
                Ok(answer) => answer,
                Err(never) => match never {},
            };
            if page.is_some() {
                cors::Page::tell_all(answer.headers_mut());
            }
            return answer;
        }
        None => match front.answer(head, body, &facts).await {
            Ok(answer) => answer,
            Err(refusal) => refusal.answer(&facts),
        },
    };
    // Also where nobody asks for it: a browser keeps what it got for a picture, and shows it to pages.
    cors::tell(answer.headers_mut());
    answer
}

impl Supabase {
    async fn answer(&self, head: Parts, body: Body, facts: &RequestFacts) -> Result<Response> {
        let path = head.uri.path();
        let path = path.strip_prefix(BASE).filter(|rest| rest.starts_with('/')).unwrap_or(path);
        let route = route::find(&head.method, path)?;
        facts.set_operation(route.op.name());
        if !route.bucket.is_empty() {
            let key = Some(route.key.as_str()).filter(|key| !key.is_empty());
            facts.set_target(&route.bucket, key);
        }
        let asked = Asked { route, facts: facts.clone(), head };
        self.run(asked, body).await
    }

    async fn run(&self, asked: Asked, body: Body) -> Result<Response> {
        match asked.route.op {
            Op::CreateBucket => bucket::create(self, &asked, body).await,
            Op::ListBuckets => bucket::list(self, &asked).await,
            Op::GetBucket => bucket::get(self, &asked).await,
            Op::UpdateBucket => bucket::update(self, &asked, body).await,
            Op::EmptyBucket => bucket::empty(self, &asked).await,
            Op::DeleteBucket => bucket::delete(self, &asked).await,
            Op::Upload | Op::Update => upload::upload(self, &asked, body).await,
            Op::UploadSigned => upload::signed(self, &asked, body).await,
            Op::SignUpload => sign::upload(self, &asked).await,
            Op::Sign => sign::one(self, &asked, body).await,
            Op::SignMany => sign::many(self, &asked, body).await,
            Op::Get | Op::GetAuthenticated | Op::GetPublic => read::get(self, &asked).await,
            Op::GetSigned => read::signed(self, &asked).await,
            Op::Info | Op::InfoAuthenticated | Op::InfoPublic => read::info(self, &asked).await,
            Op::List => list::first(self, &asked, body).await,
            Op::ListV2 => list::second(self, &asked, body).await,
            Op::Move => change::rename(self, &asked, body).await,
            Op::Copy => change::copy(self, &asked, body).await,
            Op::Delete => remove::one(self, &asked).await,
            Op::DeleteMany => remove::many(self, &asked, body).await,
            Op::Health => health::health(self, &asked).await,
            Op::Status => Ok(health::status()),
            Op::Version => Ok(health::version()),
            Op::PurgeCache => health::purge(self, &asked).await,
            Op::RenderAuthenticated | Op::RenderPublic | Op::RenderSigned => render::serve(self, &asked).await,
            Op::Resume | Op::ResumeSigned => resumable::serve(self, &asked, body).await,
        }
    }
}
