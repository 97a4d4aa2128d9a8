//! What the tests of the command share.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What a command did.
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

pub fn counterfoil<A: AsRef<std::ffi::OsStr>>(arguments: &[A]) -> Ran {
    Ran::of(command().args(arguments))
}

/// The command, without arguments yet.
pub fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_counterfoil"))
}

impl Ran {
    /// What a command with its arguments does.
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The command succeeded and complained of nothing.
    #[track_caller]
    pub fn succeeds(self) -> String {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""), "{}", self.stdout);
        assert!(!self.stdout.contains('\x1b'), "escape codes in {}", self.stdout);
        self.stdout
    }

    /// The command ended with a status, and standard error names all of these.
    #[track_caller]
    pub fn ends(&self, status: i32, fragments: &[&str]) {
        assert_eq!(self.status, status, "{}\n{}", self.stdout, self.stderr);
        for fragment in fragments {
            assert!(self.stderr.contains(fragment), "no {fragment:?} in {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert!(!self.stderr.contains('\x1b'), "escape codes in {}", self.stderr);
    }
}

pub fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    path.join("scenario.yaml").to_str().unwrap().to_owned()
}

/// A book that the SaaS example left behind.
pub fn book() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let book = dir.path().join("book");
    counterfoil(&["run", &example("saas"), "--book", book.to_str().unwrap()]).succeeds();
    (dir, book)
}

/// What a test writes to or reads from beside the book.
pub fn beside(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().to_owned()
}
