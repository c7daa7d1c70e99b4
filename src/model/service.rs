//! What a bucket that serves as a FileStore knows about its items: which groups may do what, by path.
//!
//! It is part of the bucket's configuration, so it is compiled with it once, noted beside the bytes, and found again by a
//! rebuild.
//!
//! **Invariant:** for each permission the nearest entry on the way from an item up to the root counts, and the root
//! always has one. An entry that names nobody is nobody's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::action::Action;
use crate::model::item::ItemPath;

/// Everyone, also who shows no credential.
pub const EVERYONE: &str = "sys:everyone";
/// Whoever has shown a credential.
pub const AUTHENTICATED: &str = "sys:authenticated";
/// Whoever owns the item.
pub const OWNER: &str = "sys:owner";
/// Nobody.
pub const NOBODY: &str = "sys:noone";
/// The group of administrators, unless it is configured.
pub const ADMINS: &str = "admins";
/// Longest name of a group, in bytes.
pub const GROUP_BYTES_MAX: usize = 128;

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a group may do to an item. The names are those of the functions.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Permission {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Permission {
            /// All of them, in the order in which they are told.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

permissions! {
    /// Learn what an item is.
    GetItem = "getItem",
    /// Make an item in a directory.
    NewItem = "newItem",
    /// Change an item: contents, type, headers.
    SetItem = "setItem",
    /// Remove an item.
    RemoveItem = "removeItem",
    /// Read the contents of a file.
    Read = "read",
    /// Replace the contents of a file.
    Write = "write",
    /// Give an item another path.
    Move = "move",
    /// List a directory.
    List = "list",
    /// Learn which groups may do what.
    GetPermissions = "getPermissions",
    /// Say which groups may do what.
    SetPermissions = "setPermissions",
    /// Learn who owns an item.
    GetOwner = "getOwner",
    /// Say who owns an item.
    SetOwner = "setOwner",
}

impl Permission {
    /// From its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|permission| permission.name() == name)
    }

    /// What policies call it.
    #[must_use]
    pub fn action(self) -> Action {
        match self {
            Self::GetItem | Self::Read => Action::GetObject,
            Self::NewItem | Self::SetItem | Self::Write => Action::PutObject,
            Self::RemoveItem | Self::Move => Action::DeleteObject,
            Self::List => Action::ListBucket,
            Self::GetPermissions | Self::GetOwner => Action::GetObjectAcl,
            Self::SetPermissions | Self::SetOwner => Action::PutObjectAcl,
        }
    }

    /// Who has it where nobody has said anything.
    fn usual(self, private: bool) -> &'static str {
        match self {
            Self::GetItem | Self::Read | Self::List if !private => EVERYONE,
            Self::GetItem | Self::Read | Self::List | Self::NewItem | Self::GetOwner => AUTHENTICATED,
            Self::SetItem | Self::Write | Self::RemoveItem | Self::Move => OWNER,
            // The administrators have it whatever is said.
            Self::GetPermissions | Self::SetPermissions | Self::SetOwner => ADMINS,
        }
    }
}

/// How an entry is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantChange {
    /// Groups come to those that have it.
    Add,
    /// These groups have it and no other.
    Replace,
    /// Groups have it no more.
    Revoke,
}

/// A change of who has one permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Which.
    pub permission: Permission,
    /// The groups.
    pub groups: Vec<String>,
    /// What becomes of them.
    pub change: GrantChange,
}

/// A directory that is on its way to another path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moving {
    /// From this path.
    pub from: String,
    /// To this one.
    pub to: String,
    /// Whose all of it is then; `None`: it stays whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// What is said of one item: who has which permission.
type Entry = BTreeMap<Permission, Vec<String>>;

/// A bucket as a FileStore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// Whether it is served now: then its groups decide. What was said stays while it is not.
    pub bound: bool,
    /// The group whose members may do everything.
    pub admin_group: String,
    /// Whether only those who have shown a credential read where nothing else is said.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    /// Most segments of a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels_max: Option<usize>,
    /// What is said, by path.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub grants: BTreeMap<String, Entry>,
    /// Directories under way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<Moving>,
}

impl Service {
    /// The groups that have a permission on a path, with those of the root where nothing nearer is said.
    #[must_use]
    pub fn groups(&self, path: &str, permission: Permission) -> Vec<&str> {
        match self.said_of(path, permission) {
            Some(groups) => groups.iter().map(String::as_str).collect(),
            None => vec![match permission.usual(self.private) {
                ADMINS => &self.admin_group,
                group => group,
            }],
        }
    }

    /// The groups of the nearest entry for a permission on a path; `None`: nobody has said anything.
    #[must_use]
    pub fn said_of(&self, path: &str, permission: Permission) -> Option<&[String]> {
        let mut at = path;
        loop {
            if let Some(groups) = self.grants.get(at).and_then(|entry| entry.get(&permission)) {
                return Some(groups);
            }
            if at.is_empty() {
                return None;
            }
            at = at.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
    }

    /// The paths that begin with `prefix` and have an entry of their own for a permission.
    pub fn said_below<'a>(&'a self, prefix: &'a str, permission: Permission) -> impl Iterator<Item = &'a str> {
        let from = self.grants.range(prefix.to_owned()..);
        let below = from.take_while(move |(path, _)| path.starts_with(prefix));
        below.filter(move |(_, entry)| entry.contains_key(&permission)).map(|(path, _)| path.as_str())
    }

    /// Whether something is said of a path or of what is below it.
    #[must_use]
    pub fn says_of(&self, path: &ItemPath) -> bool {
        self.grants.keys().any(|said| is_at(said, path))
    }

    /// Changes who has permissions on a path.
    pub fn grant(&mut self, path: &str, changes: &[Grant]) {
        for Grant { permission, groups, change } in changes {
            let mut held: Vec<String> = match change {
                GrantChange::Replace => Vec::new(),
                GrantChange::Add | GrantChange::Revoke => {
                    self.groups(path, *permission).into_iter().map(str::to_owned).collect()
                }
            };
            match change {
                GrantChange::Add | GrantChange::Replace => {
                    for group in groups {
                        if !held.contains(group) {
                            held.push(group.clone());
                        }
                    }
                }
                GrantChange::Revoke => held.retain(|group| !groups.contains(group)),
            }
            if held.len() > 1 {
                held.retain(|group| group != NOBODY);
            }
            if held.is_empty() {
                held.push(NOBODY.to_owned());
            }
            self.grants.entry(path.to_owned()).or_default().insert(*permission, held);
        }
    }

    /// How many groups are named.
    #[must_use]
    pub fn said(&self) -> usize {
        self.grants.values().flat_map(BTreeMap::values).map(Vec::len).sum()
    }

    /// Forgets what is said of a path and of what is below it.
    pub fn forget(&mut self, path: &ItemPath) {
        self.grants.retain(|said, _| path.is_root() || !is_at(said, path));
    }

    /// Says of a path, and of what is below it, what is said of another one.
    pub fn say_as(&mut self, from: &ItemPath, to: &ItemPath) {
        let said: Vec<(String, Entry)> = self
            .grants
            .iter()
            .filter(|(said, _)| is_at(said, from))
            .map(|(said, entry)| (format!("{to}{}", &said[from.as_str().len()..]), entry.clone()))
            .collect();
        self.grants.extend(said);
    }
}

/// Whether a path is another one or below it.
fn is_at(said: &str, path: &ItemPath) -> bool {
    said == path.as_str() || said.starts_with(path.prefix())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        Service { bound: true, admin_group: ADMINS.into(), ..Service::default() }
    }

    fn grant(permission: Permission, groups: &[&str], change: GrantChange) -> Grant {
        Grant { permission, groups: groups.iter().map(|group| (*group).to_owned()).collect(), change }
    }

    #[test]
    fn the_nearest_entry_counts() {
        let mut service = service();
        assert_eq!(service.groups("a/b", Permission::Read), [EVERYONE]);
        assert_eq!(service.groups("a/b", Permission::SetOwner), [ADMINS]);
        service.grant("a", &[grant(Permission::Read, &["x"], GrantChange::Replace)]);
        assert_eq!(service.groups("a/b", Permission::Read), ["x"]);
        assert_eq!(service.groups("ab", Permission::Read), [EVERYONE]);
        assert_eq!(service.groups("a/b", Permission::List), [EVERYONE]);
        assert_eq!(service.said_of("a/b", Permission::Read), Some(&["x".to_owned()][..]));
        assert_eq!((service.said_of("ab", Permission::Read), service.said_of("a", Permission::List)), (None, None));
        let private = Service { private: true, ..service };
        assert_eq!(private.groups("ab", Permission::Read), [AUTHENTICATED]);
    }

    #[test]
    fn nobody_goes_when_somebody_comes_and_comes_when_the_last_goes() {
        let mut service = service();
        service.grant("a", &[grant(Permission::Read, &[], GrantChange::Replace)]);
        assert_eq!(service.groups("a", Permission::Read), [NOBODY]);
        service.grant("a", &[grant(Permission::Read, &["x", "x", "y"], GrantChange::Add)]);
        assert_eq!(service.groups("a", Permission::Read), ["x", "y"]);
        service.grant("a", &[grant(Permission::Read, &["y", "x"], GrantChange::Revoke)]);
        assert_eq!(service.groups("a", Permission::Read), [NOBODY]);
    }

    #[test]
    fn entries_follow_their_items() {
        let path = |text: &str| ItemPath::parse(text).expect("a path");
        let mut service = service();
        for said in ["a", "a/b", "ab"] {
            service.grant(said, &[grant(Permission::Read, &[said], GrantChange::Replace)]);
        }
        service.say_as(&path("a"), &path("c/d"));
        service.forget(&path("a"));
        assert_eq!(service.grants.keys().collect::<Vec<_>>(), ["ab", "c/d", "c/d/b"]);
        assert_eq!(service.groups("c/d/b/e", Permission::Read), ["a/b"]);
        assert_eq!(service.said_below("c/", Permission::Read).collect::<Vec<_>>(), ["c/d", "c/d/b"]);
        assert_eq!(service.said_below("c/", Permission::List).count(), 0);
    }
}
