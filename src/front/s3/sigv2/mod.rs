//! Signatures of the second version, which s3s is told not to know: old programs still make them, so an operator may
//! let them in with `[s3] sigv2 = true`.
//!
//! They sign with SHA-1, cover neither the body nor the host, and a signed URL may live for years; therefore they are
//! off unless asked for. A request that bears one is verified here, loses it, and goes on under [`Verified`], so that
//! it meets the same checks as any other.
//!
//! **Invariant:** a request that bears any part of such a signature is either verified or refused, never served as
//! anonymous; signatures are compared in constant time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Method, Request};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;

use super::context::Scheme;
use super::error::{Refusal, Result};
use super::guard;
use super::host::Hosts;
use super::rewrite::Verified;
use crate::model::time::{Clock, Timestamp};
use crate::store::Store;

mod canonical;
mod claim;

use claim::{Claim, Moment};

/// How far the clock of a client may be off, in seconds.
const SKEW_SECONDS_MAX: i64 = 15 * 60;

/// The verification.
#[derive(Debug, Clone)]
pub(super) struct SigV2 {
    /// Whether the operator lets such signatures in.
    pub(super) accepted: bool,
    /// Who has which secret.
    pub(super) store: Store,
    /// The domains that name buckets: the bucket is signed as part of the path.
    pub(super) hosts: Hosts,
}

impl SigV2 {
    /// Verifies the signature of a request and takes it off, if it is one of the second version.
    ///
    /// On cancellation: nothing was changed.
    pub(super) async fn verify(&self, request: Request<s3s::Body>) -> Result<Request<s3s::Body>> {
        // A preflight is sent to the URL that a page was given, and asks for nothing of it.
        if request.method() == Method::OPTIONS {
            return Ok(request);
        }
        let (mut parts, body) = request.into_parts();
        let Some(claim) = Claim::of(&parts, self.accepted)? else { return Ok(Request::from_parts(parts, body)) };
        if guard::is_framed(&parts.headers) {
            return Err(Refusal::request("A chunked upload must be signed with AWS4-HMAC-SHA256."));
        }
        guard::no_session_token(&parts.headers, parts.uri.query())?;
        in_time(claim.moment, Clock::now())?;
        self.compare(&parts, &claim).await?;
        let scheme = Scheme::of(&parts.headers, parts.uri.query());
        parts.headers.remove(AUTHORIZATION);
        if let Moment::Until(_) = claim.moment {
            claim::leave_the_query(&mut parts)?;
        }
        parts.extensions.insert(Verified { access_key: Some(claim.access_key), scheme, session: None });
        Ok(Request::from_parts(parts, body))
    }

    async fn compare(&self, parts: &Parts, claim: &Claim) -> Result<()> {
        let secret = self.store.secret_of(&claim.access_key).await?.ok_or_else(|| {
            Refusal::new(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
        })?;
        let given = STANDARD.decode(&claim.signature).unwrap_or_default();
        for text in canonical::strings_to_sign(parts, claim, &self.hosts)? {
            if given.ct_eq(&sign(secret.expose(), &text)?).into() {
                return Ok(());
            }
        }
        Err(wrong())
    }
}

fn sign(secret: &str, text: &[u8]) -> Result<Vec<u8>> {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).map_err(|_| Refusal::internal())?;
    mac.update(text);
    Ok(mac.finalize().into_bytes().to_vec())
}

fn wrong() -> Refusal {
    Refusal::new(
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing \
         method.",
    )
}

fn in_time(moment: Moment, now: Timestamp) -> Result<()> {
    match moment {
        Moment::At(at) if (at - now.seconds()).abs() > SKEW_SECONDS_MAX => Err(Refusal::new(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        )),
        Moment::Until(until) if until < now.seconds() => Err(Refusal::denied("Request has expired")),
        Moment::At(_) | Moment::Until(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_175_139_620 * 1_000_000_000);

    #[test]
    fn a_signature_is_good_for_its_time_only() {
        let code = |moment| in_time(moment, NOW).err().map(|refusal| refusal.code.into_owned());
        let now = NOW.seconds();
        for (moment, wanted) in [
            (Moment::At(now), None),
            (Moment::At(now - 900), None),
            (Moment::At(now - 901), Some("RequestTimeTooSkewed")),
            (Moment::At(now + 901), Some("RequestTimeTooSkewed")),
            (Moment::Until(now), None),
            (Moment::Until(now - 1), Some("AccessDenied")),
            (Moment::Until(i64::MAX), None),
        ] {
            assert_eq!(code(moment).as_deref(), wanted, "{moment:?}");
        }
    }
}
