//! Keys of tokens that are fetched from an address: used as soon as they are there, changed when they change there, kept
//! when nobody answers, and each for its own algorithm.
//!
//! The tokens are signed by OpenSSL's program, which shares no code with the server.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{As, Site, now, refused, token};
use crate::harness::{Options, has_tool};

/// The server asks again half a minute after it has asked.
const ASKS_WITHIN: Duration = Duration::from_secs(50);

fn openssl(directory: &Path, args: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(args).current_dir(directory).stdin(Stdio::null()).output().expect("runs");
    assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A key pair in a file.
struct Key<'d> {
    directory: &'d Path,
    name: &'static str,
    elliptic: bool,
}

impl<'d> Key<'d> {
    fn make(directory: &'d Path, name: &'static str, elliptic: bool) -> Self {
        let kind: &[&str] = match elliptic {
            true => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            false => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        };
        openssl(directory, &[&["genpkey", "-out", name], kind].concat());
        Self { directory, name, elliptic }
    }

    /// What can be published of it.
    fn public(&self) -> Value {
        let der = openssl(self.directory, &["pkey", "-in", self.name, "-pubout", "-outform", "DER"]);
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        if self.elliptic {
            let (x, y) = der[der.len() - 64..].split_at(32);
            return json!({"kty": "EC", "crv": "P-256", "kid": self.name, "x": text(x), "y": text(y)});
        }
        // The modulus is followed by the exponent 65537 in five bytes.
        let end = der.len() - 5;
        json!({"kty": "RSA", "kid": self.name, "alg": "RS256", "n": text(&der[end - 256..end]), "e": "AQAB"})
    }

    /// A token of these claims.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        std::fs::write(self.directory.join("text"), &text).expect("writes");
        let mut signature = openssl(self.directory, &["dgst", "-sha256", "-sign", self.name, "text"]);
        if self.elliptic {
            signature = plain(&signature);
        }
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn token(&self, sub: &str) -> String {
        let algorithm = if self.elliptic { "ES256" } else { "RS256" };
        let claims = json!({"role": "service_role", "sub": sub, "exp": now() + 600});
        self.sign(&json!({"alg": algorithm, "typ": "JWT", "kid": self.name}), &claims)
    }
}

/// The two numbers of a signature, of 32 bytes each, out of their DER.
fn plain(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut both = Vec::new();
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = &number[number.len().saturating_sub(32)..];
        both.extend(std::iter::repeat_n(0, 32 - number.len()));
        both.extend(number);
        rest = &rest[2 + length..];
    }
    both
}

/// Serves a text that may change; without one it says that it cannot.
async fn serve(text: Arc<Mutex<Option<String>>>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            let _ = socket.read(&mut asked).await;
            let answer = match text.lock().expect("no panic").clone() {
                Some(text) => {
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}", text.len())
                }
                None => "HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
            };
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    address
}

fn set(keys: &[&Key<'_>]) -> Option<String> {
    Some(json!({"keys": keys.iter().map(|key| key.public()).collect::<Vec<_>>()}).to_string())
}

async fn counts(site: &Site, text: &str) -> bool {
    let call = site.call(As::Nobody, "GET", "/bucket").header("authorization", &format!("Bearer {text}"));
    call.send().await.status == 200
}

async fn until_counts(site: &Site, text: &str) {
    let end = Instant::now() + ASKS_WITHIN;
    while !counts(site, text).await {
        assert!(Instant::now() < end, "a token does not come to count");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_from_an_address() {
    if !has_tool("keys_come_from_an_address", "openssl", "it signs the tokens") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path();
    let (rsa, curve, later) = (Key::make(at, "r1", false), Key::make(at, "e1", true), Key::make(at, "e2", true));
    let published = Arc::new(Mutex::new(set(&[&rsa, &curve])));
    let address = serve(Arc::clone(&published)).await;
    let config = format!("[jwt]\njwks_url = \"http://{address}/keys.json\"\n");
    let site = Site::with(Options::default().config(&config));
    for key in [&rsa, &curve] {
        until_counts(&site, &key.token("somebody")).await;
    }
    // A key is for its own algorithm, whatever a token says, and is found by its name.
    let claims = json!({"role": "service_role", "exp": now() + 600});
    let public = rsa.public();
    for (what, text) in [
        ("RS256 by the name of a curve", rsa.sign(&json!({"alg": "RS256", "kid": "e1"}), &claims)),
        ("ES256 by the name of an RSA key", curve.sign(&json!({"alg": "ES256", "kid": "r1"}), &claims)),
        ("RS512", rsa.sign(&json!({"alg": "RS512", "kid": "r1"}), &claims)),
        ("HS256 by what is published", token(&claims, public["n"].as_str().expect("a modulus"))),
        ("a key that is not published", later.token("somebody")),
        ("other claims", {
            let good = rsa.token("somebody");
            let other = rsa.token("somebody else");
            let cut = |text: &str, at: usize| text.split('.').nth(at).expect("a part").to_owned();
            format!("{}.{}.{}", cut(&good, 0), cut(&other, 1), cut(&good, 2))
        }),
        (
            "ended",
            curve.sign(&json!({"alg": "ES256", "kid": "e1"}), &json!({"role": "service_role", "exp": now() - 5})),
        ),
    ] {
        assert!(!counts(&site, &text).await, "{what}");
    }
    // The secret of the server goes on counting beside them.
    site.plain(As::Service, "GET", "/bucket").await.expect(200);
    // A key that is published later is found because a token names it; one that is published no more counts no more.
    *published.lock().expect("no panic") = set(&[&later, &curve]);
    until_counts(&site, &later.token("somebody")).await;
    assert!(counts(&site, &curve.token("somebody")).await && !counts(&site, &rsa.token("somebody")).await);
    // Nobody answers: what is known stays.
    *published.lock().expect("no panic") = None;
    assert!(!counts(&site, &rsa.token("somebody")).await);
    assert!(counts(&site, &later.token("somebody")).await);
    assert!(!site.server.log().contains(&later.token("x")[..40]), "the log holds a token");
}

#[tokio::test]
async fn without_an_answer_the_secret_alone_counts() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("its address");
    let site = Site::with(Options::default().config(&format!("[jwt]\njwks_url = \"http://{nobody}/keys.json\"\n")));
    site.plain(As::Service, "GET", "/bucket").await.expect(200);
    let forged = token(&json!({"role": "service_role", "exp": now() + 60}), "");
    let call = site.call(As::Nobody, "GET", "/bucket").header("authorization", &format!("Bearer {forged}"));
    refused(&call.send().await, "403", "AccessDenied", "signature verification failed");
}
