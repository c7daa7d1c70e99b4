//! Requests of pages of other origins: what browsers are told before and beside them.

use super::served;
use crate::harness::{Answer, Client};

const RULES: &str = "<CORSConfiguration>\
    <CORSRule><ID>one</ID><AllowedOrigin>http://*.example.com</AllowedOrigin><AllowedMethod>GET</AllowedMethod>\
    <AllowedHeader>x-amz-*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><ExposeHeader>x-amz-meta-a</ExposeHeader>\
    <MaxAgeSeconds>600</MaxAgeSeconds></CORSRule>\
    <CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>PUT</AllowedMethod><AllowedMethod>DELETE</AllowedMethod></CORSRule>\
    </CORSConfiguration>";

async fn set(client: &Client, document: &str) -> Answer {
    client.call("PUT", "/b-1").query("cors", "").body(document).send().await
}

async fn rules(client: &Client) -> Answer {
    client.call("GET", "/b-1").query("cors", "").send().await
}

fn rule(inner: &str) -> String {
    format!("<CORSConfiguration><CORSRule>{inner}</CORSRule></CORSConfiguration>")
}

#[tokio::test]
async fn a_configuration_is_kept_as_it_was_given() {
    let (server, root) = served("b-1").await;
    rules(&root).await.refused(404, "NoSuchCORSConfiguration");
    set(&root, RULES).await.expect(200);
    let server = server.restart();
    let root = server.root();
    let kept = rules(&root).await.expect(200);
    assert_eq!(kept.elements("ID"), ["one"]);
    assert_eq!(kept.elements("AllowedOrigin"), ["http://*.example.com", "*"]);
    assert_eq!(kept.elements("AllowedMethod"), ["GET", "PUT", "DELETE"]);
    assert_eq!(kept.elements("AllowedHeader"), ["x-amz-*"]);
    assert_eq!(kept.elements("ExposeHeader"), ["ETag", "x-amz-meta-a"]);
    assert_eq!(kept.elements("MaxAgeSeconds"), ["600"]);
    for _ in 0..2 {
        root.call("DELETE", "/b-1").query("cors", "").send().await.expect(204);
        rules(&root).await.refused(404, "NoSuchCORSConfiguration");
    }
}

#[tokio::test]
async fn what_is_no_configuration_changes_nothing() {
    let (server, root) = served("b-1").await;
    set(&root, RULES).await.expect(200);
    let get = "<AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>";
    let many = format!("<CORSConfiguration>{}</CORSConfiguration>", format!("<CORSRule>{get}</CORSRule>").repeat(101));
    let long = rule(&format!("{get}<ExposeHeader>{}</ExposeHeader>", "h".repeat(70_000)));
    let huge = rule(&format!("{get}<ID>{}</ID>", "i".repeat(3 << 20)));
    let bomb = format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{}", rule(get));
    for (what, document, status, code) in [
        ("cut", RULES[..90].to_owned(), 400, "MalformedXML"),
        ("another document", "<X/>".to_owned(), 400, "MalformedXML"),
        ("no rules", "<CORSConfiguration/>".to_owned(), 400, "MalformedXML"),
        ("too many rules", many, 400, "MalformedXML"),
        ("too long", long, 400, "MaxMessageLengthExceeded"),
        ("a huge one", huge, 400, "MaxMessageLengthExceeded"),
        ("a document type", bomb, 400, "MalformedXML"),
        ("an unknown element", rule(&format!("{get}<AllowAll/>")), 400, "MalformedXML"),
        ("no origin", rule("<AllowedMethod>GET</AllowedMethod>"), 400, "MalformedXML"),
        ("no method", rule("<AllowedOrigin>*</AllowedOrigin>"), 400, "MalformedXML"),
        ("an age that is no number", rule(&format!("{get}<MaxAgeSeconds>long</MaxAgeSeconds>")), 400, "MalformedXML"),
        ("an age below zero", rule(&format!("{get}<MaxAgeSeconds>-1</MaxAgeSeconds>")), 400, "MalformedXML"),
        (
            "another method",
            rule("<AllowedOrigin>*</AllowedOrigin><AllowedMethod>OPTIONS</AllowedMethod>"),
            400,
            "InvalidRequest",
        ),
        (
            "two wildcards",
            rule("<AllowedOrigin>*.*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"),
            400,
            "InvalidRequest",
        ),
        ("a wildcard", rule(&format!("{get}<ExposeHeader>*</ExposeHeader>")), 400, "InvalidRequest"),
        ("a line end", rule(&format!("{get}<ExposeHeader>a&#13;&#10;b</ExposeHeader>")), 400, "InvalidRequest"),
    ] {
        let answer = set(&root, &document).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}: {}", answer.text());
        assert_eq!(rules(&root).await.expect(200).elements("AllowedMethod"), ["GET", "PUT", "DELETE"], "{what}");
    }
    for other in [server.user("reader", "readonly"), server.anonymous()] {
        set(&other, &rule(get)).await.refused(403, "AccessDenied");
        other.call("DELETE", "/b-1").query("cors", "").send().await.refused(403, "AccessDenied");
    }
    assert_eq!(rules(&root).await.expect(200).elements("AllowedMethod"), ["GET", "PUT", "DELETE"]);
    let wrong = root.call("PUT", "/b-1").query("cors", "").header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
    wrong.body(rule(get)).send().await.refused(400, "BadDigest");
    root.call("PUT", "/none").query("cors", "").body(rule(get)).send().await.refused(404, "NoSuchBucket");
}

async fn preflight(client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    let call = client.call("OPTIONS", path);
    headers.iter().fold(call, |call, (name, value)| call.header(name, value)).send().await
}

#[tokio::test]
async fn preflights_are_answered_from_the_rules_alone() {
    let (server, root) = served("b-1").await;
    let nobody = server.anonymous();
    const ORIGIN: (&str, &str) = ("origin", "http://a.example.com");
    const GET: (&str, &str) = ("access-control-request-method", "GET");
    preflight(&nobody, "/b-1/k", &[]).await.refused(400, "BadRequest");
    preflight(&nobody, "/b-1/k", &[ORIGIN]).await.refused(400, "BadRequest");
    preflight(&nobody, "/b-1/k", &[ORIGIN, ("access-control-request-method", "get")]).await.refused(400, "BadRequest");
    for path in ["/b-1", "/b-1/k", "/none/k", "/"] {
        preflight(&nobody, path, &[ORIGIN, GET]).await.refused(403, "AccessForbidden");
    }
    set(&root, RULES).await.expect(200);
    for path in ["/b-1", "/b-1/missing", "/b-1/k?X-Amz-Signature=0&partNumber=7"] {
        let answer = preflight(&nobody, path.split('?').next().expect("a path"), &[ORIGIN, GET]).await.expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), Some("http://a.example.com"));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET"));
        assert_eq!(answer.header("access-control-expose-headers"), Some("ETag, x-amz-meta-a"));
        assert_eq!(answer.header("access-control-max-age"), Some("600"));
        assert_eq!(
            answer.header("vary"),
            Some("Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
        );
    }
    let asked = ("access-control-request-headers", "X-Amz-Date, x-amz-content-sha256");
    let answer = preflight(&nobody, "/b-1/k", &[ORIGIN, GET, asked]).await.expect(200);
    assert_eq!(answer.header("access-control-allow-headers"), Some("x-amz-date, x-amz-content-sha256"));
    let other = ("access-control-request-headers", "x-amz-date, cookie");
    let refused = preflight(&nobody, "/b-1/k", &[ORIGIN, GET, other]).await.refused(403, "AccessForbidden");
    assert_eq!(refused.header("access-control-allow-origin"), None);
    preflight(&nobody, "/b-1/k", &[("origin", "http://b"), GET]).await.refused(403, "AccessForbidden");
    let put = ("access-control-request-method", "PUT");
    let answer = preflight(&nobody, "/b-1/k", &[("origin", "null"), put]).await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert_eq!(answer.header("access-control-allow-methods"), Some("PUT, DELETE"));
}

#[tokio::test]
async fn answers_say_whether_a_page_may_see_them() {
    let (_server, root) = served("b-1").await;
    set(&root, RULES).await.expect(200);
    root.put("b-1", "k", "x").await.expect(200);
    let told = |answer: &Answer| {
        let header = |name| answer.header(name).map(str::to_owned);
        (header("access-control-allow-origin"), header("access-control-expose-headers"), header("vary").is_some())
    };
    let page = "http://a.example.com";
    let exposed = Some("ETag, x-amz-meta-a".to_owned());
    let get = |path: &'static str, origin: &'static str| root.call("GET", path).header("origin", origin);
    assert_eq!(told(&get("/b-1/k", page).send().await.expect(200)), (Some(page.into()), exposed.clone(), true));
    let missing = get("/b-1/missing", page).send().await.refused(404, "NoSuchKey");
    assert_eq!(told(&missing), (Some(page.into()), exposed.clone(), true));
    let nobody = root.with_keys(None);
    let denied = nobody.call("GET", "/b-1/k").header("origin", page).send().await.refused(403, "AccessDenied");
    assert_eq!(told(&denied), (Some(page.into()), exposed, true));
    assert_eq!(told(&get("/b-1/k", "http://b").send().await.expect(200)), (None, None, true));
    assert_eq!(told(&root.get("b-1", "k").await.expect(200)), (None, None, true), "a cache must know");
    let put = root.call("PUT", "/b-1/k2").header("origin", "http://b").body("y").send().await.expect(200);
    assert_eq!(told(&put), (Some("*".into()), None, true));
    root.call("DELETE", "/b-1").query("cors", "").send().await.expect(204);
    assert_eq!(told(&get("/b-1/k", page).send().await.expect(200)), (None, None, false));
}
