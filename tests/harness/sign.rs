//! Signature Version 4 as its specification has it, for header, query and chunked bodies.
//!
//! It shares nothing with the server: a rule both misread would otherwise pass. The tests below are the worked examples
//! that AWS published.
//!
//! **Invariant:** a signed request is plain data; a test may change any part of it before it is sent.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

/// An access key with its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) access_key: String,
    pub(crate) secret: String,
}

impl Keys {
    pub(crate) fn new(access_key: &str, secret: &str) -> Self {
        Self { access_key: access_key.to_owned(), secret: secret.to_owned() }
    }
}

/// Where the signature goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    /// Into the Authorization header.
    Header,
    /// Into the query, for so many seconds.
    Presigned(i64),
    /// Nowhere.
    Anonymous,
}

/// How the body is covered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// By its SHA-256.
    Hashed,
    /// Not at all.
    Unsigned,
    /// In signed chunks of so many bytes, with a trailer.
    SignedChunks(usize, Option<(String, String)>),
    /// In unsigned chunks of so many bytes, with a trailer.
    UnsignedChunks(usize, Option<(String, String)>),
}

/// What is signed, and how.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Not escaped.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) auth: Auth,
    pub(crate) payload: Payload,
    pub(crate) region: String,
    pub(crate) service: String,
    /// When it is signed.
    pub(crate) at: OffsetDateTime,
    /// Headers that are sent, but not signed.
    pub(crate) unsigned: Vec<String>,
}

/// A request as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) method: String,
    /// Path and query, escaped.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Signed {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Sets a header, whether it is there or not.
    pub(crate) fn set_header(&mut self, name: &str, value: &str) {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// The text of the head, with the length of the body unless a header tells it.
    pub(crate) fn head(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.header("content-length").is_none() && self.header("transfer-encoding").is_none() {
            text.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        text + "\r\n"
    }
}

/// Escapes what is not unreserved; slashes stay in paths.
pub(crate) fn escape(text: &str, slash: bool) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            b'/' if slash => escaped.push('/'),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The key and the words that every signature of one request shares.
struct Signer {
    key: Vec<u8>,
    date: String,
    scope: String,
}

impl Signer {
    fn new(keys: &Keys, request: &Request) -> Self {
        let date =
            request.at.format(format_description!("[year][month][day]T[hour][minute][second]Z")).expect("a date");
        let day = &date[..8];
        let mut key = hmac(format!("AWS4{}", keys.secret).as_bytes(), day);
        for word in [&request.region, &request.service, "aws4_request"] {
            key = hmac(&key, word);
        }
        let scope = format!("{day}/{}/{}/aws4_request", request.region, request.service);
        Self { key, scope, date }
    }

    fn sign(&self, algorithm: &str, rest: &str) -> String {
        hex(&hmac(&self.key, &format!("{algorithm}\n{}\n{}\n{rest}", self.date, self.scope)))
    }
}

impl Request {
    /// Signs.
    pub(crate) fn sign(mut self, keys: Option<&Keys>) -> Signed {
        let decoded = self.body.len();
        match &self.payload {
            Payload::SignedChunks(_, trailer) | Payload::UnsignedChunks(_, trailer) => {
                let trailer = trailer.as_ref().map(|(name, _)| ("x-amz-trailer".to_owned(), name.clone()));
                self.headers.push(("content-encoding".to_owned(), "aws-chunked".to_owned()));
                self.headers.push(("x-amz-decoded-content-length".to_owned(), decoded.to_string()));
                self.headers.extend(trailer);
            }
            Payload::Hashed | Payload::Unsigned => {}
        }
        match (self.auth, keys) {
            (Auth::Header, Some(keys)) => self.into_header(keys),
            (Auth::Presigned(seconds), Some(keys)) => self.into_query(keys, seconds),
            _ => {
                let target = self.target();
                let body = if self.is_chunked() { self.chunks(None, "") } else { self.body };
                Signed { method: self.method, target, headers: self.headers, body }
            }
        }
    }

    fn is_chunked(&self) -> bool {
        matches!(self.payload, Payload::SignedChunks(..) | Payload::UnsignedChunks(..))
    }

    fn into_header(mut self, keys: &Keys) -> Signed {
        let signer = Signer::new(keys, &self);
        let hash = match &self.payload {
            Payload::Hashed => sha256_hex(&self.body),
            Payload::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
            Payload::SignedChunks(_, None) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD".to_owned(),
            Payload::SignedChunks(_, Some(_)) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER".to_owned(),
            Payload::UnsignedChunks(..) => "STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned(),
        };
        // A test that sets its own hash gets it signed, and refused if it is not that of the body.
        let own = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-amz-content-sha256")).cloned();
        let hash = own.map_or_else(
            || {
                self.headers.push(("x-amz-content-sha256".to_owned(), hash.clone()));
                hash.clone()
            },
            |(_, hash)| hash,
        );
        self.headers.push(("x-amz-date".to_owned(), signer.date.clone()));
        let (names, canonical) = self.canonical(&hash);
        let signature = signer.sign("AWS4-HMAC-SHA256", &sha256_hex(canonical.as_bytes()));
        let Signer { scope, .. } = &signer;
        let access_key = &keys.access_key;
        let credential =
            format!("AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}");
        self.headers.push(("authorization".to_owned(), credential));
        let target = self.target();
        let body = if self.is_chunked() { self.chunks(Some(&signer), &signature) } else { self.body };
        Signed { method: self.method, target, headers: self.headers, body }
    }

    fn into_query(mut self, keys: &Keys, seconds: i64) -> Signed {
        let signer = Signer::new(keys, &self);
        let names = self.signed_names();
        for (name, value) in [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned()),
            ("X-Amz-Credential", format!("{}/{}", keys.access_key, signer.scope)),
            ("X-Amz-Date", signer.date.clone()),
            ("X-Amz-Expires", seconds.to_string()),
            ("X-Amz-SignedHeaders", names),
        ] {
            self.query.push((name.to_owned(), value));
        }
        let (_, canonical) = self.canonical("UNSIGNED-PAYLOAD");
        let signature = signer.sign("AWS4-HMAC-SHA256", &sha256_hex(canonical.as_bytes()));
        self.query.push(("X-Amz-Signature".to_owned(), signature));
        Signed { target: self.target(), method: self.method, headers: self.headers, body: self.body }
    }

    fn signed_names(&self) -> String {
        let mut names: Vec<String> = self
            .headers
            .iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .filter(|name| !self.unsigned.contains(name))
            .collect();
        names.sort();
        names.dedup();
        names.join(";")
    }

    /// The names of the signed headers, and the canonical request.
    fn canonical(&self, hash: &str) -> (String, String) {
        let names = self.signed_names();
        let mut fields = String::new();
        for name in names.split(';') {
            let values = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
            let trim = |value: &str| value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            let values: Vec<String> = values.map(|(_, value)| trim(value)).collect();
            fields.push_str(&format!("{name}:{}\n", values.join(",")));
        }
        let path = escape(&self.path, true);
        let canonical = format!("{}\n{path}\n{}\n{fields}\n{names}\n{hash}", self.method, self.query_text());
        (names, canonical)
    }

    fn query_text(&self) -> String {
        let mut pairs: Vec<(String, String)> =
            self.query.iter().map(|(name, value)| (escape(name, false), escape(value, false))).collect();
        pairs.sort();
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    fn target(&self) -> String {
        let query = self.query_text();
        let path = escape(&self.path, true);
        if query.is_empty() { path } else { format!("{path}?{query}") }
    }

    /// The body in chunks, signed one after the other if there is a signer and the mode wants it.
    fn chunks(&self, signer: Option<&Signer>, seed: &str) -> Vec<u8> {
        let (size, trailer, signer) = match &self.payload {
            Payload::SignedChunks(size, trailer) => (*size, trailer, signer),
            Payload::UnsignedChunks(size, trailer) => (*size, trailer, None),
            Payload::Hashed | Payload::Unsigned => return self.body.clone(),
        };
        let mut previous = seed.to_owned();
        let mut text = Vec::new();
        for chunk in self.body.chunks(size.max(1)).chain([&[][..]]) {
            let mut line = format!("{:x}", chunk.len());
            if let Some(signer) = signer {
                let rest = format!("{previous}\n{}\n{}", sha256_hex(b""), sha256_hex(chunk));
                previous = signer.sign("AWS4-HMAC-SHA256-PAYLOAD", &rest);
                line.push_str(&format!(";chunk-signature={previous}"));
            }
            text.extend_from_slice(format!("{line}\r\n").as_bytes());
            text.extend_from_slice(chunk);
            // The line end behind the last chunk is the one that ends the trailers.
            if !chunk.is_empty() {
                text.extend_from_slice(b"\r\n");
            }
        }
        if let Some((name, value)) = trailer {
            text.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
            if let Some(signer) = signer {
                let rest = format!("{previous}\n{}", sha256_hex(format!("{name}:{value}\n").as_bytes()));
                let signature = signer.sign("AWS4-HMAC-SHA256-TRAILER", &rest);
                text.extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n").as_bytes());
            }
        }
        text.extend_from_slice(b"\r\n");
        text
    }
}

/// So many seconds from now.
pub(crate) fn now_plus(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::seconds(seconds)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn example(method: &str, path: &str, headers: &[(&str, &str)], auth: Auth, payload: Payload) -> Request {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: Vec::new(),
            headers: headers.iter().map(own).collect(),
            body: Vec::new(),
            auth,
            payload,
            region: "us-east-1".to_owned(),
            service: "s3".to_owned(),
            at: datetime!(2013-05-24 0:00 UTC),
            unsigned: Vec::new(),
        }
    }

    fn keys() -> Keys {
        Keys::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    }

    #[test]
    fn the_published_get_example() {
        let headers = [("host", "examplebucket.s3.amazonaws.com"), ("range", "bytes=0-9")];
        let signed = example("GET", "/test.txt", &headers, Auth::Header, Payload::Hashed).sign(Some(&keys()));
        let authorization = signed.header("authorization").expect("signed");
        let signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        assert!(authorization.ends_with(signature), "{authorization}");
    }

    #[test]
    fn the_published_presigned_example() {
        let headers = [("host", "examplebucket.s3.amazonaws.com")];
        let request = example("GET", "/test.txt", &headers, Auth::Presigned(86400), Payload::Hashed);
        let signed = request.sign(Some(&keys()));
        let signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert!(signed.target.contains(&format!("X-Amz-Signature={signature}")), "{}", signed.target);
    }

    #[test]
    fn the_published_chunked_example() {
        let headers =
            [("host", "s3.amazonaws.com"), ("x-amz-storage-class", "REDUCED_REDUNDANCY"), ("content-length", "66824")];
        let path = "/examplebucket/chunkObject.txt";
        let mut request = example("PUT", path, &headers, Auth::Header, Payload::SignedChunks(65536, None));
        request.body = vec![b'a'; 66560];
        let signed = request.sign(Some(&keys()));
        let authorization = signed.header("authorization").expect("signed");
        let seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
        assert!(authorization.ends_with(seed), "{authorization}");
        let text = String::from_utf8(signed.body).expect("text");
        assert_eq!(text.len(), 66824);
        for line in [
            "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n",
            "400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n",
            "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n",
        ] {
            assert!(text.contains(line), "{line}");
        }
    }
}
