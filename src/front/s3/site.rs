//! Buckets as websites: what a browser gets under `bucket.website-domain`.
//!
//! Each object is read by an anonymous request of S3 that is made here and goes the way of any other, so what is public
//! is decided in one place. Around it are the index of a directory, redirects, and pages instead of XML for errors.
//!
//! **Invariant:** only GET and HEAD are served, nobody is anybody here whatever the request carries, and a `Location`
//! leads to another host only if the configuration names it.

use http::header::{
    ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE, LOCATION, RANGE, REFERER, USER_AGENT,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Empty;
use percent_encoding::percent_decode_str;
use s3s::Body;

use super::encode::url;
use super::error::{Refusal, Result};
use super::exchange::Exchange;
use super::{S3Front, host, layer_response, website, wire};
use crate::model::website::{Protocol, RoutingRule, Website};
use crate::store::Error;

/// What of a request counts for the object that it reads.
const CONDITIONS: [HeaderName; 5] = [RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];
/// What of a request counts for who may read.
const CIRCUMSTANCES: [HeaderName; 2] = [REFERER, USER_AGENT];
/// A host that is never that of a bucket.
const PATH_STYLE: HeaderValue = HeaderValue::from_static("localhost");
const REDIRECT: &str = "x-amz-website-redirect-location";

/// One request of a browser.
struct Visit<'v> {
    front: &'v S3Front,
    exchange: &'v Exchange,
    bucket: &'v str,
    asked: &'v Parts,
    /// The path without its first slash.
    path: String,
}

/// Answers a browser.
pub(super) async fn serve(front: &S3Front, exchange: &Exchange, bucket: &str, asked: &Parts) -> Response<Body> {
    let path = asked.uri.path();
    let path = percent_decode_str(path.strip_prefix('/').unwrap_or(path)).decode_utf8();
    let answer = match path {
        Ok(path) => Visit { front, exchange, bucket, asked, path: path.into_owned() }.answer().await,
        Err(_) => Err(Refusal::new(400, "InvalidURI", "Couldn't parse the specified URI.")),
    };
    answer.unwrap_or_else(|refusal| page(&refusal, exchange))
}

impl Visit<'_> {
    async fn answer(&self) -> Result<Response<Body>> {
        self.exchange.facts().set_operation("GetWebsite");
        let name = wire::bucket(self.bucket)?;
        if !matches!(self.asked.method, Method::GET | Method::HEAD) {
            let mut refusal = Refusal::new(405, "MethodNotAllowed", "The method is not allowed against this resource.");
            refusal.headers.push((ALLOW, HeaderValue::from_static("GET, HEAD")));
            return Err(refusal);
        }
        let site = self.front.store.site(&name).await?.ok_or(Error::NoSuchBucket)?;
        let website = site.website().ok_or_else(|| website::unset(self.bucket))?;
        if let Some((host, protocol)) = &website.elsewhere {
            return self.sent(301, Some(host), *protocol, &self.path);
        }
        if let Some(rule) = website.rule(&self.path, None) {
            return self.routed(rule);
        }
        let key = website.key(&self.path);
        self.exchange.facts().set_target(self.bucket, Some(&key));
        match self.read(&self.asked.method, &key, &CONDITIONS).await {
            Ok(object) => moved(object),
            Err(refusal) if refusal.status == StatusCode::NOT_MODIFIED => {
                let mut same = Response::new(Body::empty());
                *same.status_mut() = refusal.status;
                same.headers_mut().extend(refusal.headers);
                Ok(same)
            }
            Err(refusal) => self.failed(website, refusal).await,
        }
    }

    /// The answer where no object can be read: the directory of this name, a rule for the status, the page for errors.
    async fn failed(&self, website: &Website, refusal: Refusal) -> Result<Response<Body>> {
        let status = refusal.status;
        let hidden = matches!(status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN);
        if hidden && !self.path.is_empty() && !self.path.ends_with('/') {
            let directory = format!("{}/", self.path);
            if self.read(&Method::HEAD, &website.key(&directory), &[]).await.is_ok() {
                return self.sent(302, None, None, &directory);
            }
        }
        if let Some(rule) = website.rule(&self.path, Some(status.as_u16())) {
            return self.routed(rule);
        }
        let Some(key) = website.error.as_ref().filter(|_| status.is_client_error()) else { return Err(refusal) };
        let Ok(mut shown) = self.read(&self.asked.method, key, &[]).await else { return Err(refusal) };
        *shown.status_mut() = status;
        shown.headers_mut().remove(CONTENT_RANGE);
        if let Ok(code) = HeaderValue::from_str(&refusal.code) {
            shown.headers_mut().insert("x-amz-error-code", code);
        }
        Ok(shown)
    }

    /// Reads an object as nobody, by a request of S3.
    async fn read(&self, method: &Method, key: &str, conditions: &[HeaderName]) -> Result<Response<Body>> {
        let key = wire::key(key)?;
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method.clone();
        let target = format!("/{}/{}", url(self.bucket), url(key.as_str()));
        *request.uri_mut() = target.parse().map_err(|_| Error::NoSuchKey)?;
        *request.extensions_mut() = self.asked.extensions.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, PATH_STYLE);
        for name in conditions.iter().chain(&CIRCUMSTANCES) {
            headers.extend(self.asked.headers.get(name).map(|value| (name.clone(), value.clone())));
        }
        let inner = Exchange::new(self.exchange.facts().clone());
        let served = self.front.serve(request, &inner).await;
        layer_response::settle(served, &inner)
    }

    fn routed(&self, rule: &RoutingRule) -> Result<Response<Body>> {
        let to = &rule.redirect;
        self.sent(to.status.unwrap_or(301), to.host.as_deref(), to.protocol, &rule.replaced(&self.path))
    }

    /// A redirect to a key. What is not said stays as the browser has it, which may have come by TLS that ended before.
    fn sent(&self, status: u16, host: Option<&str>, protocol: Option<Protocol>, key: &str) -> Result<Response<Body>> {
        // A second slash at the beginning would name a host.
        let key = match key.strip_prefix('/') {
            Some(rest) => format!("%2F{}", url(rest)),
            None => url(key),
        };
        let own = || host::of(&self.asked.uri, &self.asked.headers);
        let location = match (host, protocol) {
            (None, None) => format!("/{key}"),
            (Some(host), None) => format!("//{host}/{key}"),
            (host, Some(protocol)) => format!("{}://{}/{key}", protocol.name(), host.unwrap_or_else(own)),
        };
        redirect(status, &location)
    }
}

/// An object, or where it says that it is.
fn moved(mut object: Response<Body>) -> Result<Response<Body>> {
    match object.headers_mut().remove(REDIRECT) {
        Some(location) => redirect(301, location.to_str().unwrap_or("/")),
        None => Ok(object),
    }
}

fn redirect(status: u16, location: &str) -> Result<Response<Body>> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| Refusal::internal())?;
    let location = HeaderValue::from_str(location).map_err(|_| Refusal::internal())?;
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    Ok(response)
}

/// The page for an error that has none of its own.
fn page(refusal: &Refusal, exchange: &Exchange) -> Response<Body> {
    let title = format!("{} {}", refusal.status.as_u16(), refusal.status.canonical_reason().unwrap_or_default());
    let mut items = vec![("Code", refusal.code.to_string()), ("Message", refusal.message.to_string())];
    items.extend(refusal.elements.iter().cloned());
    items.push(("RequestId", exchange.facts().id().as_str().to_owned()));
    let items: String = items
        .iter()
        .map(|(name, value)| format!("<li>{name}: {}</li>\n", quick_xml::escape::escape(value.as_str())))
        .collect();
    let text = format!(
        "<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n\
         <ul>\n{items}</ul>\n</body>\n</html>\n"
    );
    let mut response = Response::new(Body::empty());
    *response.status_mut() = refusal.status;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.extend(refusal.headers.iter().cloned());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    *response.body_mut() = Body::from(text);
    response
}
