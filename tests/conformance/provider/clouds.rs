//! The suite of the provider trait on the clouds, each as the configuration opens it.

use std::sync::Arc;

use longshore::app::{Opening, open_provider};
use longshore::config::{Config, Durability, Overrides};
use longshore::provider::Provider;

use super::outside::InCloud;
use super::{all, containers, multipart, run};
use crate::harness::{Backend, backends};

/// The provider of a backend, by the configuration.
pub(super) async fn open(backend: &Backend) -> Arc<dyn Provider> {
    open_entry(&backend.entry("cloud", "")).await
}

/// The provider of an entry that is called `cloud`.
pub(super) async fn open_entry(entry: &str) -> Arc<dyn Provider> {
    let text = format!("[server]\ndefault_provider = \"cloud\"\n{entry}");
    let config = Config::parse(&text, &Overrides::default()).expect("a sound configuration");
    let provider = config.providers.iter().find(|provider| provider.name == "cloud").expect("it is there");
    open_provider(provider, (Durability::Fsync, false), Opening::Change, None).await.expect("opens")
}

async fn behaves(backend: Option<&'static Backend>) {
    let Some(backend) = backend else { return };
    let provider = open(backend).await;
    run(all(), provider.as_ref(), &InCloud::of(backend)).await;
}

/// The same storage behind another identity service: what each kind of request is let in by is shown by a few of them.
async fn behaves_alike(backend: Option<&'static Backend>) {
    let Some(backend) = backend else { return };
    let provider = open(backend).await;
    run([containers::all(), multipart::all()].concat(), provider.as_ref(), &InCloud::of(backend)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amazon_behaves() {
    behaves(backends::amazon("conformance::provider::clouds::amazon_behaves")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_behaves() {
    behaves(backends::azure("conformance::provider::clouds::azure_behaves")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_behaves() {
    behaves(backends::google("conformance::provider::clouds::google_behaves")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openstack_behaves() {
    behaves(backends::openstack("conformance::provider::clouds::openstack_behaves")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openstack_behaves_behind_keystone() {
    behaves_alike(backends::keystone("conformance::provider::clouds::openstack_behaves_behind_keystone")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rackspace_behaves() {
    behaves_alike(backends::rackspace("conformance::provider::clouds::rackspace_behaves")).await;
}
