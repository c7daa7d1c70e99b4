//! The storages of the clouds as another program sees them: the providers' own clients, which share no code with ours.
//!
//! **Invariant:** each question is answered before the next is asked, so what is read is what was there at that moment.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore::model::name::BucketName;
use serde_json::{Value, json};

use super::bed::{Outside, pattern};
use crate::harness::backends::{self, Guard};
use crate::harness::{Backend, fresh_name};

/// A storage by the client program of its provider.
pub(crate) struct InCloud {
    child: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl InCloud {
    /// The client program of a backend, running.
    pub(crate) fn of(backend: &Backend) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/compat/backends/client.py");
        let mut command = Command::new(backends::python());
        command.args(["-B", script, backend.provider]).envs(&backend.variables);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3");
        let pipes = (child.stdin.take().expect("piped"), BufReader::new(child.stdout.take().expect("piped")));
        Self { child, pipes: Mutex::new(pipes) }
    }

    /// Asks and waits for the answer.
    #[track_caller]
    fn ask(&self, question: &Value) -> Value {
        let mut answer = self.answer(question);
        assert!(answer["error"].is_null(), "{question}: {answer}");
        answer["ok"].take()
    }

    #[track_caller]
    fn answer(&self, question: &Value) -> Value {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(pipes.0, "{question}").expect("a running client");
        let mut line = String::new();
        pipes.1.read_line(&mut line).expect("a running client");
        serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("the client program ended: `make tools` installs what it needs"))
    }

    /// Writes under a name that the storage, or its client, may have no way to name; whether it said that it did.
    pub(crate) fn try_write(&self, container: &BucketName, key: &str, bytes: &[u8]) -> bool {
        let data = STANDARD.encode(bytes);
        let question = json!({"op": "write", "container": container.as_str(), "key": key, "data": data});
        self.answer(&question)["error"].is_null()
    }

    /// Writes something that this storage alone has.
    pub(crate) fn write_as(&self, kind: &str, container: &BucketName, key: &str, bytes: &[u8]) {
        let (container, data) = (container.as_str(), STANDARD.encode(bytes));
        self.ask(&json!({"op": "write_as", "container": container, "key": key, "data": data, "kind": kind}));
    }

    /// Begins an upload in parts, where there are such; its id.
    pub(crate) fn begin_upload(&self, container: &BucketName, key: &str) -> String {
        let said = self.ask(&json!({"op": "begin", "container": container.as_str(), "key": key}));
        said.as_str().expect("an id").to_owned()
    }

    /// The uploads in parts that are under way: key, id and number of parts.
    pub(crate) fn uploads(&self, container: &BucketName) -> Vec<(String, String, usize)> {
        let said = self.ask(&json!({"op": "uploads", "container": container.as_str()}));
        let mut uploads: Vec<(String, String, usize)> = serde_json::from_value(said).expect("uploads");
        uploads.sort_unstable();
        uploads
    }

    /// All names of a container as the storage has them, in order of their bytes.
    pub(crate) fn names(&self, container: &BucketName) -> Vec<String> {
        let said = self.ask(&json!({"op": "names", "container": container.as_str()}));
        let mut names: Vec<String> = serde_json::from_value(said).expect("names");
        names.sort_unstable();
        names
    }

    /// Size, type, metadata and ETag as the storage tells them.
    pub(crate) fn stat(&self, container: &BucketName, key: &str) -> Option<Value> {
        let said = self.ask(&json!({"op": "stat", "container": container.as_str(), "key": key}));
        (!said.is_null()).then_some(said)
    }

    /// All containers.
    pub(crate) fn containers(&self) -> Vec<String> {
        serde_json::from_value(self.ask(&json!({"op": "containers"}))).expect("names")
    }

    pub(crate) fn create(&self, container: &BucketName) {
        self.ask(&json!({"op": "create", "container": container.as_str()}));
    }

    /// Removes a container with everything in it.
    pub(crate) fn clear(&self, container: &BucketName) {
        self.ask(&json!({"op": "clear", "container": container.as_str()}));
    }
}

impl Outside for InCloud {
    fn write(&self, container: &BucketName, key: &str, bytes: &[u8]) {
        let data = STANDARD.encode(bytes);
        self.ask(&json!({"op": "write", "container": container.as_str(), "key": key, "data": data}));
    }
    fn remove(&self, container: &BucketName, key: &str) {
        self.ask(&json!({"op": "remove", "container": container.as_str(), "key": key}));
    }
    fn read(&self, container: &BucketName, key: &str) -> Option<Vec<u8>> {
        let said = self.ask(&json!({"op": "read", "container": container.as_str(), "key": key}));
        said.as_str().map(|text| STANDARD.decode(text).expect("base64"))
    }
    fn lost(&self, container: &BucketName, name: &str) -> Option<Vec<u8>> {
        self.read(container, &format!(".longshore/lost/{name}"))
    }
    fn directory(&self, _container: &BucketName) -> PathBuf {
        panic!("a cloud has no directories")
    }
}

impl Drop for InCloud {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the behaviours take for granted of the other program.
fn sees(backend: &Backend) {
    let outside = InCloud::of(backend);
    let container = BucketName::new(&fresh_name("outside")).expect("a legal name");
    outside.create(&container);
    assert!(outside.containers().iter().any(|name| name == container.as_str()));
    assert_eq!(outside.read(&container, "d/k"), None);
    for (key, bytes) in [("d/k", pattern(300_000)), ("d/ü 1+%", pattern(0)), (".longshore/lost/x", pattern(1))] {
        outside.write(&container, key, b"what it had before");
        outside.write(&container, key, &bytes);
        assert_eq!(outside.read(&container, key).expect("there"), bytes);
        assert_eq!(outside.stat(&container, key).expect("there")["size"], bytes.len());
    }
    assert_eq!(outside.names(&container), [".longshore/lost/x", "d/k", "d/ü 1+%"]);
    assert_eq!(outside.lost(&container, "x").expect("there"), pattern(1));
    outside.remove(&container, "d/k");
    assert_eq!(outside.read(&container, "d/k"), None);
    assert_eq!(outside.stat(&container, "d/k"), None);
    outside.clear(&container);
    assert!(!outside.containers().iter().any(|name| name == container.as_str()));
}

#[test]
fn azure_is_seen_from_outside() {
    backends::azure("azure_is_seen_from_outside").into_iter().for_each(sees);
}

#[test]
fn google_is_seen_from_outside() {
    backends::google("google_is_seen_from_outside").into_iter().for_each(sees);
}

#[test]
fn amazon_is_seen_from_outside() {
    backends::amazon("amazon_is_seen_from_outside").into_iter().for_each(sees);
}

#[test]
fn openstack_is_seen_from_outside() {
    backends::openstack("openstack_is_seen_from_outside").into_iter().for_each(sees);
}

#[test]
fn keystone_lets_its_user_in() {
    backends::keystone("keystone_lets_its_user_in").into_iter().for_each(sees);
}

#[test]
fn a_backend_ends_with_its_holder() {
    // The one that has the most processes.
    if backends::openstack("a_backend_ends_with_its_holder").is_none() {
        return;
    }
    let guard = Guard::start("swift", &[]);
    let url = guard.variables["ST_AUTH"].clone();
    let address = url.split('/').nth(2).expect("an address").to_owned();
    assert!(TcpStream::connect(&address).is_ok(), "{address} listens");
    let processes = std::fs::read_to_string(guard.directory.join("pids")).expect("its list");
    let directory = guard.release();
    assert!(!directory.exists(), "its data stayed");
    assert!(TcpStream::connect(&address).is_err(), "{address} still listens");
    for line in processes.lines() {
        let pid = line.split(' ').next().expect("a number");
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{line} still runs");
    }
}
