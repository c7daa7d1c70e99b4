//! Which of the nine methods a request means, below which mount.
//!
//! **Invariant:** segments are compared as they were sent, in any letter case, and a parameter is decoded once. A slash that
//! came escaped stays in its parameter; a segment that is empty is none.

use http::Method;

use super::error::{Refusal, Result};
use crate::front::wire::decode;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Containers,
    Create,
    Container,
    Destroy,
    Files,
    File,
    Remove,
    Upload,
    Download,
}

impl Op {
    /// Its name in log, metrics and policies.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Containers => "loopback.getContainers",
            Self::Create => "loopback.createContainer",
            Self::Container => "loopback.getContainer",
            Self::Destroy => "loopback.destroyContainer",
            Self::Files => "loopback.getFiles",
            Self::File => "loopback.getFile",
            Self::Remove => "loopback.removeFile",
            Self::Upload => "loopback.upload",
            Self::Download => "loopback.download",
        }
    }

    /// Whether it changes nothing.
    pub(super) fn reads(self) -> bool {
        matches!(self, Self::Containers | Self::Container | Self::Files | Self::File | Self::Download)
    }
}

/// What a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) op: Op,
    /// The container; empty: none.
    pub(super) container: String,
    /// The file; empty: none.
    pub(super) file: String,
}

/// Where a path of the listener leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'p> {
    /// Below the root of an interface, and to none of its models: the rest of the path.
    Root(&'p str),
    /// To a model: the rest of the path.
    Model(&'p str),
}

/// Where a path leads that may be one of a mount; `None`: it is not.
pub(super) fn place<'p>(mount: &str, path: &'p str) -> Option<Place<'p>> {
    let (root, plural) = mount.rsplit_once('/')?;
    let below = match root {
        "" => path,
        root => {
            let (head, rest) = (path.get(..root.len())?, path.get(root.len()..)?);
            let inside = head.eq_ignore_ascii_case(root) && (rest.is_empty() || rest.starts_with('/'));
            inside.then_some(rest)?
        }
    };
    // Programs that were given the root with a slash at its end ask with two.
    let word = below.trim_start_matches('/');
    let (head, rest) = word.split_at_checked(plural.len()).unwrap_or((word, ""));
    if below.starts_with('/') && head.eq_ignore_ascii_case(plural) && (rest.is_empty() || rest.starts_with('/')) {
        return Some(Place::Model(rest));
    }
    (!root.is_empty()).then_some(Place::Root(below))
}

/// Finds the method of what is behind the plural; `None`: there is none.
///
/// # Errors
/// A parameter that cannot be decoded.
pub(super) fn find(method: &Method, rest: &str) -> Result<Option<Route>> {
    let reads = *method == Method::GET || *method == Method::HEAD;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let segments: Vec<&str> = rest.split('/').skip(1).collect();
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    let (op, container, file) = match (method.as_str(), segments.as_slice()) {
        (_, []) if reads => (Op::Containers, "", ""),
        ("POST", []) => (Op::Create, "", ""),
        (_, [_, rest @ ..]) if segments[0].is_empty() || rest.iter().any(|part| part.is_empty()) => return Ok(None),
        (_, [container]) if reads => (Op::Container, *container, ""),
        ("DELETE", [container]) => (Op::Destroy, *container, ""),
        (_, [container, word]) if reads && is(word, "files") => (Op::Files, *container, ""),
        ("POST", [container, word]) if is(word, "upload") => (Op::Upload, *container, ""),
        (_, [container, word, file]) if reads && is(word, "files") => (Op::File, *container, *file),
        ("DELETE", [container, word, file]) if is(word, "files") => (Op::Remove, *container, *file),
        (_, [container, word, file]) if reads && is(word, "download") => (Op::Download, *container, *file),
        _ => return Ok(None),
    };
    let decoded = |text: &str| decode(text).ok_or_else(|| Refusal::undecoded(text));
    Ok(Some(Route { op, container: decoded(container)?, file: decoded(file)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_mounts() {
        for (mount, path, wanted) in [
            ("/api/containers", "/api/containers", Some(Place::Model(""))),
            ("/api/containers", "/API//Containers/a/files/", Some(Place::Model("/a/files/"))),
            ("/api/containers", "/api/containersx", Some(Place::Root("/containersx"))),
            ("/api/containers", "/api", Some(Place::Root(""))),
            ("/api/containers", "/apix/containers", None),
            ("/api/containers", "//api/containers", None),
            ("/containers", "/containers/c", Some(Place::Model("/c"))),
            ("/containers", "/bucket", None),
            ("/containers", "/é", None),
        ] {
            assert_eq!(place(mount, path), wanted, "{mount} {path}");
        }
    }

    #[test]
    fn paths_mean_methods() {
        for (method, rest, wanted) in [
            ("GET", "", Some((Op::Containers, "", ""))),
            ("POST", "/", Some((Op::Create, "", ""))),
            ("HEAD", "/a%20b/", Some((Op::Container, "a b", ""))),
            ("GET", "/files", Some((Op::Container, "files", ""))),
            ("GET", "/c/FILES", Some((Op::Files, "c", ""))),
            ("GET", "/c/files/a%2Fb%252f", Some((Op::File, "c", "a/b%2f"))),
            ("DELETE", "/c/files/f", Some((Op::Remove, "c", "f"))),
            ("POST", "/c/upload", Some((Op::Upload, "c", ""))),
            ("GET", "/c/download/f", Some((Op::Download, "c", "f"))),
            ("DELETE", "/", None),
            ("DELETE", "//", None),
            ("DELETE", "//files/x", None),
            ("GET", "/c//files", None),
            ("PUT", "/c", None),
            ("GET", "/c/files/a/b", None),
        ] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let found = find(&method, rest).expect("decoded");
            let found = found.as_ref().map(|r| (r.op, r.container.as_str(), r.file.as_str()));
            assert_eq!(found, wanted, "{method} {rest}");
        }
        for rest in ["/a%zz", "/a%", "/c/files/%ff"] {
            assert!(find(&Method::GET, rest).is_err(), "{rest}");
        }
    }
}
