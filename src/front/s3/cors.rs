//! Cross-origin requests: the configuration of a bucket, the preflights that browsers send before a request, and what is
//! said to a page beside every answer.
//!
//! **Invariant:** a preflight is answered from the rules alone: it reads nothing, and says the same whether or not
//! what it asks about exists. A page is told of an answer by the first rule that matches, refused or not.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, HeaderName, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Response};
use s3s::dto::{
    CORSRule as SentRule, DeleteBucketCorsInput, DeleteBucketCorsOutput, GetBucketCorsInput, GetBucketCorsOutput,
    PutBucketCorsInput, PutBucketCorsOutput,
};
use s3s::{Body, S3Request};

use super::error::{Refusal, Result};
use super::exchange::caller;
use super::gateway::Gateway;
use super::{wire, xml_body};
use crate::model::action::Action;
use crate::model::cors::{CORS_BYTES_MAX, Cors, CorsRule, InvalidCors, Method};
use crate::model::name::BucketName;
use crate::store::Store;

/// What an answer with rules behind it differs by.
const VARIES: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Headers, Access-Control-Request-Method");

/// GetBucketCors.
pub(super) async fn get(gateway: &Gateway, request: S3Request<GetBucketCorsInput>) -> Result<GetBucketCorsOutput> {
    let name = wire::bucket(&request.input.bucket)?;
    let bucket = gateway.store.config(&caller(&request.extensions), &name, Action::GetBucketCORS).await?;
    let Some(cors) = &bucket.config.cors else {
        let refusal = Refusal::new(404, "NoSuchCORSConfiguration", "The CORS configuration does not exist");
        return Err(refusal.with("BucketName", request.input.bucket));
    };
    Ok(GetBucketCorsOutput { cors_rules: Some(cors.rules().iter().map(shown).collect()) })
}

/// PutBucketCors.
pub(super) async fn put(gateway: &Gateway, request: S3Request<PutBucketCorsInput>) -> Result<PutBucketCorsOutput> {
    let name = wire::bucket(&request.input.bucket)?;
    let caller = caller(&request.extensions);
    // Who may not set it learns nothing of what is wrong with it.
    gateway.store.config(&caller, &name, Action::PutBucketCORS).await?;
    let rules = request.input.cors_configuration.cors_rules.into_iter().map(read).collect::<Result<_>>()?;
    let cors = Cors::new(rules).map_err(|invalid| match invalid {
        InvalidCors::Form => Refusal::malformed_xml(),
        InvalidCors::TooLong => xml_body::longer_than(CORS_BYTES_MAX),
        InvalidCors::Rule(message) => Refusal::request(message),
    })?;
    let change = move |config: &mut crate::model::bucket::BucketConfig, _: &_| {
        config.cors = Some(cors.clone());
        Ok(())
    };
    gateway.store.change_config(&caller, &name, Action::PutBucketCORS, change).await?;
    Ok(PutBucketCorsOutput::default())
}

/// DeleteBucketCors.
pub(super) async fn delete(
    gateway: &Gateway,
    request: S3Request<DeleteBucketCorsInput>,
) -> Result<DeleteBucketCorsOutput> {
    let name = wire::bucket(&request.input.bucket)?;
    let change = |config: &mut crate::model::bucket::BucketConfig, _: &_| {
        config.cors = None;
        Ok(())
    };
    gateway.store.change_config(&caller(&request.extensions), &name, Action::PutBucketCORS, change).await?;
    Ok(DeleteBucketCorsOutput::default())
}

fn read(sent: SentRule) -> Result<CorsRule> {
    let unsupported = |method: &String| {
        Refusal::request(format!("Found unsupported HTTP method in CORS config. Unsupported method is {method}"))
    };
    let method = |name: &String| Method::parse(name).ok_or_else(|| unsupported(name));
    let max_age = sent.max_age_seconds.map(u32::try_from).transpose();
    Ok(CorsRule {
        id: sent.id,
        methods: sent.allowed_methods.iter().map(method).collect::<Result<_>>()?,
        origins: sent.allowed_origins,
        headers: sent.allowed_headers.unwrap_or_default(),
        exposed: sent.expose_headers.unwrap_or_default(),
        max_age: max_age.map_err(|_| Refusal::malformed_xml())?,
    })
}

fn shown(rule: &CorsRule) -> SentRule {
    let list = |texts: &[String]| (!texts.is_empty()).then(|| texts.to_vec());
    SentRule {
        allowed_headers: list(&rule.headers),
        allowed_methods: rule.methods.iter().map(|method| method.name().to_owned()).collect(),
        allowed_origins: rule.origins.clone(),
        expose_headers: list(&rule.exposed),
        id: rule.id.clone(),
        max_age_seconds: rule.max_age.map(wire::count),
    }
}

/// Answers a preflight for a bucket, or for none.
pub(super) async fn preflight(store: &Store, bucket: Option<BucketName>, asked: &HeaderMap) -> Result<Response<Body>> {
    let bad = |message| Refusal::new(400, "BadRequest", message);
    let Some(origin) = text(asked, &ORIGIN) else {
        return Err(bad("Insufficient information. Origin request header needed."));
    };
    let method = text(asked, &ACCESS_CONTROL_REQUEST_METHOD).and_then(Method::parse);
    let method = method.ok_or_else(|| bad("Invalid Access-Control-Request-Method"))?;
    let site = match &bucket {
        Some(bucket) => store.site(bucket).await?,
        None => None,
    };
    let site = site.ok_or_else(|| forbidden("CORSResponse: Bucket not found"))?;
    let cors = site.cors().ok_or_else(|| forbidden("CORSResponse: CORS is not enabled for this bucket."))?;
    let headers = list(asked)?;
    let rule = cors.rule(origin, method, &headers).ok_or_else(|| {
        forbidden(
            "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request \
             method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the \
             resource's CORS spec.",
        )
    })?;
    let mut response = Response::new(Body::empty());
    tell(response.headers_mut(), rule, origin);
    if !headers.is_empty() {
        set(response.headers_mut(), ACCESS_CONTROL_ALLOW_HEADERS, &headers.join(", ").to_ascii_lowercase());
    }
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    Ok(response)
}

fn forbidden(message: &'static str) -> Refusal {
    Refusal::new(403, "AccessForbidden", message)
}

/// The names of the headers that the request would have.
fn list(asked: &HeaderMap) -> Result<Vec<&str>> {
    let mut names = Vec::new();
    for value in asked.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
        let value = value.to_str().map_err(|_| forbidden("CORSResponse: A header that is asked for has no name."))?;
        names.extend(value.split(',').map(str::trim).filter(|name| !name.is_empty()));
    }
    Ok(names)
}

/// What the answer to a request will say to a page; taken from the request before it is served.
#[derive(Debug)]
pub(super) struct Page {
    bucket: BucketName,
    origin: Option<String>,
    method: Option<Method>,
}

impl Page {
    /// Of a request for a bucket.
    pub(super) fn new(bucket: Option<BucketName>, method: &http::Method, headers: &HeaderMap) -> Option<Self> {
        // What a page says that it will do counts more than what it does, as the suite of Ceph has it.
        let method = text(headers, &ACCESS_CONTROL_REQUEST_METHOD).unwrap_or(method.as_str());
        let origin = text(headers, &ORIGIN).map(str::to_owned);
        Some(Self { bucket: bucket?, origin, method: Method::parse(method) })
    }

    /// Says it.
    pub(super) async fn tell(&self, store: &Store, answer: &mut HeaderMap) {
        let site = match &self.origin {
            // Without a page behind the request it is worth knowing only for the sake of caches.
            None => store.site_at_hand(&self.bucket),
            Some(_) => match store.site(&self.bucket).await {
                Ok(site) => site,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the rules for other origins cannot be read"
                    );
                    None
                }
            },
        };
        let Some(cors) = site.as_ref().and_then(|site| site.cors()) else { return };
        let rule = self.origin.as_deref().zip(self.method).and_then(|(origin, method)| {
            let rule = cors.rule(origin, method, &[])?;
            Some((rule, origin))
        });
        match rule {
            Some((rule, origin)) => tell(answer, rule, origin),
            None => {
                answer.append(VARY, VARIES);
            }
        }
    }
}

fn tell(answer: &mut HeaderMap, rule: &CorsRule, origin: &str) {
    let allowed = rule.allowed_origin(origin);
    set(answer, ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if allowed != "*" {
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    let methods: Vec<&str> = rule.methods.iter().map(|method| method.name()).collect();
    set(answer, ACCESS_CONTROL_ALLOW_METHODS, &methods.join(", "));
    if !rule.exposed.is_empty() {
        set(answer, ACCESS_CONTROL_EXPOSE_HEADERS, &rule.exposed.join(", "));
    }
    if let Some(seconds) = rule.max_age {
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
    }
    answer.append(VARY, VARIES);
}

fn set(answer: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.insert(name, value);
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
}
