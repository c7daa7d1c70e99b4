//! The `[loopback]` section: where the LoopBack interface is served, and for whom.
//!
//! **Invariant:** no two mounts are at one path or one below the other, and none takes a path of something else. What lets
//! people in without a token is said mount by mount.

use super::limits::{LOOPBACK_FILE_BYTES_MAX, LOOPBACK_MOUNTS_MAX, PUT_BYTES_MAX};
use super::section::Section;

/// Where it is if nothing is configured.
const PATH: &str = "/api/containers";
/// First segments of paths that other interfaces of the listener have.
const TAKEN: [&str; 16] = [
    "bucket", "object", "upload", "render", "s3", "health", "status", "version", "cdn", "storage", "users", "ui",
    "healthz", "readyz", "metrics", "v1",
];

/// What counts for those who show no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoopbackAccess {
    /// What is public, and nothing else.
    #[default]
    Token,
    /// They read what is root's.
    ReadOnly,
    /// They read and write what is root's.
    Open,
}

/// What happens to the name of a file that is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameConflict {
    /// It is the key; what is there under it is replaced.
    #[default]
    Replace,
    /// It gives way to a fresh one with the same extension.
    MakeUnique,
}

/// One place where the interface is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopbackMount {
    /// The path: the root of the interface and the plural of the model's name.
    pub path: String,
    /// What counts without a token.
    pub access: LoopbackAccess,
    /// Most bytes of a file.
    pub max_file_size: u64,
    /// The media types of files that are taken; empty: all.
    pub allowed_content_types: Vec<String>,
    /// What happens to names.
    pub name_conflict: NameConflict,
    /// Whether answers of 5xx say why.
    pub debug: bool,
}

/// The mounts.
pub(super) fn mounts(mut section: Section<'_>) -> Vec<LoopbackMount> {
    let sections = section.sections("mount");
    if sections.len() > LOOPBACK_MOUNTS_MAX {
        section.problem("mount", &format!("there are more than {LOOPBACK_MOUNTS_MAX}"));
    }
    let mut mounts: Vec<LoopbackMount> = Vec::new();
    for mut section in sections {
        let mount = mount(&mut section);
        if let Some(other) = mounts.iter().find(|other| overlap(&other.path, &mount.path)) {
            section.problem("path", &format!("it is at, above or below {:?}, which is another mount", other.path));
        }
        section.finish();
        mounts.push(mount);
    }
    section.finish();
    if mounts.is_empty() {
        mounts.push(LoopbackMount {
            path: PATH.to_owned(),
            access: LoopbackAccess::default(),
            max_file_size: LOOPBACK_FILE_BYTES_MAX,
            allowed_content_types: Vec::new(),
            name_conflict: NameConflict::default(),
            debug: false,
        });
    }
    mounts
}

fn mount(section: &mut Section<'_>) -> LoopbackMount {
    let path = section.text("path").unwrap_or_else(|| PATH.to_owned());
    if let Some(why) = refused(&path) {
        section.problem("path", &why);
    }
    let access = section.parse("access", "\"token\", \"read-only\" or \"open\"", |text| match text {
        "token" => Some(LoopbackAccess::Token),
        "read-only" => Some(LoopbackAccess::ReadOnly),
        "open" => Some(LoopbackAccess::Open),
        _ => None,
    });
    let conflict = section.parse("name_conflict", "\"replace\" or \"makeUnique\"", |text| match text {
        "replace" => Some(NameConflict::Replace),
        "makeUnique" => Some(NameConflict::MakeUnique),
        _ => None,
    });
    LoopbackMount {
        path,
        access: access.unwrap_or_default(),
        max_file_size: section.number("max_file_size", 1, PUT_BYTES_MAX).unwrap_or(LOOPBACK_FILE_BYTES_MAX),
        allowed_content_types: section.texts("allowed_content_types").unwrap_or_default(),
        name_conflict: conflict.unwrap_or_default(),
        debug: section.boolean("debug").unwrap_or(false),
    }
}

/// Why nothing can be served at a path.
fn refused(path: &str) -> Option<String> {
    let plain = |segment: &str| {
        let legal = segment.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c));
        legal && !segment.trim_matches('.').is_empty()
    };
    let Some(segments) = path.strip_prefix('/').map(|path| path.split('/').collect::<Vec<_>>()) else {
        return Some("expected a path such as \"/api/containers\"".to_owned());
    };
    if !segments.iter().all(|segment| plain(segment)) {
        return Some("expected a path of words of letters, digits and - _ . ~, such as \"/api/containers\"".to_owned());
    }
    let first = segments[0];
    let taken = TAKEN.iter().any(|taken| first.eq_ignore_ascii_case(taken));
    (taken || path.eq_ignore_ascii_case("/api")).then(|| format!("{first:?} is taken by another interface"))
}

/// Whether one is the other, or above it.
fn overlap(one: &str, other: &str) -> bool {
    let (one, other) = (format!("{one}/").to_ascii_lowercase(), format!("{other}/").to_ascii_lowercase());
    one.starts_with(&other) || other.starts_with(&one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_do_not_get_in_the_way_of_others() {
        for path in ["/api/containers", "/containers", "/rest/v2/image-Containers", "/api/users"] {
            assert_eq!(refused(path), None, "{path}");
        }
        for path in
            ["", "api/x", "/", "/api", "/api/", "/a//b", "/a/../b", "/Storage/x", "/bucket", "/a b", "/a%2fb", "/é"]
        {
            assert!(refused(path).is_some(), "{path}");
        }
        assert!(overlap("/api/a", "/API/a/b") && overlap("/api/a", "/api/a"));
        assert!(!overlap("/api/a", "/api/ab"));
    }
}
