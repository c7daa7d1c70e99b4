//! The LoopBack storage interface: containers and files, as applications of LoopBack 3 serve and use them.
//!
//! A request that belongs to a mount is matched to a method ([`route`]), its caller is made of its token ([`who`]), one
//! function calls the store, and the answer is told in the form that the client takes ([`mod@format`], [`error`]). Programs
//! that know Longshore say so in a header, and get what LoopBack has no words for.
//!
//! **Invariant:** the store decides; here only is said how an answer looks. Nothing is done before it is clear that its
//! answer can be told. A request that has come by this server before is not passed on again.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::header::VIA;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};

use crate::auth::jwt::Tokens;
use crate::config::{LoopbackAccess, LoopbackMount};
use crate::front::facts::RequestFacts;
use crate::front::wire::parameters;
use crate::store::{Store, coming_by};

mod container;
mod download;
mod error;
mod file;
mod form;
mod format;
mod media;
mod names;
mod route;
mod rows;
mod tree;
mod upload;
mod who;

use error::{Refusal, Result};
use format::Format;
use route::{Op, Place, Route};
use tree::Tree;
use who::Known;

/// By which Longshore servers and programs know each other.
const LONGSHORE: HeaderName = HeaderName::from_static("x-longshore");
/// Most parameters of a query that are looked at.
const PARAMETERS_MAX: usize = 1000;

/// What the methods need.
#[derive(Debug, Clone)]
pub struct Loopback {
    store: Store,
    tokens: Tokens,
    mounts: Arc<[Arc<LoopbackMount>]>,
    /// What requests carry that this server sent to another.
    mark: Arc<str>,
}

impl Loopback {
    /// Over a store, for callers with these tokens.
    #[must_use]
    pub fn new(store: Store, tokens: Tokens, mounts: &[LoopbackMount]) -> Self {
        let mark = format!("longshore-{}", store.catalog_id()).into();
        Self { store, tokens, mounts: mounts.iter().cloned().map(Arc::new).collect(), mark }
    }

    /// The mount that a path belongs to, and where it leads there.
    fn place<'p>(&self, path: &'p str) -> Option<(&Arc<LoopbackMount>, Place<'p>)> {
        let mut root = None;
        for mount in self.mounts.iter() {
            match route::place(&mount.path, path) {
                Some(place @ Place::Model(_)) => return Some((mount, place)),
                Some(place) => root = root.or(Some((mount, place))),
                None => {}
            }
        }
        root
    }

    /// Whether a request has come by this server before.
    fn has_seen(&self, head: &Parts) -> bool {
        let texts = head.headers.get_all(VIA).iter().filter_map(|value| value.to_str().ok());
        texts.flat_map(|text| text.split(',')).any(|hop| hop.split_whitespace().nth(1) == Some(&self.mark))
    }
}

/// A request on its way.
#[derive(Debug)]
struct Asked {
    head: Parts,
    facts: RequestFacts,
    mount: Arc<LoopbackMount>,
    query: Vec<(String, String)>,
    /// Whether the client knows Longshore.
    fuller: bool,
}

impl Asked {
    fn new(head: Parts, mount: Arc<LoopbackMount>) -> Self {
        let facts = head.extensions.get::<RequestFacts>().cloned().unwrap_or_default();
        let query = parameters(head.uri.query()).take(PARAMETERS_MAX).collect();
        let fuller = head.headers.get(LONGSHORE).is_some_and(|value| value == "1");
        Self { head, facts, mount, query, fuller }
    }

    /// A parameter of the query; one that was given twice is none.
    fn parameter(&self, name: &str) -> Option<&str> {
        let mut found = self.query.iter().filter(|(known, _)| known == name);
        let first = found.next().map(|(_, value)| value.as_str());
        if found.next().is_some() { None } else { first }
    }

    /// Whether there is such a parameter.
    fn has(&self, name: &str) -> bool {
        self.query.iter().any(|(known, _)| known == name)
    }

    /// By which servers it came.
    fn servers(&self) -> Arc<str> {
        let texts = self.head.headers.get_all(VIA).iter().filter_map(|value| value.to_str().ok());
        texts.collect::<Vec<_>>().join(", ").into()
    }

    /// A header as text.
    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Puts the interface in front of the routes of a listener: what belongs to no mount goes on to them.
pub fn in_front_of(router: Router, loopback: Loopback) -> Router {
    router.layer(from_fn_with_state(loopback, serve))
}

async fn serve(State(front): State<Loopback>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let Some((mount, place)) = front.place(&path) else { return next.run(request).await };
    let (head, body) = request.into_parts();
    let asked = Asked::new(head, Arc::clone(mount));
    let mut answer = match coming_by(asked.servers(), front.answer(&asked, place, body)).await {
        Ok(answer) => answer,
        Err(refusal) => refusal.answer(&asked),
    };
    answer.headers_mut().insert(LONGSHORE, HeaderValue::from_static("1"));
    // The head of an answer to HEAD is all of it.
    if asked.head.method == Method::HEAD { answer.map(|_| Body::empty()) } else { answer }
}

impl Loopback {
    async fn answer(&self, asked: &Asked, place: Place<'_>, body: Body) -> Result<Response> {
        let method = &asked.head.method;
        if self.has_seen(&asked.head) {
            return Err(Refusal::circle());
        }
        let rest = match place {
            Place::Root(rest) => {
                let message = format!("There is no method to handle {method} {rest}");
                return Err(Refusal::new(404, message));
            }
            Place::Model(rest) => rest,
        };
        let Some(route) = route::find(method, rest)? else {
            let plural = asked.mount.path.rsplit('/').next().unwrap_or_default();
            let class = plural.strip_suffix('s').unwrap_or(plural);
            let rest = if rest.is_empty() { "/" } else { rest };
            let message = format!("Shared class \"{class}\" has no method handling {method} {rest}");
            return Err(Refusal::new(404, message));
        };
        asked.facts.set_operation(route.op.name());
        if !route.container.is_empty() {
            let key = Some(route.file.as_str()).filter(|file| !file.is_empty());
            asked.facts.set_target(&route.container, key);
        }
        let known = self.known(asked, route.op).await?;
        let answer = self.run(asked, &route, &known, body).await;
        // Where a token is needed, who shows none learns no more than that.
        let hides = asked.mount.access == LoopbackAccess::Token;
        answer.map_err(|refusal| match known.by_token {
            true => refusal,
            false => refusal.for_nobody(hides),
        })
    }

    async fn run(&self, asked: &Asked, route: &Route, known: &Known, body: Body) -> Result<Response> {
        // The bytes of a file are what they are.
        if route.op == Op::Download {
            return download::serve(self, asked, route, known).await;
        }
        // What only looks may fail first: then that is told.
        let (tree, format) = match (route.op, Format::of(asked)) {
            (Op::Container, format) => (container::get(self, route, known).await?, format?),
            (Op::File, format) => (file::get(self, asked, route, known).await?, format?),
            (Op::Containers, format) => return container::list(self, asked, known, format?).await,
            (Op::Files, format) => return file::list(self, asked, route, known, format?).await,
            (_, format) => {
                let format = format?;
                (self.change(asked, route, known, body).await?, format)
            }
        };
        Ok(format.answer(asked, &tree))
    }

    async fn change(&self, asked: &Asked, route: &Route, known: &Known, body: Body) -> Result<Tree> {
        match route.op {
            Op::Create => container::create(self, asked, known, body).await,
            Op::Destroy => container::destroy(self, route, known).await,
            Op::Remove => file::remove(self, asked, route, known).await,
            Op::Upload => upload::upload(self, asked, route, known, body).await,
            Op::Containers | Op::Container | Op::Files | Op::File | Op::Download => {
                Err(Refusal::new(500, "It changes nothing"))
            }
        }
    }
}
