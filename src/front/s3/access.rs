//! What is checked of every request between the verification of its signature and its operation.
//!
//! Authorization is not done here but in the store, which every verified or anonymous caller reaches; here it is found
//! out who the caller is, and requests are refused that ask for what s3s would read wrongly or ignore.
//!
//! **Invariant:** the caller of an operation is the one of a verified signature or token, or nobody in particular; an
//! access key that is not known makes no caller. What is not in [`operation`] as built goes no further.

use s3s::access::{S3Access, S3AccessContext};
use s3s::{S3Result, path::S3Path};

use super::context::Scheme;
use super::error::{Refusal, Result};
use super::exchange::Exchange;
use super::rewrite::{SourceHeader, Verified};
use super::{context, guard, operation};
use crate::model::caller::{Caller, ROOT, Who};
use crate::model::context::RequestContext;
use crate::model::name::BucketName;
use crate::store::{Error, Store};

/// The check.
pub(super) struct Gate(pub(super) Store);

#[async_trait::async_trait]
impl S3Access for Gate {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let exchange = Exchange::of(cx.extensions_mut());
        self.admit(cx, &exchange).await.map_err(|refusal| exchange.refuse(refusal))
    }
}

impl Gate {
    async fn admit(&self, cx: &mut S3AccessContext<'_>, exchange: &Exchange) -> Result<()> {
        let operation = operation::named(cx.s3_op().name());
        let facts = exchange.facts();
        facts.set_operation(operation.name);
        match cx.s3_path() {
            S3Path::Root => {}
            S3Path::Bucket { bucket } => facts.set_target(bucket, None),
            S3Path::Object { bucket, key } => facts.set_target(bucket, Some(key)),
        }
        let query = cx.uri().query().map(str::to_owned);
        let query = query.as_deref();
        if cx.credentials().is_some() {
            guard::host_is_signed(cx.headers(), query)?;
        }
        guard::no_session_token(cx.headers(), query)?;
        let verified = cx.extensions_mut().get::<Verified>().cloned();
        let caller = match verified.as_ref().and_then(|verified| verified.session.clone()) {
            Some(token) => Who::Token(token).into(),
            None => {
                let verified_key = verified.as_ref().and_then(|v| v.access_key.clone());
                let access_key = cx.credentials().map(|c| c.access_key.clone()).or(verified_key);
                self.caller(access_key.as_deref()).await?
            }
        };
        facts.set_caller(caller.id());
        if caller.who == Who::Anonymous {
            guard::anonymous(cx.headers(), query)?;
        }
        if !operation.built {
            return Err(Refusal::not_implemented(operation.name));
        }
        guard::no_fall_through(operation.name, query)?;
        guard::no_hoisted_headers(cx.method(), query)?;
        guard::features(cx.headers())?;
        if operation.name != "CreateBucket" {
            let bucket = cx.s3_path().get_bucket_name().map(str::to_owned);
            let expected = cx.headers().get("x-amz-expected-bucket-owner").cloned();
            if let (Some(bucket), Some(expected)) = (bucket, expected) {
                owned_by(&self.0, &bucket, expected.as_bytes()).await?;
            }
        }
        // Nothing of a request bears on what root may do.
        if caller.who == Who::Root {
            cx.extensions_mut().insert(caller);
            return Ok(());
        }
        let scheme = verified.map_or_else(|| Scheme::of(cx.headers(), query), |verified| verified.scheme);
        let source = cx.extensions_mut().get::<SourceHeader>().map(|source| source.0.clone());
        let context = context::of(facts, cx.headers(), query, scheme, source.as_ref());
        let context = RequestContext { operation: operation::of_policies(operation.name), ..context };
        cx.extensions_mut().insert(caller.in_context(context));
        Ok(())
    }

    async fn caller(&self, access_key: Option<&str>) -> Result<Caller> {
        let Some(access_key) = access_key else { return Ok(Caller::ANONYMOUS) };
        self.0.caller_of(access_key).await?.ok_or_else(|| {
            Refusal::new(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
        })
    }
}

/// Refuses unless the bucket belongs to whom the client expects. A container that is no bucket yet would be root's, for whom
/// may make it one; whoever expects somebody else is told what all others are told of it, whether or not it is there.
pub(super) async fn owned_by(store: &Store, bucket: &str, expected: &[u8]) -> Result<()> {
    let name = BucketName::new(bucket).map_err(|_| Error::NoSuchBucket)?;
    match store.owner_of_bucket(&name).await? {
        Some(owner) if owner.as_bytes() == expected => Ok(()),
        Some(_) => Err(Refusal::denied("Access Denied")),
        None if expected == ROOT.as_bytes() => Ok(()),
        None => Err(Error::NoSuchBucket.into()),
    }
}
