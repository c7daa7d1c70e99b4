//! AWS Signature Version 4 for the requests of a load: path-style, header authentication.
//!
//! The key of a day is derived once, as the SDKs do it, and the hash of a body is computed once for a whole load, so that
//! the program stays cheap beside the server that it measures.
//! **Invariant:** paths and queries come encoded, the parameters of a query sorted by name.

use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

/// What RFC 3986 leaves unencoded, and the slash, which stays in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
const QUERY: &AsciiSet = &PATH.add(b'/');

/// The value of `x-amz-content-sha256` for a body that is not hashed.
pub(crate) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Encodes a key for the path of a request.
pub(crate) fn encode_path(key: &str) -> String {
    utf8_percent_encode(key, PATH).to_string()
}

/// Encodes a value for the query of a request.
pub(crate) fn encode_query(value: &str) -> String {
    utf8_percent_encode(value, QUERY).to_string()
}

/// Lower-case hexadecimal of some bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = b"0123456789abcdef";
    let digit = |four: u8| char::from(digits[usize::from(four & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Who signs, for which region.
#[derive(Clone)]
pub(crate) struct Signer {
    access_key: String,
    secret_key: String,
    region: String,
    /// The day of the last signature, and its key.
    day: Arc<Mutex<(String, Vec<u8>)>>,
}

/// The three headers that make a request a signed one, besides Host.
pub(crate) struct Signature {
    pub(crate) authorization: String,
    pub(crate) date: String,
    pub(crate) content_sha256: String,
}

impl Signer {
    pub(crate) fn new(access_key: &str, secret_key: &str, region: &str) -> Self {
        Self {
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            region: region.into(),
            day: Arc::default(),
        }
    }

    /// Signs one request as of now. `path` and `query` are already encoded, the query sorted by name.
    pub(crate) fn sign(&self, method: &str, host: &str, path: &str, query: &str, payload: &str) -> Signature {
        self.sign_at(OffsetDateTime::now_utc(), method, host, path, query, payload)
    }

    fn sign_at(
        &self,
        at: OffsetDateTime,
        method: &str,
        host: &str,
        path: &str,
        query: &str,
        payload: &str,
    ) -> Signature {
        let date = at
            .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
            .expect("a UTC date has all the fields of the format");
        let (day, region) = (&date[..8], &self.region);
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{date}\n\n\
             host;x-amz-content-sha256;x-amz-date\n{payload}"
        );
        let scope = format!("{day}/{region}/s3/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let key = self.key_of(day);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={}",
            self.access_key,
            hex(&hmac(&key, &text))
        );
        Signature { authorization, date, content_sha256: payload.into() }
    }

    fn key_of(&self, day: &str) -> Vec<u8> {
        let mut last = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != day {
            let first = hmac(format!("AWS4{}", self.secret_key).as_bytes(), day);
            let key = [&*self.region, "s3", "aws4_request"].iter().fold(first, |key, part| hmac(&key, part));
            *last = (day.into(), key);
        }
        last.1.clone()
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    /// The expected value was computed by botocore's S3SigV4Auth for the same request.
    #[test]
    fn signs_as_botocore_does() {
        let signer = Signer::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1");
        let at = datetime!(2013-05-24 00:00:00 UTC);
        let path = encode_path("/bucket/a b+c");
        let query = format!("list-type=2&prefix={}", encode_query("x/y"));
        let signed = signer.sign_at(at, "GET", "127.0.0.1:9000", &path, &query, UNSIGNED);
        assert_eq!(signed.date, "20130524T000000Z");
        assert!(
            signed
                .authorization
                .ends_with("Signature=97ec5d808f4ed9a1a16e77e23637b47e611f3639a6d2922acec4f5c299ce7001"),
            "{}",
            signed.authorization
        );
    }
}
