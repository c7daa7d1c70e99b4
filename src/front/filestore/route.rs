//! Which item and which function a path means.
//!
//! A path is the service, perhaps a version, the segments of the item, perhaps a function behind an `@`. Behind a version
//! a function may also stand alone, and the item is in the parameters then.
//!
//! **Invariant:** a segment is decoded once, by itself: an escaped slash is no slash, and is refused.

use super::error::{Refusal, Result};
use crate::front::wire;
use crate::model::item::{ItemPath, check_name};

macro_rules! functions {
    ($($name:ident = $text:literal, $operation:literal, $changes:literal;)*) => {
        /// What is to be done to an item.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Function {
            $($name,)*
        }

        impl Function {
            /// From its name.
            pub(super) fn parse(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its name in log and metrics.
            pub(super) fn operation(self) -> &'static str {
                match self {
                    $(Self::$name => $operation,)*
                }
            }

            /// Whether it changes anything.
            pub(super) fn changes(self) -> bool {
                match self {
                    $(Self::$name => $changes,)*
                }
            }
        }
    };
}

functions! {
    GetItem = "getItem", "filestore.getItem", false;
    NewItem = "newItem", "filestore.newItem", true;
    SetItem = "setItem", "filestore.setItem", true;
    RemoveItem = "removeItem", "filestore.removeItem", true;
    Read = "read", "filestore.read", false;
    Write = "write", "filestore.write", true;
    Move = "move", "filestore.move", true;
    List = "list", "filestore.list", false;
    Allowed = "allowed", "filestore.allowed", false;
    GetPermissions = "getPermissions", "filestore.getPermissions", false;
    SetPermissions = "setPermissions", "filestore.setPermissions", true;
    GetOwner = "getOwner", "filestore.getOwner", false;
    SetOwner = "setOwner", "filestore.setOwner", true;
    Ping = "ping", "filestore.ping", false;
}

impl Function {
    /// Whether the bytes of a body can be contents.
    pub(super) fn takes_contents(self) -> bool {
        matches!(self, Self::NewItem | Self::SetItem | Self::Write)
    }

    /// The methods it is called by.
    pub(super) fn methods(self) -> &'static str {
        match self {
            function if !function.changes() => "GET, HEAD, POST, OPTIONS",
            function if function.takes_contents() => "POST, PUT, OPTIONS",
            _ => "POST, OPTIONS",
        }
    }
}

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// The function; `None`: the file itself.
    pub(super) function: Option<Function>,
    /// The item; the root if the path names none.
    pub(super) path: ItemPath,
    /// Whether the path ends in a slash.
    pub(super) slash: bool,
}

/// Reads a path behind that of its service.
pub(super) fn find(path: &str) -> Result<Route> {
    let mut segments = Vec::new();
    for raw in path.split('/').filter(|raw| !raw.is_empty()) {
        let segment = wire::decode(raw).ok_or_else(|| Refusal::invalid("path"))?;
        if segment.contains('/') {
            return Err(Refusal::invalid("path"));
        }
        segments.push(segment);
    }
    let mut rest = segments.as_slice();
    let versioned = rest.first().is_some_and(|first| is_version(first));
    if versioned {
        rest = &rest[1..];
    }
    let named = |segment: &String| segment.strip_prefix('@').and_then(Function::parse);
    let function = match rest {
        [items @ .., last] if named(last).is_some() => {
            rest = items;
            named(last)
        }
        [only] if versioned && Function::parse(only).is_some() => {
            rest = &[];
            Function::parse(only)
        }
        _ => None,
    };
    rest.iter().try_for_each(|name| check_name(name)).map_err(|_| Refusal::invalid("path"))?;
    let item = ItemPath::parse(&rest.join("/")).map_err(|_| Refusal::invalid("path"))?;
    Ok(Route { function, path: item, slash: path.ends_with('/') })
}

/// Whether a segment is the version that clients put in front: `api`, `api2.3`, `api-1`.
fn is_version(segment: &str) -> bool {
    let Some(rest) = segment.strip_prefix("api") else { return false };
    let number = rest.strip_prefix('-').unwrap_or(rest);
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    rest.is_empty() || plain && number.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Option<(Option<Function>, String)> {
        find(path).ok().map(|route| (route.function, route.path.as_str().to_owned()))
    }

    #[test]
    fn all_forms_of_paths_are_read() {
        let some = |function, path: &str| Some((function, path.to_owned()));
        for (path, wanted) in [
            ("/index.html/@getItem", some(Some(Function::GetItem), "index.html")),
            ("/@list", some(Some(Function::List), "")),
            ("/api/a/b.txt/@write", some(Some(Function::Write), "a/b.txt")),
            ("/api/@ping", some(Some(Function::Ping), "")),
            ("/api/ping", some(Some(Function::Ping), "")),
            ("/api2.3/ping", some(Some(Function::Ping), "")),
            ("/api-1.1/f/@list", some(Some(Function::List), "f")),
            ("/index.html", some(None, "index.html")),
            ("/api/index.html", some(None, "index.html")),
            ("/api/api/x", some(None, "api/x")),
            ("/apix/x", some(None, "apix/x")),
            ("/list", some(None, "list")),
            ("/api/list/x", some(None, "list/x")),
            ("/a/@other", some(None, "a/@other")),
            ("/my%20dir//%C3%BC/@list", some(Some(Function::List), "my dir/ü")),
            ("", some(None, "")),
            ("/api", some(None, "")),
        ] {
            assert_eq!(route(path), wanted, "{path}");
        }
    }

    #[test]
    fn hostile_paths_are_refused() {
        for path in
            ["/../x", "/a/%2e%2e/@getItem", "/a%2fb", "/a%00", "/%ff", "/a%5cb", "/%", "/.longshore/id", "/a%0ab"]
        {
            assert_eq!(route(path), None, "{path}");
        }
    }
}
