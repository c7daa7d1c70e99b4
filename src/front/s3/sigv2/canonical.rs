//! The text that a signature of the second version is made of.
//!
//! **Invariant:** whatever chooses the operation is in it: each sub-resource that the server knows must be signed, also
//! those that came after this version of signatures, so that none can be added to a request that was listened to.

use std::collections::BTreeMap;

use http::header::{CONTENT_TYPE, DATE, HOST, HeaderName};
use http::request::Parts;

use super::claim::{Claim, Moment, exact, is_header};
use crate::front::s3::error::{Refusal, Result};
use crate::front::s3::host::Hosts;
use crate::front::s3::query;

/// The parameters that are part of the resource.
const SUBRESOURCES: [&str; 53] = [
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "annotationName",
    "attributes",
    "cors",
    "defaultObjectAcl",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataAnnotationTable",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "partNumber",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "retention",
    "select",
    "select-type",
    "session",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// Names of headers in lower case, with their values.
type Fields = BTreeMap<String, Vec<u8>>;

/// The text, in the forms that clients write it in: below a bucket in the path, some sign a slash that they do not
/// send. It is the same resource.
pub(super) fn strings_to_sign(parts: &Parts, claim: &Claim, hosts: &Hosts) -> Result<Vec<Vec<u8>>> {
    let head = head(parts, claim)?;
    let host = host(parts);
    let path = hosts.bucket(host).map_or_else(String::new, |bucket| format!("/{bucket}")) + parts.uri.path();
    let mut paths = vec![path];
    if hosts.bucket(host).is_none() && paths[0].rfind('/') == Some(0) && paths[0] != "/" {
        paths.push(format!("{}/", paths[0]));
    }
    let rest = subresources(parts);
    Ok(paths.iter().map(|path| [&head, path.as_bytes(), rest.as_bytes()].concat()).collect())
}

/// All lines but the last.
fn head(parts: &Parts, claim: &Claim) -> Result<Vec<u8>> {
    let fields = fields(parts, claim)?;
    let field = |name: &str| fields.get(name).map_or(&[][..], Vec::as_slice);
    let date = match claim.moment {
        Moment::Until(_) => query::value(parts.uri.query(), "Expires").unwrap_or_default().into_bytes(),
        // Its own header is among the others, and the one of HTTP is then not signed.
        Moment::At(_) if fields.contains_key("x-amz-date") => Vec::new(),
        Moment::At(_) => field(DATE.as_str()).to_vec(),
    };
    let lines = [parts.method.as_str().as_bytes(), field("content-md5"), field(CONTENT_TYPE.as_str()), &date];
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    for (name, value) in fields.iter().filter(|(name, _)| name.starts_with("x-amz-")) {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    Ok(text)
}

/// The headers that are signed; a signed URL may carry them in its query.
fn fields(parts: &Parts, claim: &Claim) -> Result<Fields> {
    let mut fields = Fields::new();
    for name in parts.headers.keys().filter(|name| is_header(name.as_str()) || **name == DATE) {
        fields.insert(name.as_str().to_owned(), joined(parts, name));
    }
    if let Moment::At(_) = claim.moment {
        return Ok(fields);
    }
    for (name, value) in query::pairs(parts.uri.query().unwrap_or_default()) {
        let name = query::decoded(name).to_ascii_lowercase();
        if is_header(&name) {
            let value = exact(value).trim().as_bytes().to_vec();
            if fields.insert(name, value.clone()).is_some_and(|other| other != value) {
                return Err(Refusal::request("A header was sent with two values, one of them in the query."));
            }
        }
    }
    Ok(fields)
}

fn joined(parts: &Parts, name: &HeaderName) -> Vec<u8> {
    let values: Vec<&[u8]> = parts.headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii()).collect();
    values.join(&b',')
}

fn host(parts: &Parts) -> &str {
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    parts.headers.get(HOST).and_then(|value| value.to_str().ok()).or(authority).unwrap_or_default()
}

/// The part of the query that belongs to the resource.
fn subresources(parts: &Parts) -> String {
    let mut text = String::new();
    let pairs = parts.uri.query().unwrap_or_default().split('&');
    let mut signed: Vec<(String, Option<String>)> = pairs
        .map(|pair| pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value))))
        .map(|(name, value)| (query::decoded(name), value.map(exact)))
        .filter(|(name, _)| SUBRESOURCES.contains(&name.as_str()))
        .collect();
    signed.sort();
    for (at, (name, value)) in signed.iter().enumerate() {
        text.push(if at == 0 { '?' } else { '&' });
        text.push_str(name);
        if let Some(value) = value {
            text.push('=');
            text.push_str(value);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use http::Request;

    use super::*;
    use crate::front::s3::sigv2::sign;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    /// The signature of a request below `s3.amazonaws.com`.
    fn signature(method: &str, uri: &str, headers: &[(&'static str, &'static str)]) -> String {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let moment = match query::value(parts.uri.query(), "Expires") {
            Some(seconds) => Moment::Until(seconds.parse().expect("seconds")),
            None => Moment::At(0),
        };
        let claim = Claim { access_key: String::new(), signature: String::new(), moment };
        let hosts = Hosts::new(&["s3.us-west-1.amazonaws.com".into()]);
        let texts = strings_to_sign(&parts, &claim, &hosts).expect("sound");
        STANDARD.encode(sign(SECRET, &texts[0]).expect("a key"))
    }

    #[test]
    fn a_bucket_in_the_path_may_be_signed_with_a_slash() {
        let claim = Claim { access_key: String::new(), signature: String::new(), moment: Moment::At(0) };
        let hosts = Hosts::new(&["s3.example.com".into()]);
        for (host, uri, wanted) in [
            ("s3.example.com", "/b?acl", &["/b?acl", "/b/?acl"][..]),
            ("s3.example.com", "/b/", &["/b/"]),
            ("s3.example.com", "/b/k", &["/b/k"]),
            ("s3.example.com", "/", &["/"]),
            ("b.s3.example.com", "/k", &["/b/k"]),
            ("b.s3.example.com", "/", &["/b/"]),
        ] {
            let request = Request::builder().uri(uri).header("host", host).header("x-amz-date", "d");
            let (parts, ()) = request.body(()).expect("a request").into_parts();
            let texts = strings_to_sign(&parts, &claim, &hosts).expect("sound");
            let wanted: Vec<String> = wanted.iter().map(|path| format!("GET\n\n\n\nx-amz-date:d\n{path}")).collect();
            assert_eq!(texts, wanted.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>());
        }
    }

    /// Those of the manual for REST authentication.
    #[test]
    fn the_published_examples() {
        let below = ("host", "awsexamplebucket1.s3.us-west-1.amazonaws.com");
        let path_style = ("host", "s3.us-west-1.amazonaws.com");
        let date = |text: &'static str| ("date", text);
        let upload = [
            path_style,
            date("Tue, 27 Mar 2007 21:06:08 +0000"),
            ("x-amz-acl", "public-read"),
            ("content-type", "application/x-download"),
            ("content-md5", "4gJE4saaMU4BqNR0kLY+lw=="),
            ("x-amz-meta-reviewedby", "joe@example.com"),
            ("x-amz-meta-reviewedby", "jane@example.com"),
            ("x-amz-meta-filechecksum", "0x02661779"),
            ("x-amz-meta-checksumalgorithm", "crc32"),
            ("content-disposition", "attachment; filename=database.dat"),
        ];
        for (method, uri, headers, wanted) in [
            (
                "GET",
                "/photos/puppy.jpg",
                &[below, date("Tue, 27 Mar 2007 19:36:42 +0000")][..],
                "qgk2+6Sv9/oM7G3qLEjTH1a1l1g=",
            ),
            (
                "PUT",
                "/photos/puppy.jpg",
                &[below, date("Tue, 27 Mar 2007 21:15:45 +0000"), ("content-type", "image/jpeg")],
                "iqRzw+ileNPu1fhspnRs8nOjjIA=",
            ),
            (
                "GET",
                "/?prefix=photos&max-keys=50&marker=puppy",
                &[below, date("Tue, 27 Mar 2007 19:42:41 +0000")],
                "m0WP8eCtspQl5Ahe6L1SozdX9YA=",
            ),
            ("GET", "/?acl", &[below, date("Tue, 27 Mar 2007 19:44:46 +0000")], "82ZHiFIjc+WbcwFKGUVEQspPn+0="),
            ("PUT", "/static.example.com/db-backup.dat.gz", &upload, "jtBQa0Aq+DkULFI8qrpwIjGEx0E="),
            ("GET", "/johnsmith/photos/puppy.jpg?Expires=1175139620", &[path_style], "NpgCjnDzrM+WFzoENXmpNDUsSn8="),
        ] {
            assert_eq!(signature(method, uri, headers), wanted, "{method} {uri}");
        }
    }

    #[test]
    fn what_chooses_the_operation_is_signed() {
        let dated = [("host", "s3.amazonaws.com"), ("date", "Tue, 27 Mar 2007 19:36:42 +0000")];
        let sign = |uri: &str| signature("GET", uri, &dated);
        assert_eq!(sign("/b?marker=1&x=2"), sign("/b"));
        assert_eq!(sign("/b?uploads&prefix=a&policy"), sign("/b?policy&uploads"));
        for name in SUBRESOURCES {
            assert_ne!(sign(&format!("/b?{name}")), sign("/b"), "{name}");
        }
        assert_ne!(sign("/b?versionId=1"), sign("/b?versionId=2"));
        let query = "/b?Expires=9&x-amz-acl=private";
        assert_ne!(signature("PUT", query, &dated[..1]), signature("PUT", "/b?Expires=9", &dated[..1]));
        let moved = [dated[0], ("x-amz-acl", "private")];
        assert_eq!(signature("PUT", query, &dated[..1]), signature("PUT", "/b?Expires=9", &moved));
    }

    #[test]
    fn a_date_of_their_own_goes_before_that_of_http() {
        let host = ("host", "s3.amazonaws.com");
        let own = ("x-amz-date", "Tue, 27 Mar 2007 19:36:42 GMT");
        let sign = |date| signature("GET", "/b", &[host, own, ("date", date)]);
        assert_eq!(sign("Tue, 27 Mar 2007 21:06:08 GMT"), sign("yesterday"));
    }
}
