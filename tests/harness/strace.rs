//! What a running server asks of the kernel: watched, and made to fail, by `strace`.
//!
//! `strace` counts calls for `when=` in each thread by itself, so one sequence may fail the N-th call of several
//! threads. What was made to fail is therefore read from the trace and never assumed.
//!
//! **Invariant:** after [`Strace::attach`] every call of every thread is seen; after [`Strace::detach`] none is touched.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::Server;

/// A tracer at work.
pub(crate) struct Strace {
    child: Child,
    /// Holds the file of the trace.
    home: TempDir,
    messages: Option<JoinHandle<()>>,
}

/// One call of the kernel. Moments are numbers of lines of the trace.
#[derive(Debug, Clone)]
pub(crate) struct Syscall {
    pub(crate) name: String,
    /// Its arguments, descriptors with their paths.
    pub(crate) arguments: String,
    /// What it returned, and whether that was made up.
    pub(crate) result: String,
    pub(crate) began: usize,
    pub(crate) ended: usize,
}

impl Syscall {
    pub(crate) fn injected(&self) -> bool {
        self.result.contains("(INJECTED)")
    }

    pub(crate) fn succeeded(&self) -> bool {
        !self.result.starts_with('-')
    }
}

impl Strace {
    /// Attaches to all threads of a server, those to come among them.
    pub(crate) fn attach(server: &Server, options: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-s", "64", "-p"]).arg(server.pid().to_string());
        command.arg("-o").arg(home.path().join("trace")).args(options);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("strace");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let first = lines.next().unwrap_or_default();
        assert!(first.contains("attached"), "strace does not attach: {first}");
        // It tells each thread that begins and ends; nobody needs to know, but the pipe must not fill.
        let messages = std::thread::spawn(move || lines.for_each(drop));
        Self { child, home, messages: Some(messages) }
    }

    /// Lets the server go on untouched and tells what it asked for.
    pub(crate) fn detach(mut self) -> Vec<Syscall> {
        self.end();
        let trace = std::fs::read(self.home.path().join("trace")).expect("a trace");
        parse(&String::from_utf8_lossy(&trace))
    }

    fn end(&mut self) {
        let Some(messages) = self.messages.take() else { return };
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        // An error means that it has ended with the server.
        let _ = kill_process(pid, Signal::INT);
        let _ = self.child.wait();
        let _ = messages.join();
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads a trace of `-f -o`: a thread's number, then a call, its beginning, or its end.
fn parse(trace: &str) -> Vec<Syscall> {
    let mut calls: Vec<Syscall> = Vec::new();
    let mut unfinished: Vec<(&str, usize)> = Vec::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((thread, text)) = text.split_once(char::is_whitespace) else { continue };
        let text = text.trim_start();
        if text.starts_with("<... ") {
            let Some(at) = unfinished.iter().position(|(of, _)| *of == thread) else { continue };
            let call = &mut calls[unfinished.swap_remove(at).1];
            call.ended = line;
            call.result = result(text);
        } else if let Some((name, rest)) = text.split_once('(').filter(|(name, _)| is_name(name)) {
            let open = rest.strip_suffix("<unfinished ...>");
            if open.is_some() {
                unfinished.push((thread, calls.len()));
            }
            let arguments = open.unwrap_or_else(|| rest.rsplit_once(" = ").map_or(rest, |(arguments, _)| arguments));
            let result = if open.is_some() { "?".to_owned() } else { result(rest) };
            let (name, arguments) = (name.to_owned(), arguments.trim_end().to_owned());
            calls.push(Syscall { name, arguments, result, began: line, ended: line });
        }
    }
    calls
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn result(text: &str) -> String {
    text.rsplit_once(" = ").map_or("?", |(_, result)| result).to_owned()
}

#[test]
fn traces_are_read_with_calls_that_overlap() {
    let trace = "71 fsync(9</data/x = y>) = 0\n\
                 72 fdatasync(5</data/catalog.db-wal> <unfinished ...>\n\
                 71 linkat(AT_FDCWD</>, \"a (b\", 7</data>, \"c\", AT_SYMLINK_FOLLOW) = -1 EIO (Input/output error) (INJECTED)\n\
                 71 --- SIGINT {si_signo=SIGINT} ---\n\
                 72 <... fdatasync resumed>)          = 0\n\
                 72 +++ exited with 0 +++\n";
    let calls = parse(trace);
    let seen: Vec<_> = calls.iter().map(|c| (c.name.as_str(), c.began, c.ended, c.succeeded(), c.injected())).collect();
    assert_eq!(seen, [("fsync", 0, 0, true, false), ("fdatasync", 1, 4, true, false), ("linkat", 2, 2, false, true)]);
    assert_eq!(calls[0].arguments, "9</data/x = y>)");
    assert!(calls[1].arguments.contains("catalog.db-wal"));
}
