//! The circumstances of a request, as policy conditions ask for them.
//!
//! **Invariant:** nothing here says who asks, or what is asked about: those come from the caller and the row, and no
//! value in here can stand for them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::service::Permission;
use crate::model::tag::Tag;
use crate::model::time::Timestamp;

/// What is known of a request beside who makes it and what it is about. A front fills in what its protocol has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// `aws:SourceIp`: the peer's address.
    pub source_ip: Option<IpAddr>,
    /// `aws:SecureTransport`: whether it came by TLS.
    pub secure: bool,
    /// When it came; `None`: now.
    pub at: Option<Timestamp>,
    /// `s3:RequestObjectTag/…` and `s3:RequestObjectTagKeys`: the tags that it brings.
    pub tags: Vec<Tag>,
    /// What is being done, as policies of databases know it: `storage.object.upload` and the like.
    pub operation: &'static str,
    /// Further condition keys in lower case (`aws:referer`, `aws:useragent`, `s3:prefix`, `s3:x-amz-acl`), with their
    /// values. A key that is not there was not sent.
    pub values: BTreeMap<String, Vec<String>>,
    /// The function of a FileStore that it is a step of; `None`: each step is asked for by itself.
    pub function: Option<Permission>,
}
