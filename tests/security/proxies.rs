//! What a configured proxy says about the way a request came.
//!
//! **Invariant:** of a chain of addresses counts what the proxies of the configuration wrote, on every front alike, and
//! nothing that a client could have written in front of it.

use super::forwarded::{Door, KEY, say, statement};
use crate::harness::{Options, Server};

/// The bucket that is open to one address, and the one that is open over TLS.
const BUCKETS: [(&str, &str); 2] = [
    ("far-only", r#""IpAddress":{"aws:SourceIp":"203.0.113.7"}"#),
    ("tls-only", r#""Bool":{"aws:SecureTransport":"true"}"#),
];

async fn served(config: &str) -> Server {
    let server = Server::with(Options::default().config(config));
    let root = server.root();
    for (bucket, condition) in BUCKETS {
        root.create_bucket(bucket).await.expect(200);
        root.put(bucket, KEY, "x").await.expect(200);
        say(&root, bucket, &[statement("Allow", "s3:GetObject", &format!("{bucket}/*"), condition)]).await;
    }
    server
}

#[tokio::test]
async fn the_word_of_a_configured_proxy_counts_up_to_where_the_client_wrote() {
    let server = served("[server]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n").await;
    let mut wrong = Vec::new();
    for door in Door::all(&server) {
        for (bucket, name, value, open) in [
            ("far-only", "x-forwarded-for", "203.0.113.7", true),
            ("far-only", "x-forwarded-for", "192.0.2.9, 203.0.113.7", true),
            ("far-only", "x-forwarded-for", "203.0.113.7, 10.1.2.3", true),
            ("far-only", "x-forwarded-for", "203.0.113.7:4711", true),
            ("far-only", "x-forwarded-for", "203.0.113.7, 192.0.2.9", false),
            ("far-only", "x-forwarded-for", "10.1.2.3", false),
            ("far-only", "x-forwarded-for", "203.0.113.7, unknown", false),
            ("far-only", "x-real-ip", "203.0.113.7", false),
            ("far-only", "forwarded", "for=203.0.113.7", false),
            ("tls-only", "x-forwarded-proto", "https", true),
            ("tls-only", "x-forwarded-proto", "http", false),
            ("tls-only", "x-forwarded-proto", "https, http", false),
            ("tls-only", "x-forwarded-ssl", "on", false),
        ] {
            let answer = door.read(bucket).spoil(move |signed| signed.set_header(name, value)).send().await;
            if (answer.status == 200) != open {
                wrong.push(format!("{}, {bucket}, {name}: {value}: {} {}", door.name, answer.status, answer.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_word_of_another_counts_for_nothing() {
    let server = served("[server]\ntrusted_proxies = [\"10.0.0.0/8\"]\n").await;
    for door in Door::all(&server) {
        for (bucket, name, value) in
            [("far-only", "x-forwarded-for", "203.0.113.7"), ("tls-only", "x-forwarded-proto", "https")]
        {
            let answer = door.read(bucket).spoil(move |signed| signed.set_header(name, value)).send().await;
            assert!(answer.status >= 400, "{}, {bucket}: {}", door.name, answer.status);
        }
    }
}
