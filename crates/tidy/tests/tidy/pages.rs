//! Every crate says what it is, refuses unsafe code, and takes the lints of the workspace.

use std::fs;

use crate::workspace::members;

/// What is amiss in the root source file of a crate.
fn root_violations(path: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let page = source.strip_prefix("//!").and_then(|rest| rest.lines().next());
    if page.is_none_or(|sentence| sentence.trim().is_empty()) {
        found.push(format!("{path}: does not begin with a `//!` page"));
    }
    let refuses = ["#![forbid(unsafe_code)]", "#![deny(unsafe_code)]"];
    if !source.lines().any(|line| refuses.contains(&line.trim())) {
        found.push(format!("{path}: neither forbids nor denies unsafe_code"));
    }
    found
}

/// Whether a manifest says `workspace = true` in its `[lints]` table.
fn takes_workspace_lints(manifest: &str) -> bool {
    let mut in_lints = false;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            in_lints = line == "[lints]";
        } else if in_lints && line == "workspace = true" {
            return true;
        }
    }
    false
}

#[test]
fn every_crate_has_a_page_and_refuses_unsafe_code() {
    let mut found = Vec::new();
    for path in members().iter().flat_map(|member| &member.roots) {
        let source = fs::read_to_string(path).expect("a root source file can be read");
        found.extend(root_violations(&path.display().to_string(), &source));
    }
    crate::assert_none(&found);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let mut found = Vec::new();
    for member in members() {
        let path = member.dir.join("Cargo.toml");
        let manifest = fs::read_to_string(&path).expect("a manifest can be read");
        if !takes_workspace_lints(&manifest) {
            found.push(format!("{}: no `[lints]` with `workspace = true`", path.display()));
        }
    }
    crate::assert_none(&found);
}

#[test]
fn a_bare_root_is_seen() {
    let cases = [
        ("//! A page.\n#![forbid(unsafe_code)]\n", 0),
        ("//! A page.\n\n#![deny(unsafe_code)]\nfn main() {}\n", 0),
        ("//!\n#![forbid(unsafe_code)]\n", 1),
        ("use std::fs;\n//! Too late.\n#![forbid(unsafe_code)]\n", 1),
        ("//! A page.\n// #![forbid(unsafe_code)]\n", 1),
        ("//! A page.\n#![allow(unsafe_code)]\n", 1),
        ("fn main() {}\n", 2),
        ("", 2),
    ];
    for (source, expected) in cases {
        assert_eq!(root_violations("lib.rs", source).len(), expected, "{source:?}");
    }
}

#[test]
fn a_manifest_without_the_lints_is_seen() {
    let cases = [
        ("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n", true),
        ("[package]\nname = \"a\"\n", false),
        ("[lints]\n\n[dependencies]\nworkspace = true\n", false),
        ("[lints.rust]\nworkspace = true\n", false),
        ("[lints]\nworkspace = false\n", false),
        ("[lints]\n# workspace = true\n", false),
    ];
    for (manifest, expected) in cases {
        assert_eq!(takes_workspace_lints(manifest), expected, "{manifest:?}");
    }
}
