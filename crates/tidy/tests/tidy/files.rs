//! Files stay short, small and finished.

use crate::workspace::{File, files};

/// The longest source file. One that needs more wants to be a folder.
const RUST_LINES_MAX: usize = 900;

/// The largest file of any kind: what is larger is generated, not kept.
const FILE_BYTES_MAX: usize = 1 << 20;

/// What must not be left in a source file under `src`.
const PLACEHOLDERS: &[&str] = &["todo!(", "unimplemented!(", "dbg!("];

fn violations(file: &File) -> Vec<String> {
    let path = &file.path;
    let mut found = Vec::new();
    let bytes = file.bytes.len();
    if bytes > FILE_BYTES_MAX {
        found.push(format!("{path}: {bytes} bytes, more than {FILE_BYTES_MAX}"));
    }
    if !path.ends_with(".rs") {
        return found;
    }
    let Some(text) = file.text() else {
        found.push(format!("{path}: a source file that is not UTF-8"));
        return found;
    };
    let lines = text.lines().count();
    if lines > RUST_LINES_MAX {
        found.push(format!("{path}: {lines} lines, more than {RUST_LINES_MAX}"));
    }
    if path.split('/').any(|folder| folder == "src") {
        for (number, line) in (1..).zip(text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            for placeholder in PLACEHOLDERS.iter().filter(|p| code.contains(**p)) {
                found.push(format!("{path}:{number}: {placeholder}…) is left in the source"));
            }
        }
    }
    found
}

#[test]
fn files_are_short_small_and_finished() {
    let found: Vec<_> = files().iter().flat_map(violations).collect();
    crate::assert_none(&found);
}

#[test]
fn a_file_that_breaks_a_rule_is_seen() {
    let cases: Vec<(&str, Vec<u8>, usize)> = vec![
        ("crates/core/src/lib.rs", "x\n".repeat(RUST_LINES_MAX).into(), 0),
        ("crates/core/src/lib.rs", "x\n".repeat(RUST_LINES_MAX + 1).into(), 1),
        ("crates/core/tests/all.rs", "x\n".repeat(RUST_LINES_MAX + 1).into(), 1),
        ("docs/RULES.md", "x\n".repeat(RUST_LINES_MAX + 1).into(), 0),
        ("examples/usage.csv", vec![b'x'; FILE_BYTES_MAX], 0),
        ("examples/usage.csv", vec![b'x'; FILE_BYTES_MAX + 1], 1),
        ("crates/core/src/lib.rs", vec![0xff], 1),
        ("crates/core/src/lib.rs", "fn f() { todo!() }".into(), 1),
        ("crates/core/src/lib.rs", "fn f() {\n    unimplemented!(\"f\")\n}".into(), 1),
        ("crates/core/src/a/b.rs", "let x = dbg!(y);".into(), 1),
        ("crates/core/src/lib.rs", "// no todo!() here".into(), 0),
        ("crates/core/tests/all.rs", "dbg!(x);".into(), 0),
    ];
    for (path, bytes, expected) in cases {
        let found = violations(&File { path: path.to_owned(), bytes });
        assert_eq!(found.len(), expected, "{path}: {found:?}");
    }
}
