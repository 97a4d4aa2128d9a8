//! A relative link in a document points to a file or folder of the tree.

use std::path::{Component, Path, PathBuf};

use crate::workspace::{File, files, root};

/// The targets of the links of a Markdown text, with their line numbers. Code is not read.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            found.extend(line_targets(&without_code(line)).into_iter().map(|t| (number, t)));
        }
    }
    found
}

/// The line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

/// The targets of `[text](target)` and `[label]: target` in one line.
fn line_targets(line: &str) -> Vec<String> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let definition =
        line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
    // A title may follow the target.
    let first_word = |target: &str| target.split_whitespace().next().map(str::to_owned);
    inline.chain(definition).filter_map(first_word).collect()
}

/// The path below the root that a link in `document` means; `None` if it leaves the tree. The
/// outer `None` is a link that is no relative path: another site, or a heading of the same page.
fn resolve(document: &str, target: &str) -> Option<Option<PathBuf>> {
    let path = target.split('#').next().unwrap_or_default();
    if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
        return None;
    }
    let folder = Path::new(document).parent().unwrap_or(Path::new(""));
    let mut resolved = PathBuf::new();
    for component in folder.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => resolved.push(name),
            Component::ParentDir if resolved.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Some(None),
        }
    }
    Some(Some(resolved))
}

/// Links of a document that leave the tree or point to what `exists` denies.
fn violations(document: &File, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let path = &document.path;
    let Some(text) = document.text() else {
        return vec![format!("{path}: a document that is not UTF-8")];
    };
    let mut found = Vec::new();
    for (number, target) in targets(text) {
        match resolve(path, &target) {
            Some(None) => found.push(format!("{path}:{number}: {target} leaves the tree")),
            Some(Some(file)) if !exists(&file) => {
                found.push(format!("{path}:{number}: {target} does not exist"));
            }
            Some(Some(_)) | None => {}
        }
    }
    found
}

#[test]
fn links_point_to_files() {
    let root = root();
    let mut found = Vec::new();
    for document in files().iter().filter(|file| file.path.ends_with(".md")) {
        found.extend(violations(document, |path| root.join(path).exists()));
    }
    crate::assert_none(&found);
}

#[test]
fn a_dead_link_is_seen() {
    // document, text, violations; only docs/RULES.md exists
    let cases = [
        ("README.md", "see [the rules](docs/RULES.md)", 0),
        ("README.md", "see [the rules](./docs/RULES.md#money \"Rules\")", 0),
        ("docs/STYLE.md", "[rules](RULES.md) and [rules](../docs/RULES.md)", 0),
        ("README.md", "[site](https://example.org/a) [mail](mailto:a@example.org) [here](#a)", 0),
        ("README.md", "`[code](nowhere.md)`\n```\n[code](nowhere.md)\n```", 0),
        ("README.md", "[rules]: docs/RULES.md", 0),
        ("README.md", "see [the rules](RULES.md)", 1),
        ("README.md", "[a](docs/RULES.md) [b](nowhere.md) [c](nowhere.md#x)", 2),
        ("README.md", "```\ncode\n```\n`code` [a](nowhere.md)", 1),
        ("README.md", "![badge](docs/badge.svg)", 1),
        ("README.md", "[rules]: nowhere.md", 1),
        ("README.md", "[up](../elsewhere/RULES.md)", 1),
        ("docs/STYLE.md", "[root](/docs/RULES.md)", 1),
    ];
    for (path, text, expected) in cases {
        let document = File { path: path.to_owned(), bytes: text.into() };
        let found = violations(&document, |path| path == Path::new("docs/RULES.md"));
        assert_eq!(found.len(), expected, "{path} {text:?}: {found:?}");
    }
}
