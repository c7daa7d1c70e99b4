//! The provider `remote` on a LoopBack application: the suite by what it can do, and files that somebody else has put
//! there, which its disk shows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::StreamExt as _;
use longshore::config::limits::BLOCK_BYTES;
use longshore::model::id::VersionId;
use longshore::model::place::{Displaced, Place};
use longshore::provider::{Body, Capabilities, Error, LaidOut, LayOut, Note};
use tokio::net::{TcpListener, TcpStream};

use super::bed::{Bed, Behaviour, InDirectory, assert_error, behaviours, collect, key, natural, pattern};
use super::clouds::open;
use super::{anywhere, containers, run};
use crate::harness::{Backend, Options, Server, backends, fresh_name};

behaviours![
    files_are_served_in_place,
    an_edit_is_another_stamp,
    a_file_that_changes_during_a_read_cuts_it,
    a_listing_is_in_order_and_shows_keys_only,
    a_file_is_taken_aside_under_its_stamp,
    what_a_failed_removal_left_aside_goes,
    a_file_that_changed_stays,
    a_container_with_a_file_stays,
    a_container_with_a_directory_stays,
    a_copy_of_a_text_that_is_not_whole_does_not_count,
    names_of_ours_are_no_keys,
];

fn disk(backend: &Backend) -> InDirectory {
    InDirectory { root: PathBuf::from(backend.get("LOOPBACK_ROOT")) }
}

async fn behaves(backend: Option<&'static Backend>, list: Vec<(&'static str, Behaviour)>) {
    let Some(backend) = backend else { return };
    let provider = open(backend).await;
    run(list, provider.as_ref(), &disk(backend)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loopback_application_behaves() {
    let backend = backends::loopback("conformance::provider::remote::a_loopback_application_behaves");
    behaves(backend, [anywhere(), all()].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loopback_application_lets_in_who_has_its_token() {
    let test = "conformance::provider::remote::a_loopback_application_lets_in_who_has_its_token";
    let Some(backend) = backends::loopback_with_token(test) else { return };
    behaves(Some(backend), containers::anywhere()).await;
    let without = backend.entry("cloud", "").replace("accessToken", "# ");
    let provider = super::clouds::open_entry(&without).await;
    assert_error!(provider.containers().await, Error::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_can_do_is_pinned() {
    let entry = "[[provider]]\nname = \"cloud\"\nprovider = \"remote\"\nurl = \"http://127.0.0.1:1/api\"\n";
    let provider = super::clouds::open_entry(entry).await;
    let expected = Capabilities { records: true, flat: true, ..Capabilities::default() };
    assert_eq!(provider.capabilities(), expected);
}

/// A server whose containers are ours by its LoopBack interface, and the entry for it.
fn behind(config: &str) -> (Server, String) {
    let mount = "[[loopback.mount]]\npath = \"/api/containers\"\nmax_file_size = 100000000\n";
    let server = Server::with(Options::default().config(&format!("{config}{mount}")));
    server.run(&["user", "create", "far", "--policy", "admin"]);
    let token = server.run(&["token", "create", "--user", "far"]);
    let url = format!("http://{}/api", server.rest);
    let entry = "[[provider]]\nname = \"cloud\"\nprovider = \"remote\"";
    (server, format!("{entry}\nurl = {url:?}\naccessToken = {:?}\n", token.trim()))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_longshore_behaves() {
    let (server, entry) = behind("");
    let provider = super::clouds::open_entry(&entry).await;
    run(anywhere(), provider.as_ref(), &InDirectory { root: server.data().to_owned() }).await;
    let stranger = super::clouds::open_entry(&entry.replace("accessToken", "# ")).await;
    assert_error!(stranger.containers().await, Error::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longshore_before_a_longshore_before_loopback_behaves() {
    let test = "conformance::provider::remote::a_longshore_before_a_longshore_before_loopback_behaves";
    let Some(backend) = backends::loopback(test) else { return };
    let beneath = backend.entry("beneath", &format!("prefix = \"{}-\"\n", fresh_name("t")));
    let (_last, entry) = behind(&format!("{beneath}[server]\ndefault_provider = \"beneath\"\n"));
    let middle = entry.replace("\"cloud\"", "\"middle\"");
    let (_first, entry) = behind(&format!("{middle}[server]\ndefault_provider = \"middle\"\n"));
    let provider = super::clouds::open_entry(&entry).await;
    run(anywhere(), provider.as_ref(), &disk(backend)).await;
}

/// Gives connections on, and counts them.
fn forwarded(listener: std::net::TcpListener, to: SocketAddr) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    listener.set_nonblocking(true).expect("a socket");
    let listener = TcpListener::from_std(listener).expect("a socket");
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    count
}

/// Servers that are each the storage of the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_ring_of_servers_ends() {
    let listeners = [0, 1].map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    let server = |listener: &std::net::TcpListener| {
        let url = format!("http://{}/api", listener.local_addr().expect("an address"));
        let provider =
            "[[provider]]\nname = \"far\"\nprovider = \"remote\"\nretries_max = 0\nread_timeout_seconds = 5\n";
        let mount = "[[loopback.mount]]\npath = \"/api/containers\"\naccess = \"open\"\n";
        let config = format!("{provider}url = {url:?}\n{mount}[server]\ndefault_provider = \"far\"\n");
        Server::with(Options::default().config(&config))
    };
    let servers = [server(&listeners[0]), server(&listeners[1])];
    let [first, second] = listeners;
    let counts = [forwarded(first, servers[1].rest), forwarded(second, servers[0].rest)];
    let client = servers[0].root();
    for _ in 0..3 {
        let answer = client.create_bucket(&fresh_name("ring")).await;
        assert!(matches!(answer.status, 500 | 503), "{answer:?}");
    }
    let counts = counts.map(|count| count.load(Ordering::Relaxed));
    assert!(counts.iter().sum::<usize>() < 100, "{counts:?}");
}

/// A file of somebody else's, with its size.
fn plant(bed: &Bed<'_>, name: &str, body: &[u8]) -> (Place, u64) {
    bed.outside_write(name, body);
    (natural(name), body.len() as u64)
}

async fn files_are_served_in_place(bed: &Bed<'_>) {
    for name in ["k", "ü 1+%#?&", "...", "a'\"b", ".hidden", "html"] {
        for len in [0, 1, 2, BLOCK_BYTES + 1] {
            let body = pattern(len);
            let (place, size) = plant(bed, name, &body);
            let stat = bed.provider.stat(&bed.container, &place).await.expect("there");
            assert_eq!((stat.size, stat.record), (size, None), "{name}");
            assert!(bed.read(&place, &stat.stamp, size).await.expect("read") == body, "{name}");
            for range in [0..len.min(1), len / 2..len, len.saturating_sub(1)..len, 1.min(len)..len / 2 + 1.min(len)] {
                if range.start > range.end || range.end > len {
                    continue;
                }
                let asked = range.start as u64..range.end as u64;
                let read = bed.provider.read(&bed.container, &place, &stat.stamp, asked).await.expect("read");
                assert!(collect(read).await.expect("whole") == body[range.clone()], "{name} {range:?}");
            }
        }
    }
}

async fn an_edit_is_another_stamp(bed: &Bed<'_>) {
    let (place, _) = plant(bed, "k", b"one");
    let before = bed.provider.stat(&bed.container, &place).await.expect("there").stamp;
    plant(bed, "k", b"two");
    let after = bed.provider.stat(&bed.container, &place).await.expect("there").stamp;
    // They may have been written within one unit of its time, and are young then.
    if before != after {
        assert_error!(bed.read(&place, &before, 3).await, Error::StampMismatch);
    }
    assert_eq!(bed.read(&place, &after, 3).await.expect("read"), b"two");
    bed.outside.remove(&bed.container, "k");
    assert_error!(bed.read(&place, &after, 3).await, Error::NotFound);
}

async fn a_file_that_changes_during_a_read_cuts_it(bed: &Bed<'_>) {
    let body = pattern(40 * BLOCK_BYTES);
    let (place, size) = plant(bed, "k", &body);
    let stamp = bed.provider.stat(&bed.container, &place).await.expect("there").stamp;
    let read = bed.provider.read(&bed.container, &place, &stamp, 0..size).await;
    let Ok(Body::Blocks(mut blocks)) = read else { panic!("so many blocks are no whole") };
    let mut got = blocks.next().await.expect("a block").expect("good").len();
    bed.outside_write("k", &body.iter().map(|b| !b).collect::<Vec<u8>>());
    let mut end = None;
    while let Some(block) = blocks.next().await {
        match block {
            Ok(block) => got += block.len(),
            Err(error) => end = Some(error),
        }
    }
    assert!(matches!(end, Some(Error::StampMismatch | Error::Unavailable(_))) && got < body.len(), "{end:?}");
}

async fn a_listing_is_in_order_and_shows_keys_only(bed: &Bed<'_>) {
    let mut names: Vec<String> = (0..300).map(|n| format!("k{}", n * 7919 % 300)).collect();
    names.extend(["a-b", "a0", "b!", "é", "~", ".longshore2"].map(str::to_owned));
    for name in &names {
        bed.outside_write(name, name.as_bytes());
    }
    bed.outside_write("directory/below", b"is of nobody");
    bed.publish("managed", b"is of ours", 1).await;
    names.sort();
    for limit in [1, 7, 100, 1000] {
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = bed.provider.list(&bed.container, "", after.as_deref(), limit).await.expect("listed");
            assert!(page.files.len() <= limit && page.unnameable == 0);
            found.extend(page.files.iter().map(|file| file.key.as_str().to_owned()));
            after = found.last().cloned();
            if !page.more {
                break;
            }
            if limit == 1 && found.len() == 20 {
                found.extend_from_slice(&names[20..]);
                break;
            }
        }
        assert_eq!(found, names, "pages of {limit}");
    }
    let page = bed.provider.list(&bed.container, "k29", Some("k290"), 3).await.expect("listed");
    assert_eq!(page.files.iter().map(|file| file.key.as_str()).collect::<Vec<_>>(), ["k291", "k292", "k293"]);
    let [file] = &bed.provider.list(&bed.container, "~", None, 9).await.expect("listed").files[..] else { panic!() };
    let stat = bed.provider.stat(&bed.container, &natural("~")).await.expect("there");
    assert_eq!((&file.stamp, file.size, file.modified), (&stat.stamp, stat.size, stat.modified));
}

async fn a_file_is_taken_aside_under_its_stamp(bed: &Bed<'_>) {
    let body = pattern(BLOCK_BYTES + 1);
    let (place, size) = plant(bed, "k", &body);
    let stat = bed.provider.stat(&bed.container, &place).await.expect("there");
    let version = VersionId::fresh();
    for _ in 0..2 {
        bed.provider.take_aside(&bed.container, &key("k"), version, &stat.stamp).await.expect("taken, or there");
        assert_eq!(bed.outside_read("k"), None);
        let aside = bed.provider.stat(&bed.container, &Place::Managed(version)).await.expect("aside");
        assert_eq!((aside.stamp, aside.size, aside.modified), (stat.stamp.clone(), size, stat.modified));
    }
    let read = bed.read(&Place::Managed(version), &stat.stamp, size).await;
    assert!(read.expect("aside") == body);
    bed.outside_write("k", b"new work");
    bed.provider.take_aside(&bed.container, &key("k"), version, &stat.stamp).await.expect("is there already");
    assert_eq!(bed.outside_read("k").expect("untouched"), b"new work");
    bed.provider.delete_managed(&bed.container, version, Some(&stat.stamp)).await.expect("freed");
    assert_eq!(bed.managed_count().await, 0);
}

/// A removal that fails behind the copy leaves the file at both places: an edit of the one would be undone by the other.
async fn what_a_failed_removal_left_aside_goes(bed: &Bed<'_>) {
    let (place, size) = plant(bed, "k", b"bytes");
    let stat = bed.provider.stat(&bed.container, &place).await.expect("there");
    let (version, name) = (VersionId::fresh(), key("k"));
    let directory = bed.outside.directory(&bed.container);
    std::fs::hard_link(directory.join("k"), directory.join("saved")).expect("links");
    bed.provider.take_aside(&bed.container, &name, version, &stat.stamp).await.expect("taken");
    std::fs::rename(directory.join("saved"), directory.join("k")).expect("as a removal that failed leaves it");
    let step = LayOut { version, stamp: &stat.stamp, key: &name, over: None, displaced: Displaced::Free, counter: 1 };
    assert_eq!(bed.provider.lay_out(&bed.container, step).await.expect("it is there"), LaidOut::Done);
    assert_eq!(bed.read(&place, &stat.stamp, size).await.expect("at its key"), b"bytes");
    assert_eq!(bed.managed_count().await, 0);
}

async fn a_file_that_changed_stays(bed: &Bed<'_>) {
    let (place, _) = plant(bed, "k", b"one");
    let stamp = bed.provider.stat(&bed.container, &place).await.expect("there").stamp;
    bed.outside_write("k", b"an edit");
    let taken = bed.provider.take_aside(&bed.container, &key("k"), VersionId::fresh(), &stamp).await;
    assert_error!(taken, Error::StampMismatch);
    assert_eq!(bed.outside_read("k").expect("there"), b"an edit");
    assert_eq!(bed.managed_count().await, 0);
    let put = bed.publish("k", b"bytes", 1).await;
    assert!(
        matches!(bed.lay_out(&put, None).await, Ok(LaidOut::Superseded) | Err(Error::Clash)),
        "nothing is replaced"
    );
    assert_eq!(bed.outside_read("k").expect("there"), b"an edit");
}

async fn a_container_with_a_file_stays(bed: &Bed<'_>) {
    bed.publish("k", b"managed", 1).await;
    bed.outside_write("theirs", b"bytes");
    assert!(!bed.provider.is_vacant(&bed.container).await.expect("looked"));
    assert_error!(bed.provider.delete_container(&bed.container).await, Error::NotEmpty);
    assert_eq!(bed.outside_read("theirs").expect("untouched"), b"bytes");
    assert_eq!(bed.managed_count().await, 1);
    bed.outside.remove(&bed.container, "theirs");
    assert!(bed.provider.is_vacant(&bed.container).await.expect("looked"));
    bed.provider.delete_container(&bed.container).await.expect("what is ours does not count");
    assert!(!bed.outside.directory(&bed.container).exists());
}

async fn a_container_with_a_directory_stays(bed: &Bed<'_>) {
    bed.outside_write("directory/file", b"bytes");
    assert_error!(bed.provider.delete_container(&bed.container).await, Error::NotEmpty);
    assert_eq!(bed.outside_read("directory/file").expect("untouched"), b"bytes");
}

async fn a_copy_of_a_text_that_is_not_whole_does_not_count(bed: &Bed<'_>) {
    let (p, container) = (bed.provider, &bed.container);
    for text in ["one", "two", "three"] {
        p.write_note(container, Note::Id, Bytes::from(text)).await.expect("written");
        let names = [0, 1].map(|slot| format!(".longshore.n.id.{slot}"));
        let copies: Vec<&String> = names.iter().filter(|name| bed.outside_read(name).is_some()).collect();
        let [copy] = copies[..] else { panic!("{copies:?}") };
        let other = names.iter().find(|name| *name != copy).expect("two slots");
        // As a crash leaves it while the next text is written.
        bed.outside_write(other, b"longshore-slip 9 0cc175b9c0f1b6a831c39");
        assert_eq!(p.read_note(container, Note::Id).await.expect("read"), Some(Bytes::from(text)));
    }
}

async fn names_of_ours_are_no_keys(bed: &Bed<'_>) {
    let put = bed.publish("k", b"bytes", 1).await;
    let on_disk: Vec<String> = std::fs::read_dir(bed.outside.directory(&bed.container))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    assert_eq!(on_disk.len(), 2, "the bytes and the slip: {on_disk:?}");
    for name in on_disk {
        assert!(name.starts_with(".longshore.") && !name.contains('/'), "{name}");
        assert_error!(bed.provider.stat(&bed.container, &natural(&name)).await, Error::NotFound);
        let taken = bed.provider.take_aside(&bed.container, &key(&name), VersionId::fresh(), &put.stamp).await;
        assert_error!(taken, Error::NotFound);
    }
    for name in ["a/b", "..", "../x", "a\\b", "a//b", "/a", "a/"] {
        assert_error!(bed.provider.stat(&bed.container, &natural(name)).await, Error::NotFound);
    }
    // What was written of a name that cannot be one is told by nothing but its record.
    let odd = bed.publish("../../a//b\\", b"odd", 2).await;
    assert_eq!(bed.read(&odd.managed(), &odd.stamp, 3).await.expect("read"), b"odd");
}
