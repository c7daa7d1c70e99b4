//! The last touch of every answer.
//!
//! **Invariant:** every answer has a request id, which is the one in its error body; a HEAD is never answered with a
//! body; what s3s gives up on is an answer too, not a cut connection.

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, SERVER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Response, StatusCode};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use s3s::Body;

use super::encode::xml_safe;
use super::error::{MALFORMED_XML, Refusal};
use super::exchange::Exchange;
use super::logging::Code;

/// What the answer has to say of its request.
#[derive(Debug)]
pub(super) struct Asked {
    /// The method.
    pub(super) method: Method,
    /// The path as it was sent.
    pub(super) path: String,
    /// The `Range` header.
    pub(super) range: Option<String>,
    /// The region that is enforced.
    pub(super) region: Option<String>,
}

/// Who answered; one server has no more to tell.
const HOST_ID: &str = "longshore";

/// Makes the answer of what s3s answered, or of what was refused before.
pub(super) fn dress(served: Result<Response<Body>, Refusal>, asked: &Asked, exchange: &Exchange) -> Response<Body> {
    let response = settle(served, exchange).unwrap_or_else(|refusal| render(refusal, asked, exchange));
    sign_off(response, &asked.method, exchange)
}

/// The answer, or why there is none.
pub(super) fn settle(served: Result<Response<Body>, Refusal>, exchange: &Exchange) -> Result<Response<Body>, Refusal> {
    match (exchange.take_refusal(), served) {
        (Some(refusal), _) | (None, Err(refusal)) => Err(refusal),
        (None, Ok(response)) if response.status().is_client_error() || response.status().is_server_error() => {
            let refusal = read(&response);
            if refusal.status.is_server_error() && refusal.status != StatusCode::NOT_IMPLEMENTED {
                let request = exchange.facts().id().as_str();
                tracing::error!(request, code = &*refusal.code, message = &*refusal.message, "a request failed");
            }
            Err(refusal)
        }
        (None, Ok(mut response)) => {
            for (name, value) in exchange.take_headers() {
                // In place of what s3s made of it.
                response.headers_mut().insert(name, value);
            }
            if let Some(document) = exchange.take_document() {
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
                *response.body_mut() = Body::from(document);
            }
            Ok(response)
        }
    }
}

/// What every answer has, and no answer to HEAD.
pub(super) fn sign_off(mut response: Response<Body>, method: &Method, exchange: &Exchange) -> Response<Body> {
    if method == Method::HEAD {
        // s3s does not say it of a HEAD, whose range is answered like that of a GET.
        if response.status() == StatusCode::OK && response.headers().contains_key(CONTENT_RANGE) {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        *response.body_mut() = Body::empty();
    }
    let id = HeaderValue::from_str(exchange.facts().id().as_str());
    let headers = response.headers_mut();
    headers.reserve(4);
    if let Ok(id) = id {
        headers.insert(HeaderName::from_static("x-amz-request-id"), id);
    }
    headers.insert(HeaderName::from_static("x-amz-id-2"), HeaderValue::from_static(HOST_ID));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(SERVER, HeaderValue::from_static("Longshore"));
    response
}

/// The refusal that s3s wrote.
fn read(response: &Response<Body>) -> Refusal {
    let text = response.body().bytes().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        let (value, _) = rest.split_once(&format!("</{name}>"))?;
        quick_xml::escape::unescape(value).ok().map(std::borrow::Cow::into_owned)
    };
    let mut refusal = Refusal::internal();
    refusal.status = response.status();
    if let Some(code) = element("Code") {
        let message = element("Message").unwrap_or_else(|| code.clone());
        match code.as_str() {
            "InvalidArgument" => refusal.elements = argument(&message),
            "AuthorizationHeaderMalformed" => refusal.elements = region(&message),
            _ => {}
        }
        refusal.message = match code.as_str() {
            "MalformedXML" => MALFORMED_XML.into(),
            "MissingRequestBodyError" => "Request Body is empty".into(),
            _ => message.into(),
        };
        refusal.code = code.into();
    }
    refusal
}

/// Name and value of the argument that s3s could not read.
fn argument(message: &str) -> Vec<(&'static str, String)> {
    let rest = message.strip_prefix("invalid query: ").or_else(|| message.strip_prefix("invalid header: "));
    let Some((name, value)) = rest.and_then(|rest| rest.split_once(": ")) else { return Vec::new() };
    vec![("ArgumentName", name.to_owned()), ("ArgumentValue", value.trim_matches('"').to_owned())]
}

/// The region that s3s wants of signatures, where it says so: a client that is told one asks there.
fn region(message: &str) -> Vec<(&'static str, String)> {
    let wanted = message.split_once("expecting '").and_then(|(_, rest)| rest.split_once('\''));
    wanted.map(|(region, _)| ("Region", region.to_owned())).into_iter().collect()
}

fn render(refusal: Refusal, asked: &Asked, exchange: &Exchange) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = refusal.status;
    response.extensions_mut().insert(Code(refusal.code.to_string()));
    response.headers_mut().extend(refusal.headers.iter().cloned());
    if refusal.status == StatusCode::NOT_MODIFIED {
        return response;
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    if refusal.code == "NoSuchKey" && matches!(exchange.facts().operation(), Some("GetObject" | "HeadObject")) {
        // The key is missing, not hidden: of one that a marker hides the refusal says so.
        response.headers_mut().entry("x-amz-delete-marker").or_insert(HeaderValue::from_static("false"));
    }
    let text = document(&refusal, asked, exchange);
    if asked.method != Method::HEAD {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
        *response.body_mut() = Body::from(text);
    }
    response
}

/// The elements of an error body, in the order in which AWS gives them.
fn elements(refusal: &Refusal, asked: &Asked, exchange: &Exchange) -> Vec<(&'static str, String)> {
    let facts = exchange.facts();
    let mut all = vec![("Code", refusal.code.to_string()), ("Message", refusal.message.to_string())];
    all.extend(refusal.elements.iter().cloned());
    // Of a copy it is not known which of its two names is meant.
    let copy = matches!(facts.operation(), Some("CopyObject" | "UploadPartCopy"));
    match &*refusal.code {
        "NoSuchBucket" | "BucketNotEmpty" | "BucketAlreadyExists" | "BucketAlreadyOwnedByYou" if !copy => {
            all.extend(facts.bucket().map(|bucket| ("BucketName", bucket.to_owned())));
        }
        "NoSuchKey" if !copy => all.extend(facts.key().map(|key| ("Key", key.to_owned()))),
        "InvalidRange" => all.extend(asked.range.clone().map(|range| ("RangeRequested", range))),
        "AuthorizationQueryParametersError" => {
            all.extend(asked.region.clone().map(|region| ("Region", region)));
        }
        _ => {}
    }
    all.push(("Resource", asked.path.clone()));
    all.push(("RequestId", facts.id().as_str().to_owned()));
    all.push(("HostId", HOST_ID.to_owned()));
    all
}

fn document(refusal: &Refusal, asked: &Asked, exchange: &Exchange) -> Vec<u8> {
    let elements = elements(refusal, asked, exchange);
    let mut writer = Writer::new(Vec::with_capacity(512));
    let written = writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None))).and_then(|()| {
        writer
            .create_element("Error")
            .write_inner_content(|writer| {
                for (name, value) in &elements {
                    writer.create_element(*name).write_text_content(BytesText::new(&xml_safe(value)))?;
                }
                Ok(())
            })
            .map(|_| ())
    });
    // Writing to memory does not fail.
    written.map(|()| writer.into_inner()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use s3s::dto::{CompleteMultipartUploadInput, CompleteMultipartUploadOutput};

    use super::*;
    use crate::front::facts::RequestFacts;
    use crate::store::Error;

    fn asked(method: Method) -> Asked {
        let region = Some("eu-1".to_owned());
        Asked { method, path: "/b/k".into(), range: Some("bytes=9-".into()), region }
    }

    fn text(response: &Response<Body>) -> String {
        String::from_utf8(response.body().bytes().expect("in memory").to_vec()).expect("text")
    }

    #[test]
    fn an_error_body_says_what_its_code_asks_for() {
        let exchange = Exchange::new(RequestFacts::default());
        exchange.facts().set_target("b", Some("k\u{1}<"));
        let id = exchange.facts().id().as_str().to_owned();
        let missing = dress(Err(Error::NoSuchKey.into()), &asked(Method::GET), &exchange);
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        assert_eq!(missing.headers()["x-amz-request-id"], *id);
        assert_eq!(
            text(&missing),
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>NoSuchKey</Code><Message>The specified key does \
                 not exist.</Message><Key>k%01&lt;</Key><Resource>/b/k</Resource><RequestId>{id}</RequestId>\
                 <HostId>longshore</HostId></Error>"
            )
        );
        let range = dress(Err(Error::InvalidRange { size: 3 }.into()), &asked(Method::GET), &exchange);
        assert_eq!(range.headers()[CONTENT_RANGE], "bytes */3");
        assert!(text(&range).contains("<RangeRequested>bytes=9-</RangeRequested>"));
    }

    #[test]
    fn what_s3s_wrote_is_written_again() {
        let exchange = Exchange::new(RequestFacts::default());
        let mut sent = Response::new(Body::from(
            "<Error><Code>MalformedXML</Code><Message>This happens &amp; so on</Message></Error>".to_owned(),
        ));
        *sent.status_mut() = StatusCode::BAD_REQUEST;
        let answer = text(&dress(Ok(sent), &asked(Method::GET), &exchange));
        let unread = argument("invalid query: max-keys: abc");
        assert_eq!(unread, [("ArgumentName", "max-keys".to_owned()), ("ArgumentValue", "abc".to_owned())]);
        assert!(answer.contains(MALFORMED_XML) && answer.contains("<Resource>/b/k</Resource>"), "{answer}");
    }

    /// Completes an upload that takes a while, in one way or the other.
    struct Slow;

    #[async_trait::async_trait]
    impl s3s::S3 for Slow {
        async fn complete_multipart_upload(
            &self,
            request: s3s::S3Request<CompleteMultipartUploadInput>,
        ) -> s3s::S3Result<s3s::S3Response<CompleteMultipartUploadOutput>> {
            let exchange = Exchange::of(&request.extensions);
            let key = request.input.key;
            let future = Box::pin(async move {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                if key == "bad" {
                    return Err(exchange.refuse_late(Error::PreconditionFailed.into()));
                }
                Ok(CompleteMultipartUploadOutput { key: Some(key), ..Default::default() })
            });
            let output = CompleteMultipartUploadOutput { future: Some(future), ..Default::default() };
            Ok(s3s::S3Response::new(output))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_begins_early_ends_with_what_came_of_it() {
        let service = s3s::service::S3ServiceBuilder::new(Slow).build();
        for (key, wanted) in [("k", "<Key>k</Key>"), ("bad", "<Code>PreconditionFailed</Code>")] {
            let exchange = Exchange::new(RequestFacts::default());
            let id = exchange.facts().id().as_str().to_owned();
            let list = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>\
                        </CompleteMultipartUpload>";
            let request = http::Request::builder().method("POST").uri(format!("/bucket/{key}?uploadId=1"));
            let request = request.header(CONTENT_LENGTH, list.len()).extension(exchange.clone());
            let request = request.body(Body::from(list.to_owned())).expect("a request");
            let served = service.call(request).await.expect("an answer");
            let answer = dress(Ok(served), &asked(Method::POST), &exchange);
            assert_eq!((answer.status(), answer.headers().get(CONTENT_LENGTH)), (StatusCode::OK, None));
            assert_eq!(answer.headers()["x-amz-request-id"], *id);
            let body = answer.into_body().collect().await.expect("to its end").to_bytes();
            let body = String::from_utf8(body.to_vec()).expect("text");
            let (head, rest) = body.split_once("?>").expect("a declaration");
            assert!(head.starts_with("<?xml") && rest.starts_with("  ") && rest.contains(wanted), "{body}");
            assert_eq!(rest.contains(&format!("<RequestId>{id}</RequestId>")), key == "bad", "{body}");
        }
    }

    #[test]
    fn a_head_has_no_body_whatever_happens() {
        let exchange = Exchange::new(RequestFacts::default());
        let missing = dress(Err(Error::NoSuchKey.into()), &asked(Method::HEAD), &exchange);
        assert_eq!((missing.status().as_u16(), text(&missing).len()), (404, 0));
        let mut partial = Response::new(Body::empty());
        partial.headers_mut().insert(CONTENT_RANGE, HeaderValue::from_static("bytes 0-1/3"));
        assert_eq!(dress(Ok(partial), &asked(Method::HEAD), &exchange).status(), StatusCode::PARTIAL_CONTENT);
    }
}
