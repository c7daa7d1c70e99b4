//! The LoopBack storage interface of the built server, held against what LoopBack 3 was seen to answer.
//!
//! **Invariant:** forms are written here byte by byte; nothing of the server's code is used for them.

mod client;
mod crossing;
mod dialect;
mod downloads;
mod hostile;
mod routes;
mod tokens;
mod uploads;

use serde_json::Value;

use crate::harness::{Answer, Call, Client, Options, Server};

/// The boundary of the forms.
const BOUNDARY: &str = "XlbdiffX";

/// A server with its interface, and a token of root.
pub(super) struct Site {
    pub(super) server: Server,
    pub(super) rest: Client,
    pub(super) token: String,
}

impl Site {
    pub(super) fn start() -> Self {
        Self::with("")
    }

    /// With this configuration.
    pub(super) fn with(config: &str) -> Self {
        let server = Server::with(Options::default().config(config));
        let rest = Client::new(server.rest, None);
        let token = token_of(&server, "root");
        Self { server, rest, token }
    }

    /// A request of nobody to a target as it goes over the wire.
    pub(super) fn bare(&self, method: &str, target: &str) -> Call<'_> {
        let target = target.to_owned();
        self.rest.call(method, "/").spoil(move |signed| signed.target = target)
    }

    /// A request of root to what is below the mount.
    pub(super) fn call(&self, method: &str, below: &str) -> Call<'_> {
        self.bare(method, &format!("/api/containers{below}")).header("authorization", &self.token)
    }

    /// A GET of root.
    pub(super) async fn get(&self, below: &str) -> Answer {
        self.call("GET", below).send().await
    }

    /// Makes a container.
    pub(super) async fn make(&self, name: &str) {
        let body = serde_json::json!({ "name": name }).to_string();
        self.call("POST", "").header("content-type", "application/json").body(body).send().await.expect(200);
    }

    /// Uploads a form.
    pub(super) async fn form(&self, container: &str, form: impl Into<Vec<u8>>) -> Answer {
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        self.call("POST", &format!("/{container}/upload")).header("content-type", &kind).body(form).send().await
    }

    /// Uploads one file.
    pub(super) async fn upload(&self, container: &str, name: &str, kind: &str, body: &str) -> Answer {
        self.form(container, form(&[file("file", name, kind, body)])).await
    }

    /// The names of a list of files.
    pub(super) async fn files(&self, container: &str) -> Vec<String> {
        names(&self.get(&format!("/{container}/files")).await.expect(200))
    }
}

/// A token of a user.
pub(super) fn token_of(server: &Server, user: &str) -> String {
    server.run(&["token", "create", "--user", user]).trim().to_owned()
}

/// A part that is a file.
pub(super) fn file(field: &str, name: &str, kind: &str, body: &str) -> String {
    let head = format!("Content-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\nContent-Type: {kind}");
    format!("--{BOUNDARY}\r\n{head}\r\n\r\n{body}\r\n")
}

/// A part that is a field.
pub(super) fn field(name: &str, body: &str) -> String {
    format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{body}\r\n")
}

/// A form of parts.
pub(super) fn form(parts: &[String]) -> String {
    format!("{}--{BOUNDARY}--\r\n", parts.concat())
}

/// The body of an answer.
pub(super) fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("no JSON: {answer:?}"))
}

/// The names of what a list holds.
pub(super) fn names(answer: &Answer) -> Vec<String> {
    let rows = body(answer);
    let name = |row: &Value| row["name"].as_str().expect("a name").to_owned();
    rows.as_array().expect("a list").iter().map(name).collect()
}

/// Requires what LoopBack tells of a failure of its own: nothing.
#[track_caller]
pub(super) fn failed(answer: &Answer) {
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert_eq!(answer.text(), r#"{"error":{"statusCode":500,"message":"Internal Server Error"}}"#);
    assert_eq!(answer.header("content-length"), Some("62"));
}

/// Requires a refusal with these words.
#[track_caller]
pub(super) fn refused(answer: &Answer, status: u16, text: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (status, text));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!((answer.header("etag"), answer.header("www-authenticate")), (None, None));
}
