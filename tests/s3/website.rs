//! Buckets as websites.

use super::{request, send, served};
use crate::harness::{Answer, Auth, Client, Options, Server};

const SITE: &str = "<WebsiteConfiguration>\
    <IndexDocument><Suffix>index.html</Suffix></IndexDocument><ErrorDocument><Key>oops.html</Key></ErrorDocument>\
    <RoutingRules>\
    <RoutingRule><Condition><KeyPrefixEquals>old/</KeyPrefixEquals></Condition>\
    <Redirect><ReplaceKeyPrefixWith>new/</ReplaceKeyPrefixWith><HttpRedirectCode>302</HttpRedirectCode></Redirect></RoutingRule>\
    <RoutingRule><Condition><KeyPrefixEquals>lost/</KeyPrefixEquals><HttpErrorCodeReturnedEquals>403</HttpErrorCodeReturnedEquals></Condition>\
    <Redirect><Protocol>https</Protocol><HostName>h.example</HostName><ReplaceKeyWith>found</ReplaceKeyWith></Redirect></RoutingRule>\
    </RoutingRules></WebsiteConfiguration>";

async fn set(client: &Client, document: &str) -> Answer {
    client.call("PUT", "/b-1").query("website", "").body(document).send().await
}

async fn site(client: &Client) -> Answer {
    client.call("GET", "/b-1").query("website", "").send().await
}

#[tokio::test]
async fn a_configuration_is_kept_as_it_was_given() {
    let (_server, root) = served("b-1").await;
    site(&root).await.refused(404, "NoSuchWebsiteConfiguration");
    set(&root, SITE).await.expect(200);
    let kept = site(&root).await.expect(200);
    for (name, texts) in [
        ("Suffix", &["index.html"][..]),
        ("KeyPrefixEquals", &["old/", "lost/"]),
        ("HttpErrorCodeReturnedEquals", &["403"]),
        ("ReplaceKeyPrefixWith", &["new/"]),
        ("HttpRedirectCode", &["302"]),
        ("Protocol", &["https"]),
        ("HostName", &["h.example"]),
        ("ReplaceKeyWith", &["found"]),
    ] {
        assert_eq!(kept.elements(name), texts, "{name}");
    }
    let all = "<WebsiteConfiguration><RedirectAllRequestsTo><HostName>h</HostName></RedirectAllRequestsTo></WebsiteConfiguration>";
    set(&root, all).await.expect(200);
    assert_eq!(site(&root).await.expect(200).elements("HostName"), ["h"]);
    for _ in 0..2 {
        root.call("DELETE", "/b-1").query("website", "").send().await.expect(204);
        site(&root).await.refused(404, "NoSuchWebsiteConfiguration");
    }
}

const INDEX: &str = "<IndexDocument><Suffix>i</Suffix></IndexDocument>";

/// What each is, the document, and the code that refuses it.
fn wrong() -> Vec<(&'static str, String, &'static str)> {
    let of = |inner: &str| format!("<WebsiteConfiguration>{inner}</WebsiteConfiguration>");
    let rule = |inner: &str| of(&format!("{INDEX}<RoutingRules><RoutingRule>{inner}</RoutingRule></RoutingRules>"));
    let host = "<HostName>h</HostName>";
    let many = format!("<RoutingRule><Redirect>{host}</Redirect></RoutingRule>").repeat(51);
    vec![
        ("cut", SITE[..90].to_owned(), "MalformedXML"),
        ("another document", "<X/>".to_owned(), "MalformedXML"),
        ("nothing in it", of(""), "InvalidArgument"),
        ("no suffix", of("<IndexDocument></IndexDocument>"), "MalformedXML"),
        ("an empty suffix", of("<IndexDocument><Suffix></Suffix></IndexDocument>"), "InvalidArgument"),
        ("a suffix with a slash", of("<IndexDocument><Suffix>a/b</Suffix></IndexDocument>"), "InvalidArgument"),
        ("an empty error page", of(&format!("{INDEX}<ErrorDocument><Key></Key></ErrorDocument>")), "InvalidArgument"),
        (
            "all and more",
            of(&format!("{INDEX}<RedirectAllRequestsTo>{host}</RedirectAllRequestsTo>")),
            "InvalidRequest",
        ),
        (
            "a protocol",
            of(&format!("<RedirectAllRequestsTo>{host}<Protocol>ftp</Protocol></RedirectAllRequestsTo>")),
            "InvalidRequest",
        ),
        ("a host", of("<RedirectAllRequestsTo><HostName>a b</HostName></RedirectAllRequestsTo>"), "InvalidArgument"),
        (
            "both",
            rule(
                "<Redirect><ReplaceKeyWith>a</ReplaceKeyWith><ReplaceKeyPrefixWith>b</ReplaceKeyPrefixWith></Redirect>",
            ),
            "InvalidRequest",
        ),
        (
            "a status",
            rule(&format!("<Redirect>{host}<HttpRedirectCode>200</HttpRedirectCode></Redirect>")),
            "InvalidRequest",
        ),
        (
            "no status",
            rule(&format!("<Redirect>{host}<HttpRedirectCode>many</HttpRedirectCode></Redirect>")),
            "InvalidRequest",
        ),
        (
            "no error",
            rule(&format!(
                "<Condition><HttpErrorCodeReturnedEquals>200</HttpErrorCodeReturnedEquals></Condition><Redirect>{host}</Redirect>"
            )),
            "InvalidRequest",
        ),
        ("no condition", rule(&format!("<Condition></Condition><Redirect>{host}</Redirect>")), "InvalidRequest"),
        ("no redirect", rule("<Redirect></Redirect>"), "MalformedXML"),
        ("an unknown element", rule("<Redirect><Hostname>h</Hostname></Redirect>"), "MalformedXML"),
        ("too many rules", of(&format!("{INDEX}<RoutingRules>{many}</RoutingRules>")), "InvalidRequest"),
        (
            "too long",
            rule(&format!("<Redirect><ReplaceKeyWith>{}</ReplaceKeyWith></Redirect>", "k".repeat(70_000))),
            "MaxMessageLengthExceeded",
        ),
    ]
}

#[tokio::test]
async fn what_is_no_configuration_changes_nothing() {
    let (server, root) = served("b-1").await;
    set(&root, SITE).await.expect(200);
    for (what, document, code) in wrong() {
        let answer = set(&root, &document).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{what}: {}", answer.text());
        assert_eq!(site(&root).await.expect(200).elements("Suffix"), ["index.html"], "{what}");
    }
    for other in [server.user("reader", "readonly"), server.anonymous()] {
        set(&other, &format!("<WebsiteConfiguration>{INDEX}</WebsiteConfiguration>"))
            .await
            .refused(403, "AccessDenied");
        other.call("DELETE", "/b-1").query("website", "").send().await.refused(403, "AccessDenied");
    }
    assert_eq!(site(&root).await.expect(200).elements("Suffix"), ["index.html"]);
}

/// A server whose bucket `b-1` everybody may read, and is a website, and whose bucket `b-2` nobody may.
async fn visited() -> (Server, Client) {
    let config = "[s3]\nwebsite_domains = [\"web.example\"]\n";
    let server = Server::with(Options::default().config(config));
    let root = server.root();
    for bucket in ["b-1", "b-2", "b-3"] {
        root.create_bucket(bucket).await.expect(200);
    }
    set(&root, SITE).await.expect(200);
    root.call("PUT", "/b-2").query("website", "").body(SITE).send().await.expect(200);
    for (key, text) in
        [("index.html", "home"), ("dir/index.html", "directory"), ("a b.html", "page"), ("oops.html", "lost")]
    {
        for bucket in ["b-1", "b-2"] {
            let put = root.call("PUT", &format!("/{bucket}/{key}")).header("content-type", "text/html").body(text);
            put.send().await.expect(200);
        }
    }
    let moved = root.call("PUT", "/b-1/moved").header("x-amz-website-redirect-location", "/elsewhere");
    moved.send().await.expect(200);
    server.run(&["bucket", "set", "b-1", "--public", "true"]);
    let server = server.restart();
    let root = server.root();
    (server, root)
}

async fn visit(root: &Client, host: &str, method: &str, path: &str) -> Answer {
    let mut asked = request(host, method, path);
    asked.auth = Auth::Anonymous;
    root.send(asked.sign(None)).await
}

#[tokio::test]
async fn pages_directories_and_redirects() {
    let (_server, root) = visited().await;
    let home = "b-1.web.example";
    for (path, status, text) in [
        ("/", 200, "home"),
        ("/dir/", 200, "directory"),
        ("/a b.html", 200, "page"),
        // Who may not list learns of no key that it is missing.
        ("/missing", 403, "lost"),
        ("/missing/", 403, "lost"),
    ] {
        let answer = visit(&root, home, "GET", path).await.expect(status);
        assert_eq!((answer.text().as_str(), answer.header("content-type")), (text, Some("text/html")), "{path}");
        let head = visit(&root, "B-1.Web.Example:8080", "HEAD", path).await.expect(status);
        assert_eq!(
            (head.body.len(), head.header("content-length")),
            (0, Some(text.len().to_string().as_str())),
            "{path}"
        );
    }
    for (path, status, location) in [
        ("/dir", 302, "/dir/"),
        ("/old/a b", 302, "/new/a%20b"),
        ("/lost/x", 301, "https://h.example/found"),
        ("/moved", 301, "/elsewhere"),
    ] {
        let answer = visit(&root, home, "GET", path).await.expect(status);
        assert_eq!((answer.header("location"), answer.body.len()), (Some(location), 0), "{path}");
    }
    let mut part = request(home, "GET", "/dir/");
    part.auth = Auth::Anonymous;
    part.headers.push(("range".to_owned(), "bytes=0-2".to_owned()));
    let answer = root.send(part.clone().sign(None)).await.expect(206);
    assert_eq!((answer.text().as_str(), answer.header("content-range")), ("dir", Some("bytes 0-2/9")));
    part.path = "/missing".to_owned();
    assert_eq!(root.send(part.clone().sign(None)).await.expect(403).text(), "lost");
    let etag = visit(&root, home, "GET", "/").await.etag().to_owned();
    part.path = "/".to_owned();
    part.headers.pop();
    part.headers.push(("if-none-match".to_owned(), format!("\"{etag}\"")));
    let same = root.send(part.sign(None)).await.expect(304);
    assert_eq!((same.etag(), same.body.len()), (etag.as_str(), 0));
    let all = "<WebsiteConfiguration><RedirectAllRequestsTo><HostName>h.example</HostName></RedirectAllRequestsTo></WebsiteConfiguration>";
    set(&root, all).await.expect(200);
    let answer = visit(&root, home, "GET", "/a/b").await.expect(301);
    assert_eq!(answer.header("location"), Some("//h.example/a/b"));
    let answer = visit(&root, home, "GET", "//evil.example").await.expect(301);
    assert_eq!(answer.header("location"), Some("//h.example/%2Fevil.example"));
}

#[tokio::test]
async fn nobody_sees_more_than_nobody_may() {
    let (_server, root) = visited().await;
    // The page for errors cannot be read either, so there is one of Longshore's own.
    for path in ["/", "/dir", "/missing", "/a b.html"] {
        let answer = visit(&root, "b-2.web.example", "GET", path).await.expect(403);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        assert!(answer.text().contains("<li>Code: AccessDenied</li>"), "{}", answer.text());
    }
    // A signature makes nobody somebody here.
    let signed = send(&root, request("b-2.web.example", "GET", "/")).await.expect(403);
    assert!(signed.text().contains("AccessDenied"));
    for (host, status, code) in
        [("b-3.web.example", 404, "NoSuchWebsiteConfiguration"), ("none.web.example", 404, "NoSuchBucket")]
    {
        let answer = visit(&root, host, "GET", "/").await.expect(status);
        assert!(answer.text().contains(&format!("<li>Code: {code}</li>")), "{host}: {}", answer.text());
    }
    for method in ["PUT", "POST", "DELETE"] {
        let mut asked = request("b-1.web.example", method, "/index.html");
        asked.body = b"changed".to_vec();
        let answer = send(&root, asked).await.expect(405);
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
    assert_eq!(root.get("b-1", "index.html").await.expect(200).text(), "home");
    let listed = {
        let mut asked = request("b-1.web.example", "GET", "/");
        asked.query.push(("list-type".to_owned(), "2".to_owned()));
        send(&root, asked).await.expect(200)
    };
    assert_eq!(listed.text(), "home", "a query asks for nothing here");
    let escaped = visit(&root, "b-2.web.example", "GET", "/<script>").await.expect(403);
    assert!(!escaped.text().contains("<script>"), "{}", escaped.text());
}
