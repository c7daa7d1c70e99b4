//! Credentials, and what is made of them: who may make one, and that none is worth more than whose it is.
//!
//! **Invariant:** users and keys are made beside the server, by who holds its state directory. No request makes one, no
//! request gets one, and a signed URL, a signed form or a second key has the rights of its user at the moment it is shown.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::rights::{BOB, Vault, all, policy, takes_exactly_its_right};
use super::site::KEY;
use crate::harness::{Answer, Auth, Client, Server};
use crate::s3::post::Sent;
use longshore::model::action::Action;

/// What other services would take for the making of a user, a key or a token.
const MAKERS: [&str; 22] = [
    "AssumeRole",
    "AssumeRoleWithSAML",
    "AssumeRoleWithWebIdentity",
    "AssumeRoleWithClientGrants",
    "AssumeRoleWithLDAPIdentity",
    "AssumeRoleWithCertificate",
    "AssumeRoleWithCustomToken",
    "GetSessionToken",
    "GetFederationToken",
    "CreateUser",
    "UpdateUser",
    "DeleteUser",
    "CreateAccessKey",
    "UpdateAccessKey",
    "DeleteAccessKey",
    "ListAccessKeys",
    "CreateLoginProfile",
    "CreateRole",
    "PutUserPolicy",
    "AttachUserPolicy",
    "AddUserToGroup",
    "CreateServiceSpecificCredential",
];

/// Where other servers make them.
const DOORS: [&str; 13] = [
    "/users",
    "/users/mallory",
    "/keys",
    "/api/users",
    "/api/users/login",
    "/admin",
    "/admin/v1/user",
    "/auth/v1/token",
    "/auth/v1/admin/users",
    "/minio/admin/v3/add-user",
    "/minio/admin/v3/add-service-account",
    "/minio/admin/v3/set-user-or-group-policy",
    "/rest/v1/users",
];

/// The routes that answer on the second listener, to GET.
const ROUTES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// All users and all keys, as an administrator sees them.
fn identities(server: &Server) -> Vec<Value> {
    let json = |args: &[&str]| -> Value { serde_json::from_str(&server.run(args)).expect("JSON") };
    let users = json(&["user", "list", "--json"]);
    let names = users.as_array().expect("a list").iter().map(|user| user["name"].as_str().expect("a name").to_owned());
    let keys: Vec<Value> = names.map(|name| json(&["key", "list", "--user", &name, "--json"])).collect();
    [vec![users], keys].concat()
}

/// What is wrong if somebody was given something, or told of it.
fn gives(answer: &Answer, what: &str) -> Option<String> {
    let text = answer.text();
    let told = ["AccessKeyId>", "SecretAccessKey", "SessionToken", "secret_key", "access_token", "Credentials>"];
    told.iter().any(|word| text.contains(word)).then(|| format!("{what}: {} {text}", answer.status))
}

/// A user whose own document allows everything that a document can.
fn mighty(server: &Server) -> Client {
    let file = server.data().parent().expect("a directory around it").join("everything.json");
    std::fs::write(&file, r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#).expect("written");
    server.user("eve", file.to_str().expect("UTF-8"))
}

#[tokio::test]
async fn no_request_makes_a_user_a_key_or_a_token() {
    let server = Server::start();
    let (bob, boss) = (server.user("bob", "readwrite"), server.user("boss", "admin"));
    let callers = [
        ("nobody", server.anonymous()),
        ("bob", bob),
        ("eve", mighty(&server)),
        ("boss", boss),
        ("root", server.root()),
    ];
    let before = identities(&server);
    let mut wrong = Vec::new();
    for (who, client) in &callers {
        for maker in MAKERS {
            let fields = [("Action", maker), ("Version", "2011-06-15"), ("UserName", "mallory"), ("RoleArn", "arn:x")];
            let form: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            for service in ["sts", "iam", "s3"] {
                let what = format!("{who}, {maker} of {service}");
                let post = client.call("POST", "/").scope("us-east-1", service).body(form.join("&"));
                let answer = post.header("content-type", "application/x-www-form-urlencoded").send().await;
                if answer.status < 400 {
                    wrong.push(format!("{what}: {} {}", answer.status, answer.text()));
                }
                let get = client.call("GET", "/").scope("us-east-1", service);
                let get = fields.iter().fold(get, |get, (name, value)| get.query(name, value)).send().await;
                wrong.extend(gives(&answer, &what).or(gives(&get, &what)));
            }
        }
        let rest = Client::new(server.rest, client.keys().cloned());
        for (at, client) in [("the S3 listener", client), ("the other listener", &rest)] {
            for door in DOORS.into_iter().chain(ROUTES) {
                for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                    let what = format!("{who}, {method} {door} at {at}");
                    let made = client.call(method, door).body(r#"{"name":"mallory","policy":"admin"}"#).send().await;
                    let route = method == "GET" && at != "the S3 listener" && ROUTES.contains(&door);
                    // At the S3 listener a path of one word is a bucket, which whoever is somebody may make.
                    let bucket = at == "the S3 listener" && who != &"nobody" && !door[1..].contains('/');
                    if made.status < 400 && !route && !bucket {
                        wrong.push(format!("{what}: {} {}", made.status, made.text()));
                    }
                    wrong.extend(gives(&made, &what));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(identities(&server), before);
}

#[test]
fn the_second_listener_has_no_other_routes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/ops/mod.rs");
    let text = std::fs::read_to_string(path).expect("the routes");
    let routes: Vec<&str> = text.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(routes, ROUTES, "a route is not asked for users and keys");
}

/// A second key of a user.
fn another_key(server: &Server, user: &str) -> Client {
    let key: Value = serde_json::from_str(&server.run(&["key", "create", "--user", user, "--json"])).expect("JSON");
    let field = |name: &str| key[name].as_str().expect("a text").to_owned();
    server.client(&field("access_key"), &field("secret_key"))
}

#[tokio::test]
async fn a_signed_url_by_another_key_takes_exactly_the_right_of_its_user() {
    let server = Server::start();
    server.user("bob", "readwrite");
    let bob = another_key(&server, "bob");
    takes_exactly_its_right(&server, &bob, Auth::Presigned(60)).await;
}

/// Asks until it is refused, which the server has a second to notice and the test some more.
async fn until_refused(what: &str, ask: impl AsyncFn() -> Answer) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = ask().await;
        if answer.status == 403 {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: {} {}", answer.status, answer.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_was_signed_ends_with_the_right_the_key_and_the_user() {
    let server = Server::start();
    let ann = server.user("ann", "readwrite");
    let vault = Vault::new(&ann, "anns".to_owned()).await;
    let ends: [(&str, fn(&Server, &Client)); 4] = [
        ("its key is deleted", |server, bob| {
            server.run(&["key", "delete", "--access-key", &bob.keys().expect("keys").access_key]);
        }),
        ("the user is deleted", |server, _| drop(server.run(&["user", "delete", "bob"]))),
        ("the user's policy denies it", |server, _| {
            let file = server.data().parent().expect("a directory around it").join("deny.json");
            std::fs::write(&file, r#"{"Statement":{"Effect":"Deny","Action":"s3:*","Resource":"*"}}"#)
                .expect("written");
            server.run(&["user", "create", "bob", "--replace", "--policy", file.to_str().expect("UTF-8")]);
        }),
        ("the bucket's policy gives nothing", |_, _| ()),
    ];
    for (what, end) in ends {
        server.command(&["user", "delete", "bob"]);
        let bob = server.user("bob", "readwrite");
        vault.allow(&ann, BOB, [Action::GetObject, Action::PutObject].into_iter()).await;
        let get = bob.call("GET", &format!("/anns/{KEY}")).auth(Auth::Presigned(600)).signed();
        let put = bob.call("PUT", "/anns/by-bob").auth(Auth::Presigned(600)).body("bob's").signed();
        let conditions = serde_json::json!([{"bucket": "anns"}, {"key": "by-form"}]);
        let form = Sent::new(&[("key", "by-form")], b"bob's").signed(&bob, conditions);
        assert_eq!(bob.send(get.clone()).await.expect(200).text(), "bytes of ann", "{what}");
        bob.send(put.clone()).await.expect(200);
        form.post(&bob, "/anns").await.expect(204);
        end(&server, &bob);
        if what.starts_with("the bucket") {
            let text = policy("anns", BOB, [Action::ListBucket].into_iter());
            ann.call("PUT", "/anns").query("policy", "").body(text).send().await.expect(204);
        }
        until_refused(what, async || bob.send(get.clone()).await).await;
        let refused = bob.send(put).await;
        assert_eq!(refused.status, 403, "{what}: {}", refused.text());
        let refused = form.post(&bob, "/anns").await;
        assert_eq!(refused.status, 403, "{what}: {}", refused.text());
    }
}

#[tokio::test]
async fn a_signed_form_takes_the_right_to_write() {
    let server = Server::start();
    let (ann, bob) = (server.user("ann", "readwrite"), server.user("bob", "readwrite"));
    let vault = Vault::new(&ann, "anns".to_owned()).await;
    let form = || {
        let conditions = serde_json::json!([{"bucket": "anns"}, {"key": "by-form"}]);
        Sent::new(&[("key", "by-form")], b"bob's").signed(&bob, conditions)
    };
    form().post(&bob, "/anns").await.refused(403, "AccessDenied");
    vault.allow(&ann, BOB, all().filter(|action| *action != Action::PutObject)).await;
    form().post(&bob, "/anns").await.refused(403, "AccessDenied");
    ann.get("anns", "by-form").await.expect(404);
    vault.allow(&ann, BOB, [Action::PutObject].into_iter()).await;
    form().post(&bob, "/anns").await.expect(204);
    // Who writes owns.
    assert_eq!(server.root().get("anns", "by-form").await.expect(200).text(), "bob's");
}
