//! A request of S3 that panics, wherever it may be by then: in itself, or in the task that decides a write and has the
//! lock of its key.
//!
//! What panics is a call of the storage. That of the other listener is tested where panics are caught, in
//! `server::exchange`.
//!
//! **Invariant:** it is one 500, and what it held is free again: the next request for the same key is served.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use longshore::auth::secret::{MasterKey, Secret};
use longshore::catalog::sqlite::{self, SqliteCatalog};
use longshore::front::s3::{self, S3Options};
use longshore::metrics::Metrics;
use longshore::model::bucket::{BucketRule, BucketRules};
use longshore::model::place::Layout;
use longshore::provider::Provider;
use longshore::provider::fs::{self, FsProvider};
use longshore::server::fronts::S3;
use longshore::server::{Exchange, Listener};
use longshore::store::{Attach, RootCredentials, Store, StoreParts};
use tokio_util::sync::CancellationToken;

use crate::conformance::store::hooked::{Hooked, Hooks};
use crate::harness::{Client, Keys};

const ACCESS_KEY: &str = "PANICSROOT";
const SECRET: &str = "panics-root-secret-7d20";

/// A store in a directory, whose storage has hooks.
async fn store(home: &std::path::Path, hooks: &Hooks) -> Store {
    let data = home.join("data");
    std::fs::create_dir(&data).expect("a directory");
    let inner = Arc::new(FsProvider::open(&data, fs::Durability::Os).expect("opens"));
    let provider: Arc<dyn Provider> = Arc::new(Hooked::new(inner, hooks.clone()));
    let options = sqlite::OpenOptions { durability: sqlite::Durability::Os, ..sqlite::OpenOptions::default() };
    let catalog = Arc::new(SqliteCatalog::open(&home.join("catalog.db"), options).expect("opens"));
    let rule = BucketRule { pattern: "*".into(), layout: Some(Layout::Natural), ..BucketRule::default() };
    let store = Store::new(StoreParts {
        catalog,
        providers: BTreeMap::from([("default".to_owned(), provider.into())]),
        default_provider: "default".into(),
        inline_bytes_max: 0,
        bucket_rules: BucketRules(vec![rule]),
        master_key: MasterKey::new([7; 32]),
        named_keys: Default::default(),
        targets: Vec::new(),
        region: String::new(),
        root: RootCredentials { access_key: ACCESS_KEY.into(), secret: Secret::new(SECRET) },
    });
    store.attach(Attach::Serve).await.expect("attaches");
    store
}

/// Serves S3 over a store, as the program does, and counts.
async fn served(store: Store) -> (SocketAddr, Arc<Metrics>) {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), 16, Duration::from_secs(5)).await.expect("a port");
    let address = listener.address().expect("its address");
    let front = S3(s3::service(store, S3Options::default()));
    let metrics = Arc::new(Metrics::default());
    let exchange = Exchange::new(front, Arc::clone(&metrics));
    tokio::spawn(listener.serve(exchange, CancellationToken::new()));
    (address, metrics)
}

/// What the storage does instead of its work.
async fn falls() {
    panic!("a call of the storage that panics, as this test wants")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_panics_is_one_500_and_holds_nothing() {
    let (home, hooks) = (tempfile::tempdir().expect("a directory"), Hooks::default());
    let (address, metrics) = served(store(home.path(), &hooks).await).await;
    let root = Client::new(address, Some(Keys::new(ACCESS_KEY, SECRET)));
    root.create_bucket("b-1").await.expect(200);
    root.put("b-1", "k", "before").await.expect(200);
    root.put("b-1", "other", "apart").await.expect(200);
    for (step, method, body, status) in [
        ("stage", "PUT", "one", 200),
        ("lay_out", "PUT", "two", 200),
        ("read", "GET", "", 200),
        ("take_aside", "DELETE", "", 204),
    ] {
        let ask = || root.call(method, "/b-1/k").body(body);
        hooks.before(step, 0, falls);
        let answer = ask().send().await.refused(500, "InternalError");
        assert!(hooks.are_done(), "{step} is no step of {method}");
        assert!(!answer.text().contains("as this test wants"), "{step}: {}", answer.text());
        assert_eq!(answer.elements("RequestId").len(), 1, "{step}: {}", answer.text());
        assert_eq!(root.get("b-1", "other").await.expect(200).text(), "apart", "{step}");
        ask().send().await.expect(status);
    }
    // Two of them in the task that decides: that one is an internal error of the request.
    let told = metrics.text().expect("text");
    assert!(told.lines().any(|line| line == "longshore_panics_total 2"), "{told}");
    root.get("b-1", "k").await.refused(404, "NoSuchKey");
    root.put("b-1", "k", "after").await.expect(200);
    assert_eq!(root.get("b-1", "k").await.expect(200).text(), "after");
}
