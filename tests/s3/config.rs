//! Configuration of buckets: each part set, read and removed, each mistake told by its code, and what is refused leaves
//! what was there.

use std::fmt::Write as _;

use super::served;
use crate::harness::{Answer, Client, Server};

async fn set(client: &Client, path: &str, what: &str, body: impl Into<Vec<u8>>) -> Answer {
    client.call("PUT", path).query(what, "").body(body).send().await
}

async fn read(client: &Client, path: &str, what: &str) -> Answer {
    client.call("GET", path).query(what, "").send().await
}

async fn removed(client: &Client, path: &str, what: &str) {
    for _ in 0..2 {
        client.call("DELETE", path).query(what, "").send().await.expect(204);
    }
}

/// What a read says without the ids of the request.
async fn shown(client: &Client, path: &str, what: &str) -> String {
    read(client, path, what).await.expect(200).text()
}

/// Sets each of the bodies, which are refused with their codes and leave what `shown` shows.
async fn refuses(client: &Client, path: &str, what: &str, bodies: &[(&str, u16, &str)]) {
    let before = shown(client, path, what).await;
    for (body, status, code) in bodies {
        let answer = set(client, path, what, *body).await;
        assert_eq!((answer.status, answer.code().as_str()), (*status, *code), "{what} {body}: {}", answer.text());
        assert_eq!(shown(client, path, what).await, before, "{what} {body}");
    }
}

/// Documents that no part of the configuration is.
const NONSENSE: [(&str, u16, &str); 4] = [
    ("<Unheard/>", 400, "MalformedXML"),
    ("{}", 400, "MalformedXML"),
    ("<a><b></a>", 400, "MalformedXML"),
    ("<!DOCTYPE a [<!ENTITY b \"c\"><!ENTITY d \"&b;&b;&b;\">]><a>&d;</a>", 400, "MalformedXML"),
];

fn versioning(status: &str) -> String {
    format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>")
}

#[tokio::test]
async fn versioning_is_turned_on_and_suspended() {
    let (_server, root) = served("b-1").await;
    assert!(!shown(&root, "/b-1", "versioning").await.contains("<Status>"));
    for status in ["Enabled", "Suspended", "Enabled"] {
        set(&root, "/b-1", "versioning", versioning(status)).await.expect(200);
        assert_eq!(read(&root, "/b-1", "versioning").await.elements("Status"), [status]);
    }
    let mfa =
        "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>";
    let none = "<VersioningConfiguration/>";
    refuses(&root, "/b-1", "versioning", &NONSENSE).await;
    refuses(
        &root,
        "/b-1",
        "versioning",
        &[
            (&versioning("On"), 400, "MalformedXML"),
            (none, 400, "IllegalVersioningConfigurationException"),
            (mfa, 501, "NotImplemented"),
            ("", 400, "MissingRequestBodyError"),
        ],
    )
    .await;
}

fn lock(rule: &str) -> String {
    format!("<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}</ObjectLockConfiguration>")
}

fn retention(inner: &str) -> String {
    lock(&format!("<Rule><DefaultRetention>{inner}</DefaultRetention></Rule>"))
}

#[tokio::test]
async fn object_lock_needs_versions_and_stays() {
    let (_server, root) = served("b-1").await;
    read(&root, "/b-1", "object-lock").await.refused(404, "ObjectLockConfigurationNotFoundError");
    let days = retention("<Mode>GOVERNANCE</Mode><Days>3</Days>");
    set(&root, "/b-1", "object-lock", days.clone()).await.refused(409, "InvalidBucketState");
    set(&root, "/b-1", "versioning", versioning("Suspended")).await.expect(200);
    set(&root, "/b-1", "object-lock", days.clone()).await.refused(409, "InvalidBucketState");
    read(&root, "/b-1", "object-lock").await.refused(404, "ObjectLockConfigurationNotFoundError");
    set(&root, "/b-1", "versioning", versioning("Enabled")).await.expect(200);
    set(&root, "/b-1", "object-lock", days).await.expect(200);
    let config = read(&root, "/b-1", "object-lock").await.expect(200);
    assert_eq!((config.elements("Mode"), config.elements("Days")), (vec!["GOVERNANCE".into()], vec!["3".into()]));
    let suspended = set(&root, "/b-1", "versioning", versioning("Suspended")).await;
    suspended.refused(409, "InvalidBucketState");
    assert_eq!(read(&root, "/b-1", "versioning").await.elements("Status"), ["Enabled"]);
    refuses(&root, "/b-1", "object-lock", &NONSENSE).await;
    let mode = |inner: &str| retention(&format!("<Mode>COMPLIANCE</Mode>{inner}"));
    refuses(
        &root,
        "/b-1",
        "object-lock",
        &[
            (&lock("<Rule/>"), 400, "MalformedXML"),
            (&lock("").replace(">Enabled<", ">enabled<"), 400, "MalformedXML"),
            ("<ObjectLockConfiguration/>", 400, "MalformedXML"),
            (&retention("<Days>3</Days>"), 400, "MalformedXML"),
            (&retention("<Mode>governance</Mode><Days>3</Days>"), 400, "MalformedXML"),
            (&mode(""), 400, "MalformedXML"),
            (&mode("<Days>3</Days><Years>1</Years>"), 400, "MalformedXML"),
            (&mode("<Days>three</Days>"), 400, "MalformedXML"),
            (&mode("<Days>0</Days>"), 400, "InvalidRetentionPeriod"),
            (&mode("<Years>-1</Years>"), 400, "InvalidRetentionPeriod"),
            (&mode("<Years>101</Years>"), 400, "InvalidRetentionPeriod"),
        ],
    )
    .await;
    set(&root, "/b-1", "object-lock", lock("")).await.expect(200);
    assert!(!shown(&root, "/b-1", "object-lock").await.contains("<Rule>"), "the default retention can be taken off");
}

fn tags(count: usize) -> String {
    let tags = (0..count).fold(String::new(), |mut text, n| {
        let _ = write!(text, "<Tag><Key>k{n}</Key><Value>v &amp; w</Value></Tag>");
        text
    });
    format!("<Tagging><TagSet>{tags}</TagSet></Tagging>")
}

#[tokio::test]
async fn buckets_have_up_to_fifty_tags() {
    let (_server, root) = served("b-1").await;
    set(&root, "/b-1", "tagging", tags(50)).await.expect(200);
    let set_now = read(&root, "/b-1", "tagging").await.expect(200);
    assert_eq!((set_now.elements("Key").len(), set_now.elements("Value")[0].as_str()), (50, "v &amp; w"));
    assert_eq!(set_now.elements("Key")[49], "k49", "in the order given");
    refuses(&root, "/b-1", "tagging", &NONSENSE).await;
    let of = |inner: &str| format!("<Tagging><TagSet>{inner}</TagSet></Tagging>");
    let long = |n: usize| "x".repeat(n);
    refuses(
        &root,
        "/b-1",
        "tagging",
        &[
            (&tags(51), 400, "InvalidTag"),
            (&of(&"<Tag><Key>a</Key><Value>b</Value></Tag>".repeat(2)), 400, "InvalidTag"),
            (&of(&format!("<Tag><Key>{}</Key><Value>b</Value></Tag>", long(129))), 400, "InvalidTag"),
            (&of(&format!("<Tag><Key>a</Key><Value>{}</Value></Tag>", long(257))), 400, "InvalidTag"),
            (&of("<Tag><Key></Key><Value>b</Value></Tag>"), 400, "InvalidTag"),
            (&of("<Tag><Key>a</Key></Tag>"), 400, "MalformedXML"),
            ("<Tagging/>", 400, "MalformedXML"),
        ],
    )
    .await;
    removed(&root, "/b-1", "tagging").await;
    read(&root, "/b-1", "tagging").await.refused(404, "NoSuchTagSet");
}

fn policy(bucket: &str, principal: &str) -> String {
    format!(
        "{{ \"Version\":\"2012-10-17\",\n \"Statement\":[{{\"Effect\":\"Allow\",\"Principal\":{principal},\
         \"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::{bucket}/*\"}}]}}"
    )
}

async fn is_public(client: &Client, bucket: &str) -> String {
    read(client, bucket, "policyStatus").await.expect(200).elements("IsPublic").remove(0).to_lowercase()
}

#[tokio::test]
async fn a_policy_is_given_back_to_the_letter() {
    let (_server, root) = served("b-1").await;
    assert_eq!(is_public(&root, "/b-1").await, "false");
    let public = policy("b-1", "\"*\"");
    set(&root, "/b-1", "policy", public.clone()).await.expect(204);
    assert_eq!(shown(&root, "/b-1", "policy").await, public);
    assert_eq!(is_public(&root, "/b-1").await, "true");
    let long = format!("{}{}", policy("b-1", "\"*\""), " ".repeat(20 * 1024));
    refuses(
        &root,
        "/b-1",
        "policy",
        &[
            ("", 400, "MalformedPolicy"),
            ("[]", 400, "MalformedPolicy"),
            ("{}", 400, "MalformedPolicy"),
            ("<Policy/>", 400, "MalformedPolicy"),
            (&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)), 400, "MalformedPolicy"),
            (&long, 400, "MalformedPolicy"),
        ],
    )
    .await;
    removed(&root, "/b-1", "policy").await;
    read(&root, "/b-1", "policy").await.refused(404, "NoSuchBucketPolicy");
    assert_eq!(is_public(&root, "/b-1").await, "false");
}

fn block(what: &str) -> String {
    format!("<PublicAccessBlockConfiguration><{what}>true</{what}></PublicAccessBlockConfiguration>")
}

#[tokio::test]
async fn what_is_public_can_be_blocked() {
    let (_server, root) = served("b-1").await;
    set(&root, "/b-1", "publicAccessBlock", block("BlockPublicPolicy")).await.expect(200);
    let blocked = read(&root, "/b-1", "publicAccessBlock").await.expect(200);
    assert_eq!(blocked.elements("BlockPublicPolicy"), ["true"]);
    assert_eq!(blocked.elements("BlockPublicAcls"), ["false"]);
    set(&root, "/b-1", "policy", policy("b-1", "\"*\"")).await.refused(403, "AccessDenied");
    read(&root, "/b-1", "policy").await.refused(404, "NoSuchBucketPolicy");
    set(&root, "/b-1", "policy", policy("b-1", "{\"AWS\":\"root\"}")).await.expect(204);
    refuses(&root, "/b-1", "publicAccessBlock", &NONSENSE).await;
    set(&root, "/b-1", "publicAccessBlock", block("BlockPublicAcls")).await.expect(200);
    for canned in ["public-read", "public-read-write", "authenticated-read"] {
        let call = root.call("PUT", "/b-1").query("acl", "").header("x-amz-acl", canned);
        call.send().await.refused(403, "AccessDenied");
    }
    let call = root.call("PUT", "/b-1").query("acl", "").header("x-amz-acl", "bucket-owner-read");
    call.send().await.expect(200);
    assert_eq!(read(&root, "/b-1", "acl").await.elements("Permission"), ["FULL_CONTROL"]);
    removed(&root, "/b-1", "publicAccessBlock").await;
    read(&root, "/b-1", "publicAccessBlock").await.refused(404, "NoSuchPublicAccessBlockConfiguration");
    let call = root.call("PUT", "/b-1").query("acl", "").header("x-amz-acl", "public-read");
    call.send().await.expect(200);
    assert_eq!(is_public(&root, "/b-1").await, "true");
    set(&root, "/b-1", "publicAccessBlock", block("IgnorePublicAcls")).await.expect(200);
    assert_eq!(is_public(&root, "/b-1").await, "false");
}

fn ownership(rules: &[&str]) -> String {
    let rules: String =
        rules.iter().map(|rule| format!("<Rule><ObjectOwnership>{rule}</ObjectOwnership></Rule>")).collect();
    format!("<OwnershipControls>{rules}</OwnershipControls>")
}

#[tokio::test]
async fn ownership_decides_whether_lists_can_be_set() {
    let (_server, root) = served("b-1").await;
    let acl = |canned: &'static str| root.call("PUT", "/b-1").query("acl", "").header("x-amz-acl", canned).send();
    acl("public-read").await.expect(200);
    let enforced = ownership(&["BucketOwnerEnforced"]);
    let refused = set(&root, "/b-1", "ownershipControls", enforced.clone()).await;
    refused.refused(400, "InvalidBucketAclWithObjectOwnership");
    read(&root, "/b-1", "ownershipControls").await.refused(404, "OwnershipControlsNotFoundError");
    for name in ["BucketOwnerPreferred", "ObjectWriter"] {
        set(&root, "/b-1", "ownershipControls", ownership(&[name])).await.expect(200);
        assert_eq!(read(&root, "/b-1", "ownershipControls").await.elements("ObjectOwnership"), [name]);
    }
    refuses(&root, "/b-1", "ownershipControls", &NONSENSE).await;
    refuses(
        &root,
        "/b-1",
        "ownershipControls",
        &[
            (&ownership(&["Nobody"]), 400, "MalformedXML"),
            (&ownership(&[]), 400, "MalformedXML"),
            (&ownership(&["ObjectWriter", "BucketOwnerPreferred"]), 400, "MalformedXML"),
        ],
    )
    .await;
    acl("private").await.expect(200);
    set(&root, "/b-1", "ownershipControls", enforced).await.expect(200);
    acl("private").await.refused(400, "AccessControlListNotSupported");
    removed(&root, "/b-1", "ownershipControls").await;
    acl("public-read").await.expect(200);
}

#[tokio::test]
async fn the_owner_pays() {
    let (_server, root) = served("b-1").await;
    let body =
        |payer: &str| format!("<RequestPaymentConfiguration><Payer>{payer}</Payer></RequestPaymentConfiguration>");
    set(&root, "/b-1", "requestPayment", body("BucketOwner")).await.expect(200);
    refuses(&root, "/b-1", "requestPayment", &NONSENSE).await;
    let bodies = [(&*body("Requester"), 501, "NotImplemented"), (&*body("Nobody"), 400, "MalformedXML")];
    refuses(&root, "/b-1", "requestPayment", &bodies).await;
    assert_eq!(read(&root, "/b-1", "requestPayment").await.elements("Payer"), ["BucketOwner"]);
    set(&root, "/b-1", "accelerate", "<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>")
        .await
        .refused(501, "NotImplemented");
}

#[tokio::test]
async fn buckets_are_made_with_their_configuration() {
    let server = Server::start();
    let ann = server.user("ann", "readwrite");
    let create = |name: &str| ann.call("PUT", &format!("/{name}"));
    create("locked").header("x-amz-bucket-object-lock-enabled", "true").send().await.expect(200);
    assert_eq!(read(&ann, "/locked", "versioning").await.elements("Status"), ["Enabled"]);
    assert_eq!(read(&ann, "/locked", "object-lock").await.elements("ObjectLockEnabled"), ["Enabled"]);
    create("owned").header("x-amz-object-ownership", "BucketOwnerPreferred").send().await.expect(200);
    assert_eq!(read(&ann, "/owned", "ownershipControls").await.elements("ObjectOwnership"), ["BucketOwnerPreferred"]);
    let tagged =
        "<CreateBucketConfiguration><Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>";
    create("tagged").body(tagged).send().await.expect(200);
    assert_eq!(read(&ann, "/tagged", "tagging").await.elements("Key"), ["a"]);
    create("granted").header("x-amz-grant-read", "id=\"root\"").send().await.expect(200);
    let acl = read(&ann, "/granted", "acl").await.expect(200);
    assert_eq!(
        (acl.elements("ID"), acl.elements("Permission")),
        (vec!["root".into(), "ann".into()], vec!["READ".into()])
    );
    for (headers, code) in [
        (
            &[("x-amz-object-ownership", "BucketOwnerEnforced"), ("x-amz-acl", "public-read")][..],
            "InvalidBucketAclWithObjectOwnership",
        ),
        (&[("x-amz-object-ownership", "Nobody")], "InvalidArgument"),
        (&[("x-amz-acl", "public-ready")], "InvalidArgument"),
        (&[("x-amz-acl", "private"), ("x-amz-grant-read", "id=root")], "InvalidRequest"),
        (&[("x-amz-grant-read", "id=nobody-of-this-name")], "InvalidArgument"),
        (&[("x-amz-grant-read", "emailAddress=\"nobody@example.com\"")], "UnresolvableGrantByEmailAddress"),
    ] {
        let mut call = create("refused");
        for (name, value) in headers {
            call = call.header(name, value);
        }
        call.send().await.refused(400, code);
        ann.call("HEAD", "/refused").send().await.expect(404);
    }
    create("owned-2").header("x-amz-object-ownership", "BucketOwnerEnforced").send().await.expect(200);
}

#[tokio::test]
async fn a_bucket_is_not_made_again_with_another_list() {
    let (_server, root) = served("b-1").await;
    let again = |acl: &'static str| root.call("PUT", "/b-1").header("x-amz-acl", acl).send();
    again("public-read").await.refused(409, "BucketAlreadyExists");
    assert_eq!(read(&root, "/b-1", "acl").await.elements("Permission"), ["FULL_CONTROL"]);
    again("private").await.expect(200);
    root.call("PUT", "/b-1").query("acl", "").header("x-amz-acl", "public-read").send().await.expect(200);
    again("public-read").await.expect(200);
    root.create_bucket("b-1").await.refused(409, "BucketAlreadyExists");
}

#[tokio::test]
async fn changes_at_once_are_all_made() {
    let (_server, root) = served("b-1").await;
    let (tagging, policy) = (tags(3), policy("b-1", "{\"AWS\":\"root\"}"));
    let answers = tokio::join!(
        set(&root, "/b-1", "tagging", tagging),
        set(&root, "/b-1", "policy", policy.clone()),
        set(&root, "/b-1", "versioning", versioning("Enabled")),
        set(&root, "/b-1", "publicAccessBlock", block("BlockPublicAcls")),
        set(&root, "/b-1", "ownershipControls", ownership(&["ObjectWriter"])),
    );
    for status in [answers.0.status, answers.2.status, answers.3.status, answers.4.status] {
        assert_eq!(status, 200);
    }
    answers.1.expect(204);
    assert_eq!(read(&root, "/b-1", "tagging").await.elements("Key").len(), 3);
    assert_eq!(shown(&root, "/b-1", "policy").await, policy);
    assert_eq!(read(&root, "/b-1", "versioning").await.elements("Status"), ["Enabled"]);
    assert_eq!(read(&root, "/b-1", "publicAccessBlock").await.elements("BlockPublicAcls"), ["true"]);
    assert_eq!(read(&root, "/b-1", "ownershipControls").await.elements("ObjectOwnership"), ["ObjectWriter"]);
}

#[tokio::test]
async fn configuration_survives_a_restart_and_the_loss_of_the_catalog() {
    let (mut server, root) = served("b-1").await;
    let locked = root.call("PUT", "/locked").header("x-amz-bucket-object-lock-enabled", "true");
    locked.send().await.expect(200);
    set(&root, "/b-1", "tagging", tags(2)).await.expect(200);
    set(&root, "/b-1", "policy", policy("b-1", "\"*\"")).await.expect(204);
    root.call("PUT", "/b-1").query("acl", "").header("x-amz-acl", "authenticated-read").send().await.expect(200);
    assert!(server.stop().success());
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let _ = std::fs::remove_file(server.state().join(name));
    }
    server.run(&["rebuild"]);
    let server = server.restart();
    let root = server.root();
    assert_eq!(read(&root, "/b-1", "tagging").await.elements("Key"), ["k0", "k1"]);
    assert_eq!(shown(&root, "/b-1", "policy").await, policy("b-1", "\"*\""));
    assert_eq!(read(&root, "/b-1", "acl").await.elements("Permission"), ["READ", "FULL_CONTROL"]);
    assert_eq!(read(&root, "/locked", "object-lock").await.elements("ObjectLockEnabled"), ["Enabled"]);
}

#[tokio::test]
async fn documents_without_end_are_refused() {
    let (_server, root) = served("b-1").await;
    root.put("b-1", "k", "x").await.expect(200);
    let long = format!("<Tagging>{}</Tagging>", " ".repeat(3 * 1024 * 1024));
    for path in ["/b-1", "/b-1/k"] {
        for what in ["tagging", "acl"] {
            set(&root, path, what, long.clone()).await.refused(400, "MaxMessageLengthExceeded");
        }
    }
    let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    for path in ["/b-1", "/b-1/k"] {
        set(&root, path, "tagging", deep.clone()).await.refused(400, "MalformedXML");
        let wrong = root.call("PUT", path).query("tagging", "").body(tags(1));
        wrong.header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==").send().await.refused(400, "BadDigest");
    }
    read(&root, "/b-1", "tagging").await.refused(404, "NoSuchTagSet");
    assert!(read(&root, "/b-1/k", "tagging").await.expect(200).elements("Key").is_empty());
}

#[tokio::test]
async fn who_may_only_read_changes_nothing() {
    let (server, root) = served("b-1").await;
    let reader = server.user("reader", "readonly");
    let other = server.user("other", "readwrite");
    other.create_bucket("others").await.expect(200);
    for (what, body) in [
        ("versioning", versioning("Enabled")),
        ("tagging", tags(1)),
        ("policy", policy("b-1", "\"*\"")),
        ("publicAccessBlock", block("BlockPublicAcls")),
        ("ownershipControls", ownership(&["ObjectWriter"])),
    ] {
        set(&reader, "/b-1", what, body.clone()).await.refused(403, "AccessDenied");
        set(&server.anonymous(), "/b-1", what, body.clone()).await.refused(403, "AccessDenied");
        set(&reader, "/others", what, body).await.refused(403, "AccessDenied");
        read(&server.anonymous(), "/b-1", what).await.refused(403, "AccessDenied");
        read(&reader, "/others", what).await.refused(403, "AccessDenied");
    }
    read(&root, "/b-1", "tagging").await.refused(404, "NoSuchTagSet");
    read(&root, "/b-1", "policy").await.refused(404, "NoSuchBucketPolicy");
    // Nobody finds out who there is by asking to grant something where it may not.
    let email = reader.call("PUT", "/b-1").query("acl", "").header("x-amz-grant-read", "emailAddress=no@example.com");
    email.send().await.refused(403, "AccessDenied");
}
