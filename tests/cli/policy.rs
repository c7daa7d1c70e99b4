//! `longshore policy explain`: the answer a request would get, with the rule that decides.

use serde_json::Value;

use super::{stderr, stdout};
use crate::harness::Server;

#[tokio::test]
async fn the_rule_that_decides_is_named() {
    let server = Server::start();
    let alice = server.user("alice", "readwrite");
    server.user("bob", "readonly");
    alice.create_bucket("hers").await.expect(200);
    alice.put("hers", "k", "body").await.expect(200);
    let ask = |user: &str, action: &str, resource: &str, more: &[&str]| {
        let mut args = vec!["policy", "explain", "--user", user, "--action", action, "--resource", resource];
        args.extend(more);
        let output = server.command(&args);
        (output.status.code(), stdout(&output).trim().to_owned(), stderr(&output))
    };
    let (code, text, _) = ask("alice", "s3:GetObject", "hers/k", &[]);
    assert_eq!((code, text.as_str()), (Some(0), "Allowed: the user's policy, statement 1"));
    let (code, text, _) = ask("bob", "GetObject", "arn:aws:s3:::hers/k", &[]);
    assert_eq!((code, text.as_str()), (Some(1), "Denied: nothing allows it"));
    assert_eq!(ask("anonymous", "s3:ListBucket", "hers", &[]).0, Some(1));
    assert_eq!(ask("root", "s3:DeleteBucket", "hers", &[]).1, "Allowed: the caller is root");
    assert_eq!(ask("bob", "s3:CreateBucket", "new", &[]).0, Some(1));
    assert_eq!(ask("alice", "s3:ListAllMyBuckets", "*", &[]).0, Some(0));

    let policy = r#"{"Version":"2012-10-17","Statement":[{"Sid":"office","Effect":"Allow","Principal":{"AWS":"bob"},
        "Action":"s3:GetObject","Resource":"arn:aws:s3:::hers/*",
        "Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}]}"#;
    alice.call("PUT", "/hers").query("policy", "").body(policy).send().await.expect(204);
    let near = ["--context", "aws:SourceIp=192.0.2.7", "--json"];
    let (code, text, _) = ask("bob", "s3:GetObject", "hers/k", &near);
    let shown: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &shown["decision"], &shown["source"]), (Some(0), &"Allowed".into(), &"bucket_policy".into()));
    assert_eq!((&shown["sid"], &shown["statement"]), (&"office".into(), &1.into()));
    assert_eq!(ask("bob", "s3:GetObject", "hers/k", &["--context", "aws:SourceIp=198.51.100.7"]).0, Some(1));

    for (user, action, resource, more, code) in [
        ("nobody", "s3:GetObject", "hers/k", &[][..], 1),
        ("bob", "s3:Nothing", "hers/k", &[], 2),
        ("bob", "s3:GetObject", "absent/k", &[], 1),
        ("bob", "s3:GetObject", "hers/k", &["--context", "aws:SourceIp=here"], 2),
        ("bob", "s3:GetObject", "hers/k", &["--context", "s3:ExistingObjectTag/a=b"], 2),
    ] {
        let (found, _, said) = ask(user, action, resource, more);
        assert_eq!((found, said.is_empty()), (Some(code), false), "{user} {action} {resource} {more:?}");
    }
}
