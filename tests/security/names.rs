//! Names that try to be something else: paths out of the root, other buckets, our own files.
//!
//! **Invariant:** a name comes back byte for byte or is refused with 400, whichever way it came in; what it names lies
//! in its own bucket.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use percent_encoding::percent_decode_str;

use super::operations::OPERATIONS;
use super::site::{BUCKET, BYTES, Site};
use crate::harness::sign::escape;
use crate::harness::{Answer, Options, Signed};

const MANAGED: &str = "[[bucket]]\nmatch = \"*\"\nlayout = \"managed\"\n";
const MEMORY: &str = "[[provider]]\nname = \"default\"\nprovider = \"memory\"\n";

/// Names that are keys, however they look.
const KEYS: [&str; 47] = [
    "..",
    ".",
    "...",
    "../x",
    "../../../../../../etc/passwd",
    "../other/stolen",
    "./x",
    "x/.",
    "x/..",
    "x/../../other/stolen",
    "x/./y",
    "%2e%2e",
    "%2e%2e%2fother%2fstolen",
    "%252e%252e%252f",
    "..%2fother",
    "..%c0%af",
    "..\\..\\other",
    "\\\\host\\share",
    "C:\\x",
    "/etc/passwd",
    "//etc/passwd",
    "/",
    "//",
    "x//y",
    "x/",
    "cr\rx",
    "lf\nx",
    "crlf\r\nset-cookie: a",
    "tab\tx",
    "control\u{1}\u{1f}x",
    "delete\u{7f}x",
    "next line\u{85}x",
    "bidi\u{202e}gnp.x",
    "zero\u{200b}width\u{feff}",
    "nfc \u{e9}",
    "nfd e\u{301}",
    "-rf",
    "x --delete",
    "x;rm",
    "$(x)`x`",
    "'; DROP TABLE objects; --",
    "<x>&\"'",
    "x?versionId=null#x",
    "CON",
    ".longshore2/x",
    "x/.longshore/objects/x",
    ".git/config",
];

/// Names that are none.
const REFUSED: [&str; 8] = [
    "nul\0x",
    "\0",
    ".longshore",
    ".longshore/",
    ".longshore/id",
    ".longshore/objects/00/x",
    "not a character \u{fffe}",
    "not a character \u{ffff}",
];

/// Keys that are odd and legal.
const ODD: [&str; 17] = [
    "a",
    "a/b",
    "a//b",
    "/a",
    "a/",
    "a#1",
    "a b",
    " a",
    "a ",
    "a+b",
    "a%b",
    "a%20b",
    "~",
    "a~",
    "\u{1f600}",
    "A",
    "a/B",
];

fn keys() -> Vec<String> {
    let long = ["s".repeat(255), "s".repeat(256), "s".repeat(1024), "d/".repeat(500), "\u{e9}".repeat(512)];
    KEYS.iter().map(|key| (*key).to_owned()).chain(long).collect()
}

fn refused() -> Vec<String> {
    REFUSED.iter().map(|key| (*key).to_owned()).chain(["s".repeat(1025), "\u{e9}".repeat(513)]).collect()
}

/// Every byte of a key escaped, also those that need it not. The signature is of what is meant, so it still fits.
fn spelled_out(bucket: &str, key: &str) -> impl FnOnce(&mut Signed) + Send + use<> {
    let key: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let target = format!("/{bucket}/{key}");
    move |signed| {
        let query = signed.target.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
        signed.target = target + &query;
    }
}

/// The keys of a bucket, as they are.
async fn listed(site: &Site, bucket: &str, prefix: &str) -> BTreeSet<String> {
    let call = site.root.call("GET", &format!("/{bucket}")).query("list-type", "2").query("encoding-type", "url");
    decoded(&call.query("prefix", prefix).send().await.expect(200))
}

fn decoded(answer: &Answer) -> BTreeSet<String> {
    let decode = |key: String| percent_decode_str(&key).decode_utf8().expect("UTF-8").into_owned();
    answer.elements("Key").into_iter().map(decode).collect()
}

async fn two_buckets(options: Options) -> Site {
    let site = Site::with(options).await;
    site.root.create_bucket("other").await.expect(200);
    site.root.put("other", "secret", "bytes of the other bucket").await.expect(200);
    site
}

#[tokio::test]
async fn hostile_names_in_the_path_come_back_or_are_refused() {
    for options in [Options::default(), Options::default().config(MANAGED)] {
        let site = two_buckets(options).await;
        let before = site.seen().await;
        for (n, key) in keys().iter().enumerate() {
            let put = site.root.call("PUT", &format!("/{BUCKET}/{key}")).body(format!("{n} {key}"));
            let put = if n % 2 == 0 { put } else { put.spoil(spelled_out(BUCKET, key)) };
            let answer = put.send().await;
            assert_eq!(answer.status, 200, "PUT {key:?}: {}", answer.text());
        }
        let all: BTreeSet<String> = keys().into_iter().chain(["gold/bar".to_owned()]).collect();
        assert_eq!(listed(&site, BUCKET, "").await, all, "what is listed is not what was written");
        for (n, key) in keys().iter().enumerate() {
            let get = site.root.call("GET", &format!("/{BUCKET}/{key}"));
            let get = if n % 2 == 1 { get } else { get.spoil(spelled_out(BUCKET, key)) };
            let answer = get.send().await;
            assert_eq!((answer.status, answer.text()), (200, format!("{n} {key}")), "GET {key:?}");
        }
        assert_eq!(listed(&site, "other", "").await, ["secret".to_owned()].into(), "another bucket was written to");
        for key in keys() {
            site.root.delete(BUCKET, &key).await.expect(204);
        }
        site.settles_to(&before, "hostile names").await;
        for key in refused() {
            for method in ["PUT", "GET", "HEAD", "DELETE"] {
                for spell in [false, true] {
                    let call = site.root.call(method, &format!("/{BUCKET}/{key}"));
                    let call = if spell { call.spoil(spelled_out(BUCKET, &key)) } else { call };
                    let answer = call.send().await;
                    assert_eq!(answer.status, 400, "{method} {key:?}: {}", answer.text());
                }
            }
        }
        site.settles_to(&before, "names that are refused").await;
    }
}

#[tokio::test]
async fn hostile_names_as_sources_of_copies() {
    let site = two_buckets(Options::default()).await;
    let before = site.seen().await;
    for key in keys() {
        site.root.put(BUCKET, &key, key.clone()).await.expect(200);
        let every: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for source in [format!("/{BUCKET}/{}", escape(&key, true)), format!("{BUCKET}%2F{every}")] {
            let copy = site.root.call("PUT", &format!("/{BUCKET}/copied")).header("x-amz-copy-source", &source);
            let answer = copy.send().await;
            assert_eq!(answer.status, 200, "{key:?} as {source}: {}", answer.text());
            assert_eq!(site.root.get(BUCKET, "copied").await.expect(200).text(), key, "{source} copied something else");
        }
        site.root.delete(BUCKET, &key).await.expect(204);
    }
    site.root.delete(BUCKET, "copied").await.expect(204);
    let none = refused().into_iter().map(|key| (format!("{BUCKET}/{}", escape(&key, true)), &[400][..]));
    let tricks = [
        ("../vault/gold/bar", &[400, 404][..]),
        ("./vault/gold/bar", &[400, 404]),
        ("%2e%2e/vault/gold/bar", &[400, 404]),
        ("..%2Fvault%2Fgold%2Fbar", &[400, 404]),
        ("vault/../other/secret", &[404]),
        ("vault/%2e%2e/other/secret", &[404]),
        ("vault%2f..%2fother%2fsecret", &[404]),
        ("vault/..%252fother%252fsecret", &[404]),
        ("other%00/secret", &[400]),
        (".longshore/catalog.db", &[400]),
        ("%2elongshore/master.key", &[400]),
        ("vault/.longshore/id", &[400]),
        ("vault/%2elongshore/id", &[400]),
        ("vault/gold/bar?versionId=..", &[400, 404]),
        ("vault/gold/bar%3FversionId=null", &[404]),
        ("vault", &[400]),
        ("vault/", &[400]),
        ("/", &[400]),
        ("//gold/bar", &[400]),
        ("", &[400]),
        ("http://localhost/vault/gold/bar", &[400, 404]),
        ("file:///etc/passwd", &[400, 404]),
        ("arn:aws:s3:::vault/gold/bar", &[400, 501]),
        ("vault/%ff", &[400]),
    ];
    for (source, wanted) in tricks.map(|(source, wanted)| (source.to_owned(), wanted)).into_iter().chain(none) {
        let copy = site.root.call("PUT", &format!("/{BUCKET}/copied")).header("x-amz-copy-source", &source);
        let answer = copy.send().await;
        assert!(wanted.contains(&answer.status), "{source:?}: {} {}", answer.status, answer.text());
    }
    site.settles_to(&before, "copies of hostile names").await;
}

fn xml(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '\r' | '\n' | '\t' => safe.push_str(&format!("&#{};", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}

async fn delete(site: &Site, keys: &[String]) -> Answer {
    let objects: String = keys.iter().map(|key| format!("<Object><Key>{}</Key></Object>", xml(key))).collect();
    let body = format!("<Delete>{objects}</Delete>");
    let md5 = BASE64.encode(Md5::digest(body.as_bytes()));
    let call = site.root.call("POST", &format!("/{BUCKET}")).query("delete", "");
    call.header("content-md5", &md5).body(body).send().await
}

#[tokio::test]
async fn hostile_names_in_a_list_of_deletions() {
    let site = two_buckets(Options::default()).await;
    let before = site.seen().await;
    // Characters that XML cannot carry have no way in here.
    let (in_xml, not): (Vec<_>, Vec<_>) = keys().into_iter().partition(|key| !key.contains('\u{1}'));
    for key in in_xml.iter().chain(&not) {
        site.root.put(BUCKET, key, "x").await.expect(200);
    }
    let answer = delete(&site, &in_xml).await.expect(200);
    assert_eq!(answer.elements("Deleted").len(), in_xml.len(), "{}", answer.text());
    assert_eq!(answer.elements("Code"), Vec::<String>::new());
    for key in &not {
        let answer = delete(&site, std::slice::from_ref(key)).await;
        // As a character that is not legal, or as the byte itself, it is no XML; at most it is the key that it looks like.
        assert!(matches!(answer.status, 200 | 400), "{key:?}: {}", answer.text());
        site.root.delete(BUCKET, key).await.expect(204);
    }
    site.settles_to(&before, "deletions of hostile names").await;
    let ours: Vec<String> = refused().into_iter().filter(|key| key.starts_with('.') || key.len() > 1024).collect();
    let tricks = ["/gold/bar", "./gold/bar", "gold/../gold/bar", "gold%2Fbar", "../vault/gold/bar", "GOLD/BAR"];
    let answer = delete(&site, &ours).await.expect(200);
    assert_eq!(answer.elements("Error").len(), ours.len(), "{}", answer.text());
    assert_eq!(answer.elements("Deleted").len(), 0, "{}", answer.text());
    delete(&site, &tricks.map(str::to_owned)).await.expect(200);
    site.settles_to(&before, "deletions of names that look like others").await;
}

#[tokio::test]
async fn hostile_names_in_the_query() {
    let site = two_buckets(Options::default()).await;
    let before = site.seen().await;
    let bucket = format!("/{BUCKET}");
    for name in keys().into_iter().chain(refused()) {
        for (list, parameter) in [
            ("list-type", "prefix"),
            ("list-type", "start-after"),
            ("list-type", "delimiter"),
            ("list-type", "continuation-token"),
            ("list-type", "encoding-type"),
            ("marker", "marker"),
            ("versions", "key-marker"),
            ("versions", "version-id-marker"),
            ("uploads", "key-marker"),
            ("uploads", "upload-id-marker"),
        ] {
            let mut call = site.root.call("GET", &bucket).query(parameter, &name);
            if list != parameter {
                call = call.query(list, if list == "list-type" { "2" } else { "" });
            }
            let answer = call.send().await;
            let what = format!("{parameter}={name:?}");
            assert!(matches!(answer.status, 200 | 400), "{what}: {} {}", answer.status, answer.text());
            assert!(!answer.text().contains("secret"), "{what} tells of another bucket: {}", answer.text());
            if parameter == "prefix" && answer.status == 200 {
                assert_eq!(answer.elements("Key").len(), 0, "{what}: {}", answer.text());
            }
        }
        for operation in OPERATIONS
            .iter()
            .filter(|operation| operation.name.ends_with("_part") || operation.name.starts_with("abort"))
        {
            let answer = operation.call(&site.root, BUCKET, &name).send().await;
            let refused = matches!(answer.status, 400 | 404);
            assert!(refused, "{} with the upload {name:?}: {} {}", operation.name, answer.status, answer.text());
        }
        let version = site.root.call("GET", "/vault/gold/bar").query("versionId", &name).send().await;
        assert!(matches!(version.status, 400 | 404), "versionId={name:?}: {} {}", version.status, version.text());
    }
    site.settles_to(&before, "hostile names in the query").await;
}

#[tokio::test]
async fn hostile_names_of_buckets() {
    let site = two_buckets(Options::default()).await;
    let before = site.seen().await;
    for name in
        ["..", ".", ".longshore", ".LONGSHORE", "vault\0", "va\nult", "\u{202e}tluav", "vault.", "VAULT", "%2e%2e"]
    {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            for key in ["", "/secret", "/gold/bar", "/catalog.db", "/vault/gold/bar"] {
                let answer = site.root.call(method, &format!("/{name}{key}")).send().await;
                let refused = matches!(answer.status, 400 | 404);
                assert!(refused, "{method} {name:?}{key}: {} {}", answer.status, answer.text());
            }
        }
    }
    // The bucket ends at the first slash, however that is written; then the key begins.
    let target = |target: &'static str| move |signed: &mut Signed| signed.target = target.to_owned();
    let get = |path: &str, spelled: &'static str| site.root.call("GET", path).spoil(target(spelled));
    assert_eq!(get("/vault/gold/bar", "/vault%2Fgold%2Fbar").send().await.expect(200).text(), BYTES);
    get("/vault/../other/secret", "/vault/%2e%2e/other/secret").send().await.refused(404, "NoSuchKey");
    get("/vault/../other/secret", "/vault/..%2fother%2fsecret").send().await.refused(404, "NoSuchKey");
    let invalid = get("/vault/x", "/vault/%ff").send().await;
    assert_eq!(invalid.status, 400, "{}", invalid.text());
    site.settles_to(&before, "hostile names of buckets").await;
}

#[tokio::test]
async fn odd_keys_live_side_by_side_everywhere() {
    for options in [Options::default(), Options::default().config(MANAGED), Options::default().config(MEMORY)] {
        let site = Site::with(options).await;
        let before = site.seen().await;
        let long = ["k".repeat(1024), "k/".repeat(511) + "kk", "\u{1f600}".repeat(256)];
        let keys: BTreeSet<String> = ODD.iter().map(|key| (*key).to_owned()).chain(long).collect();
        for key in &keys {
            site.root.put(BUCKET, key, key.clone()).await.expect(200);
        }
        for key in &keys {
            let answer = site.root.get(BUCKET, key).await;
            assert_eq!((answer.status, answer.text()), (200, key.clone()), "{key:?}");
            assert_eq!(
                site.root.head(BUCKET, key).await.expect(200).header("content-length"),
                Some(&*key.len().to_string())
            );
            assert!(listed(&site, BUCKET, key).await.contains(key), "{key:?} is not listed under itself");
        }
        let mut all = keys.clone();
        all.insert("gold/bar".to_owned());
        assert_eq!(listed(&site, BUCKET, "").await, all);
        for key in &keys {
            site.root.delete(BUCKET, key).await.expect(204);
            assert_eq!(site.root.get(BUCKET, key).await.status, 404, "{key:?} is still there");
            all.remove(key);
            assert_eq!(listed(&site, BUCKET, "").await, all, "the deletion of {key:?} took another key");
        }
        site.settles_to(&before, "odd keys").await;
    }
}

#[tokio::test]
async fn our_own_files_are_nobody_s_objects() {
    let site = Site::new().await;
    let outer = site.server.data().join(BUCKET).join(".longshore");
    assert!(outer.join("id").is_file(), "there is something to be seen");
    let before = site.seen().await;
    for bucket in [".longshore", "vault/.longshore"] {
        for name in ["id", "lock", "catalog.db", "master.key", "root.json", "objects", "objects/00", "tmp", "lost", ""]
        {
            let path = format!("/{bucket}/{name}");
            for method in ["GET", "HEAD", "PUT", "DELETE"] {
                let answer = site.root.call(method, &path).send().await;
                assert_eq!(answer.status, 400, "{method} {path}: {}", answer.text());
            }
            let begun = site.root.call("POST", &path).query("uploads", "").send().await;
            assert_eq!(begun.status, 400, "an upload to {path}: {}", begun.text());
            let attributes = site.root.call("GET", &path).query("attributes", "");
            let answer = attributes.header("x-amz-object-attributes", "ETag").send().await;
            assert_eq!(answer.status, 400, "the attributes of {path}: {}", answer.text());
            let copy = site.root.call("PUT", "/vault/copied").header("x-amz-copy-source", &path).send().await;
            assert_eq!(copy.status, 400, "a copy of {path}: {}", copy.text());
            let over = site.root.call("PUT", &path).header("x-amz-copy-source", "vault/gold/bar").send().await;
            assert_eq!(over.status, 400, "a copy over {path}: {}", over.text());
        }
    }
    let buckets = site.root.call("GET", "/").send().await.expect(200);
    assert_eq!(buckets.elements("Name"), [BUCKET]);
    for (parameter, value) in
        [("prefix", ".longshore"), ("prefix", ".longshore/"), ("start-after", ".long"), ("delimiter", "/")]
    {
        let call = site.root.call("GET", "/vault").query("list-type", "2").query(parameter, value);
        let text = call.send().await.expect(200);
        let told = [text.elements("Key"), text.elements("CommonPrefixes")].concat().concat();
        assert!(!told.contains(".longshore"), "{parameter}={value}: {told}");
    }
    site.settles_to(&before, "requests for our own files").await;
}
