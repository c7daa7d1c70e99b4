//! The FileStore interface of the built server, held against the requests that its clients were seen to send.
//!
//! **Invariant:** what is asked for over one front is looked at over another one.

mod bad;
mod doors;
mod items;
mod lists;
mod moves;
mod rights;
mod slow;
mod users;

use serde_json::{Value, json};

use crate::harness::{Answer, Call, Client, Options, Server};

/// Two services: one that everyone may read, and one as it is usual, with limits.
const CONFIG: &str = r#"
[filestore]
domain = "nive.local"
[[filestore.service]]
name = "mystorage"
private = false
[[filestore.service]]
name = "small"
bucket = "small-bucket"
max_items = 4
max_bytes = 1000
max_levels = 3
"#;

/// A server with its interface, and its users.
pub(super) struct Site {
    pub(super) server: Server,
    pub(super) rest: Client,
    admin: String,
}

impl Site {
    pub(super) fn start() -> Self {
        Self::with(Options::default())
    }

    pub(super) fn with(options: Options) -> Self {
        Self::of(Server::with(options.config(CONFIG)))
    }

    /// Over a server that runs.
    pub(super) fn of(server: Server) -> Self {
        let rest = Client::new(server.rest, None);
        server.run(&["user", "create", "boss", "--group", "admins", "--replace"]);
        let mut site = Self { server, rest, admin: String::new() };
        site.admin = site.token("boss");
        site
    }

    /// A token of a user.
    pub(super) fn token(&self, user: &str) -> String {
        self.server.run(&["token", "create", "--user", user]).trim().to_owned()
    }

    /// Makes a user and returns a token of it.
    pub(super) fn user(&self, name: &str, groups: &[&str]) -> String {
        let mut args = vec!["user", "create", name];
        groups.iter().for_each(|group| args.extend(["--group", group]));
        self.server.run(&args);
        self.token(name)
    }

    /// A request below the service.
    pub(super) fn request(&self, token: Option<&str>, method: &str, path: &str) -> Call<'_> {
        let call = self.rest.call(method, path);
        match token {
            Some(token) => call.header("x-auth-token", token),
            None => call,
        }
    }

    /// A function of the usual service, as the browser's client calls it.
    pub(super) async fn call(&self, token: Option<&str>, function: &str, path: &str, body: Value) -> Answer {
        let path = path.trim_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        let call = self.request(token, "POST", &format!("/mystorage/api{slash}{path}/@{function}"));
        call.header("content-type", "application/json").body(body.to_string()).send().await
    }

    /// The same for an administrator.
    pub(super) async fn act(&self, function: &str, path: &str, body: Value) -> Answer {
        self.call(Some(&self.admin), function, path, body).await
    }

    /// Makes a file as an administrator.
    pub(super) async fn file(&self, path: &str, contents: &str) {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let answer = self.act("newItem", directory, json!({"name": name, "contents": contents})).await;
        done(&answer, true);
    }

    /// Makes a directory as an administrator.
    pub(super) async fn directory(&self, path: &str) {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        done(&self.act("newItem", directory, json!({"name": name, "type": "d"})).await, true);
    }

    /// The names in a directory, in their order.
    pub(super) async fn names(&self, path: &str) -> Vec<String> {
        let answer = self.act("list", path, json!({"size": 1000})).await.expect(200);
        let items = body(&answer)["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| format!("{}{}", item["name"].as_str().unwrap_or("?"), mark(item))).collect()
    }
}

fn mark(item: &Value) -> &'static str {
    if item["type"] == "d" { "/" } else { "" }
}

/// The body of an answer.
#[track_caller]
pub(super) fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("no JSON: {answer:?}"))
}

/// Requires a result.
#[track_caller]
pub(super) fn done(answer: &Answer, result: impl Into<Value>) {
    assert_eq!((answer.status, body(answer)), (200, json!({ "result": result.into() })), "{}", answer.text());
}

/// Requires a refusal.
#[track_caller]
pub(super) fn refused(answer: &Answer, status: u16, message: &str, invalid: &[&str]) {
    let told = body(answer);
    assert_eq!((answer.status, told["message"].as_str()), (status, Some(message)), "{}", answer.text());
    let named: Vec<&str> = told["invalid"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert_eq!(named, invalid, "{}", answer.text());
    assert!(told["result"] == json!(false) || told["result"] == json!(0), "{}", answer.text());
}
