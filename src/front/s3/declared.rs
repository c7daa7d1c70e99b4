//! The checksum a client declares for a body, by header, by trailer, or by the name of its algorithm alone.
//!
//! **Invariant:** a request declares at most one checksum; one that is declared and cannot be read is refused
//! like one that is wrong.

use http::{HeaderMap, HeaderName};

use super::error::{Refusal, Result};
use crate::model::checksum::{Algorithm, Checksum, ChecksumKind, decode};
use crate::store::Error;

const PREFIX: &str = "x-amz-checksum-";

/// What was declared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Declared {
    /// The value, if it came in a header.
    pub(super) checksum: Option<Checksum>,
    /// The algorithm, if no value came in a header.
    pub(super) algorithm: Option<Algorithm>,
    /// The trailer that will bring the value.
    pub(super) trailer: Option<HeaderName>,
}

/// Reads what the headers of a request with a body declare.
pub(super) fn of(headers: &HeaderMap) -> Result<Declared> {
    let checksum = value(headers)?;
    let trailer = announced(headers)?;
    if checksum.is_some() && trailer.is_some() {
        return Err(several());
    }
    let named = match text(headers, "x-amz-sdk-checksum-algorithm") {
        Some(name) => Some(algorithm(name)?),
        None => None,
    };
    let came = checksum.as_ref().map(|c| c.algorithm).or(trailer.as_ref().map(|(_, algorithm)| *algorithm));
    match (named, came) {
        (Some(_), None) => {
            return Err(Refusal::request(
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer \
                 headers were found.",
            ));
        }
        (Some(named), Some(came)) if named != came => {
            return Err(Refusal::request("Value for x-amz-sdk-checksum-algorithm header is invalid."));
        }
        _ => {}
    }
    let asked = match text(headers, "x-amz-checksum-algorithm") {
        Some(name) if came.is_none() => Some(algorithm(name)?),
        _ => None,
    };
    let algorithm = trailer.as_ref().map(|(_, algorithm)| *algorithm).or(asked);
    Ok(Declared { checksum, algorithm, trailer: trailer.map(|(name, _)| name) })
}

/// The one checksum that came as a header.
pub(super) fn value(headers: &HeaderMap) -> Result<Option<Checksum>> {
    let mut found = None;
    for (name, value) in headers {
        let Some(algorithm) = algorithm_of(name.as_str())? else { continue };
        let value = value.to_str().unwrap_or_default().trim();
        // A value that no bytes can have is also a value that these bytes do not have.
        let checksum = read(algorithm, value).ok_or(Error::BadDigest)?;
        if found.replace(checksum).is_some() {
            return Err(several());
        }
    }
    Ok(found)
}

/// A checksum as the wire shows it, of the whole or composed of parts.
pub(super) fn read(algorithm: Algorithm, value: &str) -> Option<Checksum> {
    let (digest, kind) = match value.rsplit_once('-') {
        Some((digest, parts)) if parts.parse::<u32>().is_ok() => (digest, ChecksumKind::Composite),
        _ => (value, ChecksumKind::FullObject),
    };
    decode(algorithm, digest)?;
    Some(Checksum { algorithm, kind, value: value.to_owned() })
}

/// The algorithm of a name that a client gives; 501 for those that exist elsewhere.
pub(super) fn algorithm(name: &str) -> Result<Algorithm> {
    const ABSENT: [&str; 5] = ["SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"];
    if let Some(algorithm) = Algorithm::parse(name) {
        return Ok(algorithm);
    }
    if ABSENT.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(Refusal::not_implemented("This checksum algorithm"));
    }
    Err(Refusal::request(
        "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, \
         CRC64NVME, SHA1, SHA256]",
    ))
}

fn algorithm_of(header: &str) -> Result<Option<Algorithm>> {
    match header.strip_prefix(PREFIX) {
        None | Some("algorithm" | "mode" | "type") => Ok(None),
        Some(name) => algorithm(name).map(Some),
    }
}

fn announced(headers: &HeaderMap) -> Result<Option<(HeaderName, Algorithm)>> {
    let mut found = None;
    for name in headers.get_all("x-amz-trailer").iter().flat_map(|v| v.to_str().unwrap_or("?").split(',')) {
        let name = name.trim().to_ascii_lowercase();
        if name.is_empty() {
            continue;
        }
        let invalid = || Refusal::request("The value specified in the x-amz-trailer header is not supported");
        let algorithm = algorithm_of(&name)?.ok_or_else(invalid)?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        if found.replace((name, algorithm)).is_some() {
            return Err(several());
        }
    }
    Ok(found)
}

fn several() -> Refusal {
    Refusal::request("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default().trim()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(pairs: &[(&'static str, &'static str)]) -> std::result::Result<Declared, String> {
        let headers: HeaderMap =
            pairs.iter().map(|(n, v)| (n.parse().expect("a name"), v.parse().expect("a value"))).collect();
        of(&headers).map_err(|refusal| refusal.code.into_owned())
    }

    #[test]
    fn one_checksum_well_formed_or_none() {
        let crc = ("x-amz-checksum-crc32", "y/Q5Jg==");
        assert_eq!(declared(&[crc]).expect("read").checksum.expect("there").value, "y/Q5Jg==");
        for (headers, code) in [
            (&[crc, ("x-amz-checksum-sha1", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")][..], "InvalidRequest"),
            (&[("x-amz-checksum-crc32", "y/Q5")], "BadDigest"),
            (&[("x-amz-checksum-crc32", "bad")], "BadDigest"),
            (&[("x-amz-checksum-foo", "AA==")], "InvalidRequest"),
            (&[("x-amz-checksum-xxhash64", "AA==")], "NotImplemented"),
            (&[("x-amz-sdk-checksum-algorithm", "CRC32")], "InvalidRequest"),
            (&[("x-amz-sdk-checksum-algorithm", "SHA256"), crc], "InvalidRequest"),
            (&[("x-amz-trailer", "x-amz-meta-a")], "InvalidRequest"),
            (&[("x-amz-trailer", "x-amz-checksum-crc32,x-amz-checksum-sha1")], "InvalidRequest"),
            (&[("x-amz-trailer", "x-amz-checksum-crc32"), crc], "InvalidRequest"),
        ] {
            assert_eq!(declared(headers), Err(code.to_owned()), "{headers:?}");
        }
        let trailer =
            declared(&[("x-amz-trailer", "X-Amz-Checksum-CRC64NVME"), ("x-amz-sdk-checksum-algorithm", "crc64nvme")]);
        let trailer = trailer.expect("read");
        assert_eq!((trailer.algorithm, trailer.checksum), (Some(Algorithm::Crc64Nvme), None));
        assert_eq!(trailer.trailer.expect("there").as_str(), "x-amz-checksum-crc64nvme");
    }

    #[test]
    fn composites_are_told_by_their_count() {
        assert_eq!(read(Algorithm::Crc32, "y/Q5Jg==-3").expect("read").kind, ChecksumKind::Composite);
        assert_eq!(read(Algorithm::Crc32, "y/Q5Jg==").expect("read").kind, ChecksumKind::FullObject);
        assert_eq!(read(Algorithm::Sha1, "y/Q5Jg==-3"), None);
    }
}
