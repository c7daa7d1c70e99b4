//! POST object: a file that a browser uploads by a form.
//!
//! s3s is not asked: it would read fields without telling them apart, and forms signed in version 2 not at all. The form
//! is read and judged here, and then becomes a PutObject that takes the way of any other, under the identity that was
//! verified. So what holds for a PutObject holds for a form.
//!
//! **Invariant:** nothing is written before the policy was held against every field; a form that is refused, or that ends
//! early, leaves nothing.

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use s3s::Body;

use self::form::{ANY_SIZE, Form};
use self::policy::Policy;
use super::detached::Detached;
use super::encode::url;
use super::error::{Refusal, Result};
use super::exchange::Exchange;
use super::rewrite::Verified;
use super::{S3Front, host, query, wire};
use crate::front::form::Parser;
use crate::model::name::BucketName;
use crate::model::time::Clock;

mod answer;
mod fields;
mod form;
mod policy;
mod signature;

/// Stands for the name of the file in the key.
const FILENAME: &str = "${filename}";
/// What of the request itself counts for who may write.
const CIRCUMSTANCES: [HeaderName; 3] = [REFERER, USER_AGENT, HeaderName::from_static("x-amz-expected-bucket-owner")];

/// The bucket to which a form is sent, or should be: what is POSTed to a bucket and names no sub-resource.
pub(super) fn bucket(front: &S3Front, request: &Request<Body>) -> Option<BucketName> {
    if request.method() != Method::POST {
        return None;
    }
    let host = host::of(request.uri(), request.headers());
    let (bucket, key) = host::target(&front.hosts, host, request.uri().path())?;
    (key.is_empty() && !query::names_any(request.uri().query())).then_some(bucket)
}

/// Says of a PutObject that it was a form.
#[derive(Clone)]
pub(super) struct Posted;

/// Serves a form.
pub(super) async fn serve(
    front: &S3Front,
    request: Request<Body>,
    bucket: &BucketName,
    exchange: &Exchange,
) -> Result<Response<Body>> {
    let facts = exchange.facts();
    facts.set_operation("PostObject");
    facts.set_target(bucket.as_str(), None);
    let (asked, body) = request.into_parts();
    let host = host::of(&asked.uri, &asked.headers).to_owned();
    let Form { fields, file, .. } = {
        let parser = parser(&asked.headers)?;
        if asked.headers.contains_key(AUTHORIZATION) || query::value(asked.uri.query(), "X-Amz-Signature").is_some() {
            return Err(Refusal::request("A form is signed by its fields."));
        }
        named(form::read(body, parser).await?, bucket)?
    };
    let now = Clock::now();
    let signer = signature::signer(&fields, &front.keys, front.region.as_deref(), now).await?;
    let sizes = match fields.get("policy").filter(|_| signer.is_some()) {
        Some(policy) => {
            let policy = Policy::parse(policy)?;
            policy.allows(&fields, now)?;
            policy.sizes
        }
        None => ANY_SIZE,
    };
    let key = wire::key(fields.get("key").unwrap_or_default())?;
    facts.set_target(bucket.as_str(), Some(key.as_str()));
    let mut headers = fields::headers(&fields)?;
    for name in CIRCUMSTANCES {
        headers.extend(asked.headers.get(&name).map(|value| (name, value.clone())));
    }
    let target = format!("/{}/{}", url(bucket.as_str()), url(key.as_str()));
    let mut put = Request::new(Body::empty());
    *put.method_mut() = Method::PUT;
    *put.uri_mut() = target.parse().map_err(|_| Refusal::new(400, "InvalidURI", "The key cannot be in a URI."))?;
    *put.headers_mut() = headers;
    *put.extensions_mut() = asked.extensions;
    let (access_key, session) = signer.map_or((None, None), |signer| (Some(signer.access_key), signer.session));
    put.extensions_mut().insert(Verified { access_key, scheme: None, session });
    put.extensions_mut().insert(Posted);
    put.extensions_mut().insert(Detached::of(file.frames(sizes, exchange.clone())));
    let stored = front.plain.call(put).await.map_err(|_| Refusal::internal())?;
    if !stored.status().is_success() {
        return Ok(stored);
    }
    let scheme = facts.scheme();
    let location = match front.hosts.bucket(&host) {
        Some(_) => format!("{scheme}://{host}/{}", url(key.as_str())),
        None => format!("{scheme}://{host}{}{target}", front.base),
    };
    Ok(answer::of(stored, &fields, bucket, key.as_str(), &location))
}

/// The form with its key and its bucket as a policy sees them.
fn named(mut form: Form, bucket: &BucketName) -> Result<Form> {
    let message = "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the \
                   fields.";
    let key = form.fields.get("key").filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| Refusal::new(400, "InvalidArgument", message).with("ArgumentName", "key"))?;
    if key.contains(FILENAME) {
        let filename = form.filename.as_deref().unwrap_or_default();
        // Some browsers send the path on their machine.
        let filename = filename.rsplit(['/', '\\']).next().unwrap_or_default();
        let key = key.replace(FILENAME, filename);
        // A key of no characters names nothing.
        wire::key(&key)?;
        form.fields.set("key", key);
    }
    form.fields.set("bucket", bucket.as_str().to_owned());
    Ok(form)
}

fn parser(headers: &HeaderMap) -> Result<Parser> {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::to_str).and_then(std::result::Result::ok);
    let essence = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    match kind {
        Some(kind) if essence.is_some_and(|e| e.eq_ignore_ascii_case("multipart/form-data")) => {
            Parser::new(kind).ok_or_else(form::malformed)
        }
        _ => Err(Refusal::new(
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        )
        .with("Condition", "Bucket POST must be of the enclosure-type multipart/form-data")),
    }
}
