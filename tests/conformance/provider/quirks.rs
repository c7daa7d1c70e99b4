//! What only some storages have: made there by the storage's own client, and met by the provider.
//!
//! **Invariant:** each test failed before what it shows was mended, unless it says that its emulator judges less than the
//! service does.

use std::time::Duration;

use bytes::Bytes;
use longshore::model::id::VersionId;
use longshore::model::name::BucketName;
use longshore::model::object::Content;
use longshore::model::secret::Secret;
use longshore::model::time::Timestamp;
use longshore::provider::cloud::azure::Azure;
use longshore::provider::cloud::payload::Payload;
use longshore::provider::cloud::service::{At, Service as _, When};
use longshore::provider::settings::{AzureConfig, AzureCredentials, TransportConfig};
use longshore::provider::{Error, LaidOut};
use serde_json::json;
use tokio::time::timeout;

use super::bed::{Bed, Outside as _, assert_error, key, natural, pattern};
use super::clouds::open;
use super::outside::InCloud;
use crate::conformance::store::md5_hex;
use crate::harness::{Backend, Options, Server, backends, fresh_name};

/// Larger than what goes in one request.
const LARGE: usize = 9 * 1024 * 1024;
/// Later than anything.
const END: Timestamp = Timestamp(i64::MAX);

/// Names of a container that begin with a prefix, as the storage has them.
fn below(outside: &InCloud, container: &BucketName, prefix: &str) -> Vec<String> {
    outside.names(container).into_iter().filter(|name| name.starts_with(prefix)).collect()
}

/// What is archived is there, and nothing that needs its bytes fails as if it were to be tried again, or removes it.
async fn archived_bytes_are_told_as_such(backend: Option<&'static Backend>) {
    let Some(backend) = backend else { return };
    let (provider, outside) = (open(backend).await, InCloud::of(backend));
    let bed = Bed::new(provider.as_ref(), &outside, &fresh_name("cold")).await;
    outside.write_as("archived", &bed.container, "cold", b"archived bytes");
    let stat = provider.stat(&bed.container, &natural("cold")).await.expect("it is there");
    assert_eq!(stat.size, 14);
    assert_error!(bed.read(&natural("cold"), &stat.stamp, 14).await, Error::Archived);
    assert_eq!(bed.read(&natural("cold"), &stat.stamp, 0).await.expect("a look needs no bytes"), b"");
    let aside = provider.take_aside(&bed.container, &key("cold"), VersionId::fresh(), &stat.stamp).await;
    assert_error!(aside, Error::Archived);
    assert_eq!(provider.stat(&bed.container, &natural("cold")).await.expect("it stays").stamp, stat.stamp);
    // It goes from where it is, and nothing else does.
    outside.write_as("archived", &bed.container, "old", b"old");
    let old = provider.stat(&bed.container, &natural("old")).await.expect("there").stamp;
    provider.remove_archived(&bed.container, &key("cold"), &old).await.expect("others are there");
    assert_eq!(provider.stat(&bed.container, &natural("cold")).await.expect("it stays").stamp, stat.stamp);
    for _ in 0..2 {
        provider.remove_archived(&bed.container, &key("old"), &old).await.expect("removed");
        assert_error!(provider.stat(&bed.container, &natural("old")).await, Error::NotFound);
    }
    // A write goes over it, as over any other object.
    let put = bed.publish("cold", b"ours", 1).await;
    assert_eq!(bed.lay_out(&put, Some(&stat.stamp)).await.expect("laid out"), LaidOut::Done);
    assert_eq!(bed.outside_read("cold").expect("there"), b"ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn amazon_archives() {
    archived_bytes_are_told_as_such(backends::amazon("conformance::provider::quirks::amazon_archives")).await;
}

/// The service writes over nothing that is archived; its emulator copies over it.
#[tokio::test(flavor = "multi_thread")]
async fn azure_archives() {
    archived_bytes_are_told_as_such(backends::azure("conformance::provider::quirks::azure_archives")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_what_is_archived() {
    let test = "conformance::provider::quirks::clients_are_told_what_is_archived";
    let Some(backend) = backends::amazon(test) else { return };
    let (outside, prefix) = (InCloud::of(backend), format!("{}-", fresh_name("cold")));
    let container = BucketName::new(&format!("{prefix}theirs")).expect("a legal name");
    outside.create(&container);
    outside.write_as("archived", &container, "cold", b"archived bytes");
    outside.write(&container, "warm", b"bytes");
    let more = format!("prefix = {prefix:?}\nlayout = \"natural\"\n");
    let config = format!("{}[server]\ndefault_provider = \"cloud\"\n", backend.entry("cloud", &more));
    let server = Server::with(Options::default().config(&config));
    let client = server.root();
    let file = server.data().parent().expect("a directory around it").join("longshore.toml");
    server.run(&["scan", "--hash", "--bucket", "theirs", "--config", file.to_str().expect("UTF-8")]);
    let listed = client.call("GET", "/theirs").query("list-type", "2").send().await.expect(200);
    assert_eq!(listed.elements("Key"), ["cold", "warm"]);
    client.get("theirs", "cold").await.refused(403, "InvalidObjectState");
    assert_eq!(client.head("theirs", "cold").await.expect(200).header("content-length"), Some("14"));
    assert_eq!(client.get("theirs", "warm").await.expect(200).body, b"bytes"[..]);
    client.delete("theirs", "cold").await.expect(204);
    client.get("theirs", "cold").await.expect(404);
    server.until_settled();
    assert!(outside.stat(&container, "cold").is_none());
    assert_eq!(client.keys_of("theirs", "").await, ["warm"]);
}

/// The ETag of what the service keeps encrypted by a key of its own has the form of an MD5, and is none.
#[tokio::test(flavor = "multi_thread")]
async fn an_etag_of_encrypted_bytes_is_no_md5() {
    let test = "conformance::provider::quirks::an_etag_of_encrypted_bytes_is_no_md5";
    let Some(backend) = backends::amazon(test) else { return };
    let (provider, outside) = (open(backend).await, InCloud::of(backend));
    let bed = Bed::new(provider.as_ref(), &outside, &fresh_name("sealed")).await;
    for name in ["a", "b", "c"] {
        outside.write_as("sealed", &bed.container, name, name.as_bytes());
    }
    outside.write(&bed.container, "plain", b"bytes");
    let plain = provider.stat(&bed.container, &natural("plain")).await.expect("there");
    assert_eq!(plain.foreign.expect("somebody's").etag, Some(md5_hex(b"bytes")));
    let mut stamps = Vec::new();
    for name in ["a", "b", "c"] {
        let stat = provider.stat(&bed.container, &natural(name)).await.expect("there");
        assert_eq!(stat.foreign.expect("somebody's").etag, None, "{name}");
        stamps.push(stat.stamp);
    }
    // A scan that knows them does not have to look again.
    let page = provider.list(&bed.container, "", None, 10).await.expect("listed");
    for (file, stamp) in page.files.iter().zip(&stamps) {
        assert!(file.md5.is_none() && stamp.may_show_as(&file.stamp), "{file:?} {stamp:?}");
    }
}

/// An upload at a key could be anybody's. What a lay-out left that was cut off is known, and goes with the next sweep.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_at_keys_are_swept() {
    let Some(backend) = backends::amazon("conformance::provider::quirks::uploads_at_keys_are_swept") else { return };
    let (provider, outside) = (open(backend).await, InCloud::of(backend));
    let bed = Bed::new(provider.as_ref(), &outside, &fresh_name("uploads")).await;
    let notes = || below(&outside, &bed.container, ".longshore/uploads/");
    let note_of = |id: &str| format!(".longshore/uploads/{}", md5_hex(id.as_bytes()));
    bed.place("whole", &pattern(LARGE), 1).await;
    assert_eq!((outside.uploads(&bed.container), notes()), (vec![], vec![]), "a lay-out that ended leaves nothing");

    // Cut off anywhere it leaves no part that is not noted.
    let put = bed.publish("cut", &pattern(LARGE), 1).await;
    let mut wait = Duration::from_millis(1);
    while timeout(wait, bed.lay_out(&put, None)).await.is_err() {
        let begun = outside.uploads(&bed.container);
        let noted = notes();
        for (key, id, parts) in &begun {
            assert!(*parts == 0 || noted.contains(&note_of(id)), "{parts} parts at {key} after {wait:?}");
        }
        wait = wait * 5 / 4 + Duration::from_millis(1);
    }
    assert_eq!(bed.lay_out(&put, None).await.expect("laid out"), LaidOut::Done);

    let [ours, theirs] = ["k/\u{fc}", "theirs"].map(|key| outside.begin_upload(&bed.container, key));
    let note = json!({"upload": ours, "key": "k/\u{fc}"}).to_string();
    outside.write(&bed.container, &note_of(&ours), note.as_bytes());
    outside.write(&bed.container, ".longshore/uploads/none", b"no note");
    assert_eq!(provider.sweep_staged(&bed.container, Timestamp(0)).await.expect("swept"), 0, "all is young");
    let under_way = |id: &String| outside.uploads(&bed.container).iter().any(|(_, upload, _)| upload == id);
    assert!(under_way(&ours) && notes().contains(&note_of(&ours)));
    assert!(provider.sweep_staged(&bed.container, END).await.expect("swept") >= 1);
    assert!(!under_way(&ours) && under_way(&theirs));
    assert_eq!(notes(), [".longshore/uploads/none"]);
    let left = outside.uploads(&bed.container);
    assert!(left.iter().all(|(_, _, parts)| *parts == 0), "{left:?}");
    assert_eq!(bed.outside_read("cut").expect("laid out").len(), LARGE);
}

/// Of what a blob keeps beside itself nothing goes with it: the administrator decides.
#[tokio::test(flavor = "multi_thread")]
async fn a_blob_with_snapshots_stays() {
    let Some(backend) = backends::azure("conformance::provider::quirks::a_blob_with_snapshots_stays") else { return };
    let (provider, outside) = (open(backend).await, InCloud::of(backend));
    let bed = Bed::new(provider.as_ref(), &outside, &fresh_name("snapshots")).await;
    outside.write_as("snapshot", &bed.container, "kept", b"bytes");
    let stat = provider.stat(&bed.container, &natural("kept")).await.expect("there");
    let taken = provider.take_aside(&bed.container, &key("kept"), VersionId::fresh(), &stat.stamp).await;
    assert_error!(taken, Error::Denied);
    assert_eq!(bed.outside_read("kept").expect("it stays"), b"bytes");
}

/// A blob can be written over by none but one of its type. The emulator judges that of blocks and not of a copy, so the
/// copy is one with other headers, which is made of blocks.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_blob_gives_way() {
    let Some(backend) = backends::azure("conformance::provider::quirks::an_append_blob_gives_way") else { return };
    let (provider, outside) = (open(backend).await, InCloud::of(backend));
    let bed = Bed::new(provider.as_ref(), &outside, &fresh_name("append")).await;
    outside.write_as("appended", &bed.container, "first", b"a log");
    let there = provider.stat(&bed.container, &natural("first")).await.expect("there").stamp;
    let put = bed.publish("first", b"ours", 1).await;
    assert_eq!(bed.lay_out(&put, Some(&there)).await.expect("laid out"), LaidOut::Done);
    assert_eq!(bed.outside_read("first").expect("there"), b"ours");

    let config = AzureConfig {
        account: backend.get("AZURE_STORAGE_ACCOUNT_NAME").to_owned(),
        credentials: AzureCredentials::AccessKey(Secret::new(backend.get("AZURE_STORAGE_ACCOUNT_KEY"))),
        endpoint: Some(backend.get("AZURE_STORAGE_ENDPOINT").to_owned()),
    };
    let azure = Azure::open("azure", &config, TransportConfig::default()).await.expect("opens");
    let container = bed.container.as_str();
    let (source, log) = (At { container, name: "source" }, At { container, name: "log" });
    let of_type = |kind: &str| Content { content_type: Some(kind.to_owned()), ..Content::default() };
    let body = Payload::from(Bytes::from_static(b"ours"));
    azure.put(source, &body, &of_type("text/plain"), When::Always).await.expect("written");
    let ours = azure.head(source).await.expect("there");
    outside.write_as("appended", &bed.container, "log", b"a log");
    let theirs = azure.head(log).await.expect("there");
    let other = azure.copy(source, &ours, log, &of_type("text/css"), When::Is(&ours.tag)).await;
    assert_error!(other, Error::StampMismatch);
    assert_error!(azure.copy(source, &ours, log, &of_type("text/css"), When::Always).await, Error::Failed(_));
    assert_eq!(bed.outside_read("log").expect("what nobody named stays"), b"a log");
    azure.copy(source, &ours, log, &of_type("text/css"), When::Is(&theirs.tag)).await.expect("copied");
    assert_eq!(bed.outside_read("log").expect("there"), b"ours");
}

/// A listing shows the manifest of a dynamic large object as an empty object, with the MD5 of nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_dynamic_large_object_is_looked_at() {
    let test = "conformance::provider::quirks::a_dynamic_large_object_is_looked_at";
    let Some(backend) = backends::openstack(test) else { return };
    let (provider, outside) = (open(backend).await, InCloud::of(backend));
    let bed = Bed::new(provider.as_ref(), &outside, &fresh_name("dynamic")).await;
    outside.write(&bed.container, "parts/1", b"one, ");
    outside.write(&bed.container, "parts/2", b"two");
    outside.write_as("manifest", &bed.container, "large", b"parts/");
    let page = provider.list(&bed.container, "", None, 10).await.expect("listed");
    let shown: Vec<_> = page.files.iter().map(|file| (file.key.as_str(), file.size, file.md5.is_some())).collect();
    assert_eq!(shown, [("large", 0, false), ("parts/1", 5, true), ("parts/2", 3, true)]);
    let stat = provider.stat(&bed.container, &natural("large")).await.expect("there");
    assert_eq!((stat.size, stat.foreign.expect("somebody's").etag), (8, None));
}

/// A segment that was still being copied when its body was given up, or that no listing showed then.
#[tokio::test(flavor = "multi_thread")]
async fn segments_that_come_late_are_swept() {
    let test = "conformance::provider::quirks::segments_that_come_late_are_swept";
    let Some(backend) = backends::openstack(test) else { return };
    let (provider, outside) = (open(backend).await, InCloud::of(backend));
    let bed = Bed::new(provider.as_ref(), &outside, &fresh_name("segments")).await;
    let segments = || below(&outside, &bed.container, ".longshore/segments/");
    let put = bed.publish("k", &pattern(LARGE), 1).await;
    assert!(segments().len() >= 3, "two segments and their owner");
    provider.delete_managed(&bed.container, put.version, Some(&put.stamp)).await.expect("freed");
    let left = segments();
    let [owner] = &left[..] else { panic!("only the owner stays: {left:?}") };
    let late = owner.replace("/owner", "/00000099");
    outside.write(&bed.container, &late, b"copied all the while");
    let stays = bed.publish("k", &pattern(LARGE), 2).await;
    let of_both = segments().len();
    assert_eq!(provider.sweep_staged(&bed.container, END).await.expect("swept"), 1);
    assert_eq!(segments().len(), of_both - 1, "the late one is gone");
    assert!(!segments().contains(&late) && segments().contains(owner));
    assert_eq!(provider.sweep_staged(&bed.container, END).await.expect("swept"), 0);
    assert!(!segments().contains(owner), "nothing is left, and nothing comes any more");
    let read = bed.read(&stays.managed(), &stays.stamp, LARGE as u64).await.expect("what is in use stays");
    assert!(read == pattern(LARGE));
}
