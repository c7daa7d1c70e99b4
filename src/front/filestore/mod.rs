//! The FileStore interface: items, directories, permissions and owners of the configured services.
//!
//! A request is matched to a [`route`], its caller is made of its token ([`who`]), its parameters are read wherever they
//! stand ([`input`]), one function calls the store, and what is refused is told in one form ([`error`]).
//!
//! **Invariant:** the store decides; here only is said how a refusal looks. A service is one bucket, and no path leads out
//! of it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use http::Method;
use http::request::Parts;
use tokio::sync::Semaphore;

use crate::auth::jwt::Tokens;
use crate::config::limits::{ITEM_BODIES_AT_ONCE, PASSWORDS_AT_ONCE};
use crate::front::facts::RequestFacts;
use crate::model::caller::Caller;
use crate::model::item::ItemPath;
use crate::model::name::BucketName;
use crate::store::Store;

mod contents;
mod cors;
mod dates;
mod error;
mod file;
mod input;
mod items;
mod list;
mod meta;
mod params;
mod ping;
mod rights;
mod route;
mod users;
mod who;

use error::{Refusal, Result};
use input::Input;
use params::Params;
use route::{Function, Route};

/// How the front is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilestoreOptions {
    /// The services.
    pub services: Vec<ServiceOptions>,
    /// The domain below which tenants have their pages, whose cookies count.
    pub domain: Option<String>,
    /// Further origins of pages whose cookies count.
    pub origins: Vec<String>,
    /// How long a sign-in counts.
    pub sign_in: Duration,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceOptions {
    /// The first segment of its paths.
    pub name: String,
    /// Its bucket.
    pub bucket: BucketName,
    /// Whether files are sent as attachments.
    pub attachment: bool,
}

/// What the routes need.
#[derive(Debug, Clone)]
pub struct Filestore {
    store: Store,
    tokens: Tokens,
    options: Arc<FilestoreOptions>,
    /// Whose large body is in memory now.
    bodies: Arc<Semaphore>,
    /// Whose password is looked at now.
    passwords: Arc<Semaphore>,
}

impl Filestore {
    /// Over a store, for callers with these tokens.
    #[must_use]
    pub fn new(store: Store, tokens: Tokens, options: FilestoreOptions) -> Self {
        let (bodies, passwords) = (Semaphore::new(ITEM_BODIES_AT_ONCE), Semaphore::new(PASSWORDS_AT_ONCE));
        Self { store, tokens, options: Arc::new(options), bodies: Arc::new(bodies), passwords: Arc::new(passwords) }
    }
}

/// One service on its way into a handler.
#[derive(Debug, Clone)]
struct Served {
    front: Filestore,
    service: ServiceOptions,
}

/// A request on its way.
struct Asked<'a> {
    front: &'a Filestore,
    service: &'a ServiceOptions,
    head: &'a Parts,
    caller: Caller,
    route: Route,
}

impl Asked<'_> {
    fn bucket(&self) -> &BucketName {
        &self.service.bucket
    }

    fn store(&self) -> &Store {
        &self.front.store
    }

    /// The item: that of the path, or that of the parameters where the path names none.
    fn item(&self, params: &mut Params) -> Result<ItemPath> {
        let named = params.text("path");
        params.check()?;
        match named {
            Some(named) if self.route.path.is_root() => item_path(&named),
            _ => Ok(self.route.path.clone()),
        }
    }
}

/// A path of a parameter.
fn item_path(text: &str) -> Result<ItemPath> {
    ItemPath::parse(text).map_err(|_| Refusal::invalid("path"))
}

/// The routes of all services, and of the users if there are services.
pub fn router(front: &Filestore) -> Router {
    let mut router = Router::new();
    for service in &front.options.services {
        let served = Served { front: front.clone(), service: service.clone() };
        let name = &service.name;
        let mut routes = Router::new();
        for path in [format!("/{name}"), format!("/{name}/"), format!("/{name}/{{*rest}}")] {
            routes = routes.route(&path, any(serve));
        }
        router = router.merge(routes.with_state(served));
    }
    if front.options.services.is_empty() {
        return router;
    }
    router.merge(Router::new().route("/users/{*rest}", any(users::serve)).with_state(front.clone()))
}

async fn serve(State(served): State<Served>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let facts = head.extensions.get::<RequestFacts>().cloned().unwrap_or_default();
    let page = cors::Page::of(&head, &served.front.options);
    let mut answer = match page.as_ref().is_some_and(cors::Page::is_preflight) || head.method == Method::OPTIONS {
        true => {
            facts.set_operation("Preflight");
            cors::options()
        }
        false => match served.answer(&head, body, &facts).await {
            Ok(answer) => answer,
            Err(refusal) => refusal.answer(&facts),
        },
    };
    match page {
        Some(page) => page.tell(answer.headers_mut()),
        // What was kept for a picture is not to be taken for the answer to a page.
        None => cors::differ(answer.headers_mut()),
    }
    answer
}

impl Served {
    async fn answer(&self, head: &Parts, body: Body, facts: &RequestFacts) -> Result<Response> {
        let path = head.uri.path();
        let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(self.service.name.as_str()));
        let route = route::find(rest.unwrap_or_default())?;
        let operation = route.function.map_or("filestore.view", Function::operation);
        facts.set_operation(operation);
        facts.set_target(self.service.bucket.as_str(), route.path.file().map(|key| key.as_str()));
        let function = route.function;
        check_method(function, &head.method)?;
        let changes = function.is_some_and(Function::changes);
        let caller = self.front.caller(head, facts, (operation, changes)).await?;
        let asked = Asked { front: &self.front, service: &self.service, head, caller, route };
        match function {
            None => file::view(&asked).await,
            Some(function) => {
                let request = (&head.method, &head.headers, head.uri.query());
                let input = input::read(function, request, body, &self.front.bodies).await;
                let counts = matches!(function, Function::RemoveItem | Function::Ping);
                let done = match input {
                    Ok(input) => asked.run(function, input).await,
                    Err(refusal) => Err(refusal),
                };
                done.map_err(|refusal| if counts { refusal.counting() } else { refusal })
            }
        }
    }
}

/// What changes something is not called by an address that a page may just show.
fn check_method(function: Option<Function>, method: &Method) -> Result<()> {
    let Some(function) = function else {
        let reads = *method == Method::GET || *method == Method::HEAD;
        return if reads { Ok(()) } else { Err(Refusal::method("GET, HEAD, OPTIONS")) };
    };
    let called = match method.as_str() {
        "POST" => true,
        "GET" | "HEAD" => !function.changes(),
        "PUT" => function.takes_contents(),
        _ => false,
    };
    if called { Ok(()) } else { Err(Refusal::method(function.methods())) }
}

impl Asked<'_> {
    async fn run(&self, function: Function, mut input: Input) -> Result<Response> {
        let params = &mut input.params;
        match function {
            Function::GetItem => items::get(self, params).await,
            Function::NewItem => items::make(self, input).await,
            Function::SetItem => items::set(self, input).await,
            Function::RemoveItem => items::remove(self, params).await,
            Function::Read => file::read(self, params).await,
            Function::Write => items::write(self, input).await,
            Function::Move => items::rename(self, params).await,
            Function::List => list::list(self, params).await,
            Function::Allowed => rights::allowed(self, params).await,
            Function::GetPermissions => rights::permissions(self, params).await,
            Function::SetPermissions => rights::set_permissions(self, params).await,
            Function::GetOwner => rights::owner(self, params).await,
            Function::SetOwner => rights::set_owner(self, params).await,
            Function::Ping => ping::ping(params),
        }
    }
}
