//! The configuration of a bucket as a website; what it then answers is in [`super::site`].
//!
//! **Invariant:** what is kept was [`Website::checked`]; who may not set it learns nothing of what is wrong with it.

use s3s::S3Request;
use s3s::dto::{
    Condition, DeleteBucketWebsiteInput, DeleteBucketWebsiteOutput, ErrorDocument, GetBucketWebsiteInput,
    GetBucketWebsiteOutput, IndexDocument, Protocol as SentProtocol, PutBucketWebsiteInput, PutBucketWebsiteOutput,
    Redirect as SentRedirect, RedirectAllRequestsTo, RoutingRule as SentRule, WebsiteConfiguration,
};

use super::error::{Refusal, Result};
use super::exchange::caller;
use super::gateway::Gateway;
use super::{wire, xml_body};
use crate::model::action::Action;
use crate::model::bucket::BucketConfig;
use crate::model::website::{InvalidWebsite, Protocol, Redirect, Replace, RoutingRule, WEBSITE_BYTES_MAX, Website};

/// GetBucketWebsite.
pub(super) async fn get(
    gateway: &Gateway,
    request: S3Request<GetBucketWebsiteInput>,
) -> Result<GetBucketWebsiteOutput> {
    let name = wire::bucket(&request.input.bucket)?;
    let bucket = gateway.store.config(&caller(&request.extensions), &name, Action::GetBucketWebsite).await?;
    let site = bucket.config.website.as_ref().ok_or_else(|| unset(&request.input.bucket))?;
    let rules: Vec<SentRule> = site.rules.iter().map(shown).collect();
    Ok(GetBucketWebsiteOutput {
        error_document: site.error.clone().map(|key| ErrorDocument { key }),
        index_document: site.index.clone().map(|suffix| IndexDocument { suffix }),
        redirect_all_requests_to: site.elsewhere.clone().map(|(host_name, protocol)| RedirectAllRequestsTo {
            host_name,
            protocol: protocol.map(|protocol| SentProtocol::from_static(protocol.name())),
        }),
        routing_rules: (!rules.is_empty()).then_some(rules),
    })
}

/// 404 for a bucket that is no website.
pub(super) fn unset(bucket: &str) -> Refusal {
    let message = "The specified bucket does not have a website configuration";
    Refusal::new(404, "NoSuchWebsiteConfiguration", message).with("BucketName", bucket)
}

/// PutBucketWebsite.
pub(super) async fn put(
    gateway: &Gateway,
    request: S3Request<PutBucketWebsiteInput>,
) -> Result<PutBucketWebsiteOutput> {
    let name = wire::bucket(&request.input.bucket)?;
    let caller = caller(&request.extensions);
    // Who may not set it learns nothing of what is wrong with it.
    gateway.store.config(&caller, &name, Action::PutBucketWebsite).await?;
    let site = read(request.input.website_configuration)?.checked().map_err(refused)?;
    let change = move |config: &mut BucketConfig, _: &_| {
        config.website = Some(site.clone());
        Ok(())
    };
    gateway.store.change_config(&caller, &name, Action::PutBucketWebsite, change).await?;
    Ok(PutBucketWebsiteOutput::default())
}

/// DeleteBucketWebsite.
pub(super) async fn delete(
    gateway: &Gateway,
    request: S3Request<DeleteBucketWebsiteInput>,
) -> Result<DeleteBucketWebsiteOutput> {
    let name = wire::bucket(&request.input.bucket)?;
    let change = |config: &mut BucketConfig, _: &_| {
        config.website = None;
        Ok(())
    };
    gateway.store.change_config(&caller(&request.extensions), &name, Action::DeleteBucketWebsite, change).await?;
    Ok(DeleteBucketWebsiteOutput::default())
}

fn refused(invalid: InvalidWebsite) -> Refusal {
    match invalid {
        InvalidWebsite::Argument(name, message) => {
            Refusal::new(400, "InvalidArgument", message).with("ArgumentName", name)
        }
        InvalidWebsite::Request(message) => Refusal::request(message),
        InvalidWebsite::Form => Refusal::malformed_xml(),
        InvalidWebsite::TooLong => xml_body::longer_than(WEBSITE_BYTES_MAX),
    }
}

fn read(sent: WebsiteConfiguration) -> Result<Website> {
    let elsewhere = match sent.redirect_all_requests_to {
        Some(all) => Some((all.host_name, protocol(all.protocol.as_ref())?)),
        None => None,
    };
    Ok(Website {
        elsewhere,
        index: sent.index_document.map(|document| document.suffix),
        error: sent.error_document.map(|document| document.key),
        rules: sent.routing_rules.unwrap_or_default().into_iter().map(rule).collect::<Result<_>>()?,
    })
}

fn rule(sent: SentRule) -> Result<RoutingRule> {
    let (prefix, error) = match sent.condition {
        None => (None, None),
        Some(Condition { http_error_code_returned_equals: None, key_prefix_equals: None }) => {
            return Err(Refusal::request(
                "Condition cannot be empty. To redirect all requests without a condition, the condition element \
                 shouldn't be present.",
            ));
        }
        Some(condition) => (condition.key_prefix_equals, status(condition.http_error_code_returned_equals, "error")?),
    };
    let SentRedirect { host_name, http_redirect_code, protocol: sent, replace_key_prefix_with, replace_key_with } =
        sent.redirect;
    let replace = match (replace_key_with, replace_key_prefix_with) {
        (Some(_), Some(_)) => {
            return Err(Refusal::request("You can only define ReplaceKeyPrefix or ReplaceKey but not both."));
        }
        (Some(key), None) => Some(Replace::Key(key)),
        (None, Some(prefix)) => Some(Replace::Prefix(prefix)),
        (None, None) => None,
    };
    let status = status(http_redirect_code, "redirect")?;
    let redirect = Redirect { host: host_name, protocol: protocol(sent.as_ref())?, status, replace };
    Ok(RoutingRule { prefix, error, redirect })
}

fn status(text: Option<String>, what: &str) -> Result<Option<u16>> {
    let Some(text) = text else { return Ok(None) };
    let status = text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    status.map(Some).ok_or_else(|| Refusal::request(format!("The provided HTTP {what} code ({text}) is not valid.")))
}

fn protocol(sent: Option<&SentProtocol>) -> Result<Option<Protocol>> {
    let Some(sent) = sent else { return Ok(None) };
    Protocol::parse(sent.as_str()).map(Some).ok_or_else(|| {
        Refusal::request(
            "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected \
             automatically.",
        )
    })
}

fn shown(rule: &RoutingRule) -> SentRule {
    let condition = Condition {
        http_error_code_returned_equals: rule.error.map(|status| status.to_string()),
        key_prefix_equals: rule.prefix.clone(),
    };
    let (key, prefix) = match rule.redirect.replace.clone() {
        None => (None, None),
        Some(Replace::Key(key)) => (Some(key), None),
        Some(Replace::Prefix(prefix)) => (None, Some(prefix)),
    };
    SentRule {
        condition: (rule.prefix.is_some() || rule.error.is_some()).then_some(condition),
        redirect: SentRedirect {
            host_name: rule.redirect.host.clone(),
            http_redirect_code: rule.redirect.status.map(|status| status.to_string()),
            protocol: rule.redirect.protocol.map(|protocol| SentProtocol::from_static(protocol.name())),
            replace_key_prefix_with: prefix,
            replace_key_with: key,
        },
    }
}
