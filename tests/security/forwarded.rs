//! What a request claims about the way it came: from where, for which host, over TLS, and who a proxy says it is.
//!
//! No proxy is configured here (see `proxies`), so nobody's word counts. What is asked about instead is the address of the
//! socket, `Host`, which a signature covers, and TLS, which this process never speaks.
//!
//! **Invariant:** a claim neither opens nor closes anything, on no front, and no answer repeats it.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::wire;
use crate::harness::{Answer, Auth, Call, Client, Options, Server};

/// An address that no test comes from.
const FAR: &str = "203.0.113.7";
/// A host that nothing here is called by.
const ELSEWHERE: &str = "elsewhere.example";
pub(super) const KEY: &str = "bar";
const BYTES: &str = "twelve kilograms";

const CONFIG: &str = r#"
[s3]
domains = ["s3.example.com"]
website_domains = ["web.example"]
access_log_seconds = 1
[filestore]
domain = "tenants.example"
[[filestore.service]]
name = "service"
private = false
"#;

/// Headers with their values, as something between client and server would send them.
type Claims = &'static [(&'static str, &'static str)];

/// What some proxy writes and some server believes.
static CLAIMS: [(&str, &str); 30] = [
    ("X-Forwarded-For", "203.0.113.7, 127.0.0.1"),
    ("X-Forwarded-For", "127.0.0.1, 203.0.113.7"),
    ("X-Forwarded-For", "203.0.113.7"),
    ("X-Real-IP", "203.0.113.7"),
    ("X-Client-IP", "203.0.113.7"),
    ("X-Cluster-Client-IP", "203.0.113.7"),
    ("X-Original-Forwarded-For", "203.0.113.7"),
    ("True-Client-IP", "203.0.113.7"),
    ("CF-Connecting-IP", "203.0.113.7"),
    ("Fastly-Client-IP", "203.0.113.7"),
    ("Forwarded", "for=\"203.0.113.7:4711\""),
    ("Forwarded", "for=203.0.113.7;host=elsewhere.example;proto=https"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Protocol", "https"),
    ("X-Forwarded-Scheme", "https"),
    ("X-Forwarded-Ssl", "on"),
    ("X-Forwarded-Port", "443"),
    ("X-Url-Scheme", "https"),
    ("Front-End-Https", "on"),
    ("X-Forwarded-Host", "elsewhere.example"),
    ("X-Forwarded-Server", "elsewhere.example"),
    ("X-Original-Host", "elsewhere.example"),
    ("X-Host", "elsewhere.example"),
    ("Via", "1.1 elsewhere.example"),
    ("X-Forwarded-Prefix", "/storage/v1/s3"),
    ("X-Original-URL", "/near-only/bar"),
    ("X-Rewrite-URL", "/near-only/bar"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Forwarded-User", "root"),
    ("Remote-User", "root"),
];

/// Hosts that name nothing here.
static HOSTS: [(&str, &str); 3] = [("host", ELSEWHERE), ("host", "localhost"), ("host", FAR)];

/// Who may read a bucket, and whether that is who asks here.
const BUCKETS: [(&str, &str, bool); 3] = [
    ("far-only", r#""IpAddress":{"aws:SourceIp":"203.0.113.7"}"#, false),
    ("tls-only", r#""Bool":{"aws:SecureTransport":"true"}"#, false),
    ("near-only", NEAR, true),
];
const NEAR: &str = r#""IpAddress":{"aws:SourceIp":"127.0.0.0/8"},"Bool":{"aws:SecureTransport":"false"}"#;

/// Each claim by itself, all of them at once, and none.
fn sets() -> impl Iterator<Item = Claims> {
    CLAIMS.chunks(1).chain(HOSTS.chunks(1)).chain([&CLAIMS[..], &[]])
}

/// The same request with these claims, which nothing signs.
fn claiming<'c>(call: Call<'c>, claims: Claims) -> Call<'c> {
    call.spoil(move |signed| claims.iter().for_each(|(name, value)| signed.set_header(name, value)))
}

pub(super) fn statement(effect: &str, action: &str, resource: &str, condition: &str) -> String {
    format!(
        r#"{{"Effect":"{effect}","Principal":"*","Action":"{action}","Resource":"arn:aws:s3:::{resource}",
           "Condition":{{{condition}}}}}"#
    )
}

pub(super) async fn say(root: &Client, bucket: &str, statements: &[String]) {
    let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
    root.call("PUT", &format!("/{bucket}")).query("policy", "").body(policy).send().await.expect(204);
}

/// A server with the buckets.
async fn served() -> Server {
    let server = Server::with(Options::default().config(CONFIG));
    let root = server.root();
    for (bucket, condition, _) in BUCKETS {
        root.create_bucket(bucket).await.expect(200);
        root.put(bucket, KEY, BYTES).await.expect(200);
        say(&root, bucket, &[statement("Allow", "s3:GetObject", &format!("{bucket}/*"), condition)]).await;
    }
    server
}

fn token(server: &Server, of: &[&str]) -> String {
    server.run(&[&["token", "create"], of].concat()).trim().to_owned()
}

/// A front, as nobody in particular asks it for an object.
pub(super) struct Door {
    pub(super) name: &'static str,
    client: Client,
    path: fn(&str) -> String,
    token: Option<String>,
}

impl Door {
    pub(super) fn all(server: &Server) -> [Self; 4] {
        let rest = || Client::new(server.rest, None);
        let anon = format!("Bearer {}", token(server, &["--role", "anon"]));
        [
            Self { name: "S3", client: server.anonymous(), path: |b| format!("/{b}/{KEY}"), token: None },
            Self {
                name: "S3 below a path",
                client: rest(),
                path: |b| format!("/storage/v1/s3/{b}/{KEY}"),
                token: None,
            },
            Self {
                name: "Supabase",
                client: rest(),
                path: |b| format!("/storage/v1/object/authenticated/{b}/{KEY}"),
                token: Some(anon),
            },
            Self {
                name: "LoopBack",
                client: rest(),
                path: |b| format!("/api/containers/{b}/download/{KEY}"),
                token: None,
            },
        ]
    }

    pub(super) fn read(&self, bucket: &str) -> Call<'_> {
        let call = self.client.call("GET", &(self.path)(bucket));
        match &self.token {
            Some(token) => call.header("authorization", token),
            None => call,
        }
    }
}

/// What is wrong with an answer, if the object is to be read or is not.
fn wrong(answer: &Answer, open: bool) -> Option<String> {
    let text = answer.text();
    let right = match open {
        true => answer.status == 200 && text == BYTES,
        false => answer.status >= 400 && !text.contains(BYTES),
    };
    (!right).then(|| format!("{} {text}", answer.status))
}

#[tokio::test]
async fn no_claim_opens_or_closes_an_object() {
    let server = served().await;
    let mut found = Vec::new();
    for door in Door::all(&server) {
        for (bucket, _, open) in BUCKETS {
            for claims in sets() {
                let answer = claiming(door.read(bucket), claims).send().await;
                let told = wrong(&answer, open);
                found.extend(told.map(|told| format!("{}, {bucket}, with {claims:?}: {told}", door.name)));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The line that balancers put before a connection says no more than a header does.
#[tokio::test]
async fn a_line_of_the_proxy_protocol_is_no_address() {
    let server = served().await;
    for line in ["PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\n", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"] {
        let request = format!("GET /far-only/{KEY} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let reply = wire::exchange(server.s3, format!("{line}{request}").as_bytes()).await;
        assert!(reply.status == 0 || reply.status >= 400, "{}", reply.head);
        assert!(!String::from_utf8_lossy(&reply.body).contains(BYTES), "{}", reply.head);
    }
}

/// In a FileStore policies only deny, so there the address of the socket is what is denied.
#[tokio::test]
async fn no_claim_opens_or_closes_an_item_of_a_file_store() {
    let server = served().await;
    let (root, rest) = (server.root(), Client::new(server.rest, None));
    for key in ["closed", "open"] {
        root.put("service", key, BYTES).await.expect(200);
    }
    let far = |operator: &str| format!(r#""{operator}":{{"aws:SourceIp":"{FAR}"}}"#);
    let denied = [
        statement("Deny", "s3:GetObject", "service/closed", &far("NotIpAddress")),
        statement("Deny", "s3:GetObject", "service/open", &far("IpAddress")),
    ];
    say(&root, "service", &denied).await;
    for claims in sets() {
        for (key, open) in [("closed", false), ("open", true)] {
            let answer = claiming(rest.call("GET", &format!("/service/{key}")), claims).send().await;
            assert_eq!(wrong(&answer, open), None, "{key} with {claims:?}");
        }
    }
}

fn with_password(server: &Server, name: &str, password: &str) {
    let mut command = server.beside(&["user", "create", name, "--password-stdin"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the built program");
    writeln!(child.stdin.take().expect("piped"), "{password}").expect("written");
    assert!(child.wait().expect("its status").success());
}

#[tokio::test]
async fn a_cookie_counts_no_more_by_a_claim() {
    let server = served().await;
    let rest = Client::new(server.rest, None);
    with_password(&server, "ann", "correct horse");
    let sign_in = || {
        let call = rest.call("POST", "/users/api/signin").header("content-type", "application/json");
        call.body(r#"{"identity":"ann","password":"correct horse"}"#)
    };
    // Whether a page came over TLS is said by its origin, which no page can change.
    let signed = claiming(sign_in(), &CLAIMS).send().await.expect(200);
    let cookie = signed.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.starts_with("nive_auth=") && !cookie.contains("Secure"), "{cookie}");
    let by_tls = sign_in().header("origin", "https://a.tenants.example").send().await.expect(200);
    assert!(by_tls.header("set-cookie").is_some_and(|cookie| cookie.contains("; Secure")));
    let pair = cookie.split(';').next().expect("a pair");
    let form = || {
        let call = rest.call("POST", "/service/api/@newItem").header("cookie", pair);
        call.header("content-type", "application/x-www-form-urlencoded").body("name=made")
    };
    for claims in sets() {
        claiming(form(), claims).send().await.expect(403);
        let asked = rest.call("GET", "/service/none/@getItem").header("origin", "https://elsewhere.example");
        let answer = claiming(asked, claims).send().await.expect(404);
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{claims:?}");
    }
    assert_eq!(server.root().keys_of("service", "").await, Vec::<String>::new());
    form().header("x-requested-with", "XMLHttpRequest").send().await.expect(200);
    let own = rest.call("GET", "/service/none/@getItem").header("origin", "https://a.tenants.example").send().await;
    assert_eq!(own.header("access-control-allow-credentials"), Some("true"));
}

#[tokio::test]
async fn a_signature_is_for_the_host_that_is_sent() {
    let server = served().await;
    let root = server.root();
    for auth in [Auth::Header, Auth::Presigned(60)] {
        let read = || root.call("GET", "/near-only/bar").auth(auth);
        claiming(read(), &CLAIMS).send().await.expect(200);
        for claimed in [false, true] {
            let own = server.s3.to_string();
            let moved = read().spoil(move |signed| {
                signed.set_header("host", ELSEWHERE);
                if claimed {
                    signed.set_header("x-forwarded-host", &own);
                    signed.set_header("x-original-host", &own);
                    signed.set_header("forwarded", &format!("host=\"{own}\""));
                }
            });
            moved.send().await.refused(403, "SignatureDoesNotMatch");
        }
    }
}

#[tokio::test]
async fn the_host_alone_names_a_bucket_or_a_website() {
    let server = served().await;
    let (root, nobody) = (server.root(), server.anonymous());
    let website =
        format!("<WebsiteConfiguration><IndexDocument><Suffix>{KEY}</Suffix></IndexDocument></WebsiteConfiguration>");
    root.call("PUT", "/near-only").query("website", "").body(website).send().await.expect(200);
    let (near, far) = ("near-only.s3.example.com", "far-only.s3.example.com");
    let page = "near-only.web.example";
    for (host, claimed, path, status) in [
        (near, "", "/bar", 200),
        (near, far, "/bar", 200),
        (far, "", "/bar", 403),
        (far, near, "/bar", 403),
        (ELSEWHERE, far, "/near-only/bar", 200),
        (ELSEWHERE, near, "/far-only/bar", 403),
        (ELSEWHERE, near, "/bar", 404),
        (page, "", "/", 200),
        (page, far, "/", 200),
        (ELSEWHERE, page, "/", 403),
        (far, page, "/", 403),
    ] {
        let call = nobody.call("GET", path).spoil(move |signed| {
            signed.set_header("host", host);
            for name in ["x-forwarded-host", "x-original-host", "x-host"].into_iter().filter(|_| !claimed.is_empty()) {
                signed.set_header(name, claimed);
            }
        });
        let answer = call.send().await;
        assert_eq!(answer.status, status, "{path} of {host} as {claimed:?}: {}", answer.text());
        assert_eq!(answer.text() == BYTES, status == 200, "{path} of {host} as {claimed:?}: {}", answer.text());
    }
}

const BOUNDARY: &str = "a-boundary";

/// A form with one file behind these fields.
fn form(fields: &[(&str, &str)]) -> String {
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=");
    let fields: String = fields.iter().map(|(name, value)| format!("{head}\"{name}\"\r\n\r\n{value}\r\n")).collect();
    format!("{fields}{head}\"file\"; filename=\"f\"\r\nContent-Type: a/b\r\n\r\nx\r\n--{BOUNDARY}--\r\n")
}

/// What answers with an address, asked under every claim.
async fn addresses(server: &Server) -> Vec<(&'static str, Answer)> {
    let (root, rest) = (server.root(), Client::new(server.rest, None));
    let service = format!("Bearer {}", token(server, &["--role", "service_role"]));
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let begun = root.call("POST", "/near-only/up").query("uploads", "").send().await.expect(200);
    let id = begun.elements("UploadId").remove(0);
    let part = root.call("PUT", "/near-only/up").query("partNumber", "1").query("uploadId", &id).body("x");
    let etag = part.send().await.expect(200).etag().to_owned();
    let list = format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>");
    let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let complete = root.call("POST", "/near-only/up").query("uploadId", &id).body(list);
    let fields = [("key", "posted"), ("success_action_status", "201")];
    let nobody = server.anonymous();
    let posted = nobody.call("POST", "/near-only").header("content-type", &kind).body(form(&fields));
    let sign = rest.call("POST", "/object/sign/near-only/bar").header("authorization", &service);
    let sign = sign.header("content-type", "application/json").body(r#"{"expiresIn":60}"#);
    let named = [("bucketName", "near-only"), ("objectName", "resumed")];
    let named = named.map(|(name, value)| format!("{name} {}", STANDARD.encode(value))).join(",");
    let resumable = rest.call("POST", "/upload/resumable").header("authorization", &service);
    let resumable = resumable.header("tus-resumable", "1.0.0").header("upload-length", "5");
    let resumable = resumable.header("upload-metadata", &named);
    let upload = rest.call("POST", "/api/containers/near-only/upload").header("content-type", &kind).body(form(&[]));
    let upload = upload.header("authorization", &token(server, &["--user", "root"]));
    let mut answers = Vec::new();
    for (what, call, status) in [
        ("the end of an upload", complete, 200),
        ("a form", posted, 201),
        ("a signed address", sign, 200),
        ("a resumable upload", resumable, 201),
        ("an upload to LoopBack", upload, 200),
    ] {
        answers.push((what, claiming(call, &CLAIMS).send().await.expect(status)));
    }
    answers
}

#[tokio::test]
async fn no_answer_names_a_host_that_was_only_claimed() {
    let server = served().await;
    let write = statement("Allow", "s3:PutObject", "near-only/*", NEAR);
    say(&server.root(), "near-only", &[write]).await;
    let answers = addresses(&server).await;
    for (what, answer) in &answers {
        let header = answer.headers.values().any(|value| value.to_str().is_ok_and(|value| value.contains(ELSEWHERE)));
        assert!(!header && !answer.text().contains(ELSEWHERE), "{what}: {:?} {}", answer.headers, answer.text());
    }
    let of = |what: &str| &answers.iter().find(|(name, _)| *name == what).expect("asked").1;
    assert_eq!(of("the end of an upload").elements("Location"), [format!("http://{}/near-only/up", server.s3)]);
    let posted = format!("http://{}/near-only/posted", server.s3);
    assert_eq!(of("a form").header("location"), Some(posted.as_str()));
    let resumable = of("a resumable upload").header("location").expect("an address");
    assert!(resumable.starts_with("/upload/resumable/"), "{resumable}");
}

/// The line of a request, once it has come to the log.
async fn line_of(root: &Client, request: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        for key in root.keys_of("logs", "log/").await {
            let text = root.get("logs", &key).await.expect(200).text();
            if let Some(line) = text.lines().find(|line| line.contains(request)) {
                return line.to_owned();
            }
        }
        assert!(Instant::now() < deadline, "{request} does not come to the log");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_access_log_has_the_address_of_the_socket() {
    let server = served().await;
    let root = server.root();
    root.create_bucket("logs").await.expect(200);
    let target = "<TargetBucket>logs</TargetBucket><TargetPrefix>log/</TargetPrefix>";
    let body = format!("<BucketLoggingStatus><LoggingEnabled>{target}</LoggingEnabled></BucketLoggingStatus>");
    root.call("PUT", "/near-only").query("logging", "").body(body).send().await.expect(200);
    let nobody = server.anonymous();
    let answer = claiming(nobody.call("GET", "/near-only/bar"), &CLAIMS).send().await.expect(200);
    let line = line_of(&root, answer.header("x-amz-request-id").expect("an id")).await;
    assert!(line.contains("] 127.0.0.1 - ") && !line.contains(FAR) && !line.contains(ELSEWHERE), "{line}");
}

/// Without a token the metrics are told to this machine alone, of which `cli` has the table.
#[tokio::test]
async fn the_token_of_the_metrics_is_needed_whatever_is_claimed() {
    let token = "scrape-token-0123456789";
    let server = Server::with(Options::default().env("LONGSHORE_METRICS_TOKEN", token));
    let rest = Client::new(server.rest, None);
    let shown = format!("Bearer {token}");
    for claims in sets() {
        claiming(rest.call("GET", "/metrics"), claims).send().await.expect(403);
        claiming(rest.call("GET", "/metrics").header("authorization", &shown), claims).send().await.expect(200);
    }
}
