//! The workspace as the checks see it: its members, and the files that belong to the tree.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, MetadataCommand, Package, TargetKind};

/// A workspace member, reduced to what the checks ask about.
pub struct Member {
    pub name: String,
    /// The folder of its manifest.
    pub dir: PathBuf,
    pub dependencies: Vec<Dependency>,
    /// The root source files of its library and binaries.
    pub roots: Vec<PathBuf>,
}

/// One line of a member's dependency tables.
pub struct Dependency {
    pub name: String,
    pub kind: DependencyKind,
    /// Given by path: a crate of this tree.
    pub local: bool,
    pub default_features: bool,
    pub features: Vec<String>,
}

impl Member {
    /// A member with a single dependency, to try a check on.
    pub fn example(name: &str, dependency: Dependency) -> Self {
        let (dir, roots) = (PathBuf::new(), Vec::new());
        Self { name: name.to_owned(), dir, dependencies: vec![dependency], roots }
    }

    fn from_package(package: &Package) -> Self {
        let manifest = package.manifest_path.as_std_path();
        let is_root = |kind: &TargetKind| matches!(kind, TargetKind::Lib | TargetKind::Bin);
        Self {
            name: package.name.to_string(),
            dir: manifest.parent().expect("a manifest lies in a folder").to_owned(),
            dependencies: package
                .dependencies
                .iter()
                .map(|dependency| Dependency {
                    name: dependency.name.clone(),
                    kind: dependency.kind,
                    local: dependency.path.is_some(),
                    default_features: dependency.uses_default_features,
                    features: dependency.features.clone(),
                })
                .collect(),
            roots: package
                .targets
                .iter()
                .filter(|target| target.kind.iter().any(is_root))
                .map(|target| target.src_path.as_std_path().to_owned())
                .collect(),
        }
    }
}

/// The folder of this crate. Read when the test runs, because a target folder that two clones share
/// may hold a test that was built in the other one.
fn here() -> PathBuf {
    env::var_os("CARGO_MANIFEST_DIR").expect("cargo test says where the crate lies").into()
}

/// The root folder of the workspace.
pub fn root() -> PathBuf {
    here().parent().and_then(Path::parent).expect("the crate lies two folders deep").to_owned()
}

/// Every member of the workspace.
pub fn members() -> Vec<Member> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata reads the workspace");
    metadata.workspace_packages().into_iter().map(Member::from_package).collect()
}

/// A file of the tree, its path relative to the root and with `/` between folders.
pub struct File {
    pub path: String,
    pub bytes: Vec<u8>,
}

impl File {
    /// The text of the file, `None` if it is not UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }
}

/// Every file that git tracks; in an unpacked archive without git, every file that is not built.
pub fn files() -> Vec<File> {
    let root = root();
    let paths = tracked(&root).unwrap_or_else(|| walked(&root));
    paths
        .into_iter()
        // A tracked file may be deleted in the working tree.
        .filter_map(|path| fs::read(root.join(&path)).ok().map(|bytes| File { path, bytes }))
        .collect()
}

fn tracked(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git").arg("-C").arg(root).args(["ls-files", "-z"]).output().ok()?;
    let listing = String::from_utf8(output.stdout).ok()?;
    let paths: Vec<_> = listing.split_terminator('\0').map(str::to_owned).collect();
    (output.status.success() && !paths.is_empty()).then_some(paths)
}

fn walked(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a folder of the tree can be listed").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                let built = ["target", ".git"].iter().any(|n| name == *n);
                // What a fuzzer found; the corpora of tests are kept.
                let fuzzed =
                    dir.ends_with("fuzz") && ["corpus", "artifacts"].iter().any(|n| name == *n);
                if !built && !fuzzed {
                    open.push(path);
                }
            } else if let Some(path) = path.strip_prefix(root).ok().and_then(Path::to_str) {
                found.push(path.replace('\\', "/"));
            }
        }
    }
    found
}

#[test]
fn walking_finds_what_git_tracks() {
    let root = root();
    let walked = walked(&root);
    assert!(walked.iter().any(|path| path == "crates/tidy/src/lib.rs"));
    assert!(walked.iter().all(|path| !path.starts_with("target/") && !path.starts_with(".git/")));
    for path in tracked(&root).unwrap_or_default() {
        assert!(walked.contains(&path) || !root.join(&path).exists(), "{path} was not walked");
    }
}

#[test]
fn the_workspace_is_seen() {
    let members = members();
    let tidy = members.iter().find(|member| member.name == env!("CARGO_PKG_NAME"));
    let tidy = tidy.expect("this crate is a member");
    assert_eq!(tidy.dir, here());
    assert_eq!(tidy.roots, [tidy.dir.join("src/lib.rs")]);
    assert!(tidy.dependencies.iter().any(|dependency| dependency.name == "cargo_metadata"));
    assert!(files().iter().any(|file| file.path == "Cargo.toml" && file.text().is_some()));
}
