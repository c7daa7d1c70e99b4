//! The rules of the source that the compiler does not know: which way imports run, who names which library, how long a
//! file may be.
//!
//! **Invariant:** a new module is refused until it is given its place in [`LAYERS`].

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules from the bottom to the top; a module may use those below it and its own. Those of one level do not use each
/// other.
const LAYERS: [&[&str]; 9] = [
    &["model", "metrics", "limits"],
    &["provider", "catalog"],
    &["auth"],
    &["config"],
    &["store"],
    &["front"],
    &["server"],
    &["app"],
    &["cli", "main", "lib"],
];

/// Libraries that one module keeps to itself.
const OWNERS: [(&str, &str); 3] = [("s3s", "front/s3/"), ("rusqlite", "catalog/"), ("tokio_postgres", "catalog/")];

/// Concrete providers and catalogs are named where they are wired together, and where they are.
const WIRED: [(&str, &str); 4] = [
    ("provider::fs", "provider/"),
    ("provider::memory", "provider/"),
    ("catalog::sqlite", "catalog/"),
    ("catalog::postgres", "catalog/"),
];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

struct Source {
    /// From `src/` on.
    path: String,
    text: String,
}

impl Source {
    /// The module at the top that it belongs to. The limits are a leaf that every module may use.
    fn module(&self) -> &str {
        match self.path.as_str() {
            "config/limits.rs" => "limits",
            path => path.split('/').next().unwrap_or(path).trim_end_matches(".rs"),
        }
    }

    /// Lines of code with their numbers, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = |line: &'_ str| !line.trim_start().starts_with("//");
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line)).filter(move |(_, line)| code(line))
    }
}

fn files(below: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(below).expect("a readable directory");
    for entry in entries {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources(root: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let mut paths = Vec::new();
    files(&root, &mut paths);
    paths.sort();
    let source = |path: PathBuf| Source {
        text: fs::read_to_string(&path).expect("UTF-8"),
        path: path.strip_prefix(&root).expect("below").to_str().expect("UTF-8").to_owned(),
    };
    paths.into_iter().map(source).collect()
}

fn levels() -> BTreeMap<&'static str, usize> {
    LAYERS.iter().enumerate().flat_map(|(level, names)| names.iter().map(move |name| (*name, level))).collect()
}

/// The modules at the top that a line names: `crate::x::…` and `crate::{x, y::z}`.
fn named(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in line.split("crate::").skip(1) {
        let word = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
        if let Some(list) = rest.strip_prefix('{') {
            found.extend(list.split(',').map(|item| word(item.trim())));
        } else if rest.starts_with("config::limits") {
            found.push("limits".to_owned());
        } else {
            found.push(word(rest));
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn imports_run_one_way() {
    let levels = levels();
    let mut wrong = Vec::new();
    for source in sources("src") {
        let module = source.module();
        let Some(level) = levels.get(module) else {
            wrong.push(format!("{}: the module {module:?} has no place in the layers", source.path));
            continue;
        };
        for (number, line) in source.code() {
            for name in named(line) {
                let below = levels.get(name.as_str()).is_some_and(|other| other < level);
                if name != module && !below {
                    wrong.push(format!("src/{}:{number}: {module} must not use {name}", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn fronts_do_not_know_each_other_nor_providers_nor_catalogs() {
    let mut wrong = Vec::new();
    for source in sources("src/front").into_iter().filter(|source| source.path.contains('/')) {
        let own = source.path.split('/').next().expect("a first segment");
        for (number, line) in source.code() {
            for rest in line.split("crate::front::").skip(1) {
                let front: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let is_front = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/front").join(&front).is_dir();
                if is_front && front != own {
                    wrong.push(format!("src/front/{}:{number}: the front {own} uses the front {front}", source.path));
                }
            }
            // A body is made of what a provider reads; nothing else of providers is a front's business.
            let allowed = line.replace("crate::provider::Body", "").replace("crate::provider::Blocks", "");
            if allowed.contains("crate::provider") || allowed.contains("crate::catalog") {
                wrong.push(format!("src/front/{}:{number}: a front acts through the store", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn libraries_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        for (number, line) in source.code() {
            for (library, owner) in OWNERS {
                let uses = [format!("{library}::"), format!("use {library};")];
                if uses.iter().any(|text| line.contains(text.as_str())) && !source.path.starts_with(owner) {
                    wrong.push(format!("src/{}:{number}: only {owner} names {library}", source.path));
                }
            }
            for (module, owner) in WIRED {
                let named = line.contains(&format!("crate::{module}"));
                if named && !source.path.starts_with(owner) && !["app.rs", "app/providers.rs"].contains(&&*source.path)
                {
                    wrong.push(format!("src/{}:{number}: only app wires {module}", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_say_what_they_are_and_stay_short() {
    let mut wrong = Vec::new();
    for root in ["src", "tests"] {
        for source in sources(root) {
            let lines = source.text.lines().count();
            if lines >= FILE_LINES_MAX {
                wrong.push(format!("{root}/{}: {lines} lines", source.path));
            }
            if !source.text.starts_with("//!") {
                wrong.push(format!("{root}/{}: it does not open with a paragraph on what it is", source.path));
            }
            let mut head = source.text.lines().take_while(|line| line.starts_with("//!"));
            if root == "src" && !head.any(|line| line.starts_with("//! **Invariant:**")) {
                wrong.push(format!("src/{}: it does not say what it keeps", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn functions_fit_a_screen() {
    let mut wrong = Vec::new();
    for (root, source) in
        ["src", "tests"].into_iter().flat_map(|root| sources(root).into_iter().map(move |s| (root, s)))
    {
        // The formatter puts the end of a function under its first letter.
        let mut open: Vec<(usize, usize, String)> = Vec::new();
        for (number, line) in source.text.lines().enumerate() {
            let text = line.trim_start();
            let indent = line.len() - text.len();
            if text == "}" && open.last().is_some_and(|(at, ..)| *at == indent) {
                let (_, began, name) = open.pop().expect("seen");
                if number - began + 1 > FUNCTION_LINES_MAX {
                    wrong.push(format!(
                        "{root}/{}:{}: {name} has {} lines",
                        source.path,
                        began + 1,
                        number - began + 1
                    ));
                }
            }
            if is_function(text) && !text.ends_with(';') && !text.ends_with('}') {
                open.push((indent, number, text.to_owned()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_function(text: &str) -> bool {
    let known = ["pub", "pub(crate)", "pub(super)", "async", "const"];
    text.split_whitespace().find(|word| !known.contains(word)) == Some("fn")
}

#[test]
fn the_rules_see_what_they_should() {
    assert_eq!(named("use crate::{store::Store, model::x};"), ["store", "model"]);
    assert_eq!(named("use crate::config::limits::X;"), ["limits"]);
    assert_eq!(named("let x: crate::auth::Y = crate::app::z();"), ["auth", "app"]);
    assert!(is_function("pub(super) async fn x("));
    assert!(!is_function("let fn_like = 3;"));
}
