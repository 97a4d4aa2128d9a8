//! Pure crates: no disk, no clock, no randomness, so only libraries that have none either, and one
//! `clippy.toml` that bans what the standard library offers of it.

use std::fs;

use cargo_metadata::DependencyKind;

use crate::workspace::{Dependency, Member, members, root};

/// A pure crate, and what it may use beyond [`LIBRARIES`].
struct Pure {
    name: &'static str,
    extra: &'static [&'static str],
    /// Its `clippy.toml` is that of the core. The meter's kernel is pure and its store is not, so
    /// the meter has one of its own.
    shares_clippy_toml: bool,
}

const PURE: &[Pure] = &[
    Pure { name: "counterfoil-core", extra: &[], shares_clippy_toml: true },
    Pure { name: "counterfoil-billing", extra: &[], shares_clippy_toml: true },
    Pure { name: "counterfoil-journal", extra: &[], shares_clippy_toml: true },
    Pure { name: "counterfoil-model", extra: &["rmp-serde"], shares_clippy_toml: true },
    // libc: to ask for large pages, which changes nothing but speed. Arrow is memory that lies
    // still; chrono-tz is a table; the others read what a file holds. loom: only for models, with
    // `--cfg loom`. bytemuck, memmap2, tempfile: for events that leave memory (feature `spill`).
    Pure {
        name: "counterfoil-meter",
        extra: &[
            "arrow-array",
            "arrow-buffer",
            "arrow-schema",
            "bytemuck",
            "bytes",
            "chrono-tz",
            "flate2",
            "libc",
            "loom",
            "memmap2",
            "parquet",
            "serde_json",
            "siphasher",
            "tempfile",
        ],
        shares_clippy_toml: false,
    },
];

/// What every pure crate may use. Dev-dependencies are free.
const LIBRARIES: &[&str] = &[
    "blake3",
    "chrono",
    "ethnum",
    "rkyv",
    "rpds",
    "rust_decimal",
    "schemars",
    "serde",
    "smol_str",
    "thiserror",
];

/// The features through which `chrono` reads the clock of the machine.
const CHRONO_CLOCK: &[&str] = &["clock", "now"];

fn pure(name: &str) -> Option<&'static Pure> {
    PURE.iter().find(|pure| pure.name == name)
}

/// Dependencies of pure crates that are not on the list, or that bring a clock.
fn dependency_violations(members: &[Member]) -> Vec<String> {
    let mut found = Vec::new();
    for member in members {
        let Some(pure) = pure(&member.name) else { continue };
        let shipped = |d: &&Dependency| d.kind != DependencyKind::Development && !d.local;
        for dependency in member.dependencies.iter().filter(shipped) {
            let name = dependency.name.as_str();
            if !LIBRARIES.contains(&name) && !pure.extra.contains(&name) {
                found.push(format!("{}: {name} is not a library of pure crates", member.name));
            }
            if name == "chrono" && has_clock(dependency) {
                found.push(format!("{}: chrono is taken with its clock", member.name));
            }
        }
    }
    found
}

fn has_clock(chrono: &Dependency) -> bool {
    chrono.default_features || chrono.features.iter().any(|f| CHRONO_CLOCK.contains(&f.as_str()))
}

/// Pure crates without a `clippy.toml`, or whose copy differs from the one of the core.
fn clippy_toml_violations<'a>(
    core: Option<&[u8]>,
    crates: impl IntoIterator<Item = (&'a str, Option<Vec<u8>>)>,
) -> Vec<String> {
    let mut found = Vec::new();
    for (name, config) in crates {
        let Some(pure) = pure(name) else { continue };
        match config {
            None => found.push(format!("{name}: a pure crate without a clippy.toml")),
            Some(config) if pure.shares_clippy_toml && Some(config.as_slice()) != core => {
                found.push(format!("{name}: clippy.toml differs from crates/core/clippy.toml"));
            }
            Some(_) => {}
        }
    }
    found
}

#[test]
fn pure_crates_use_only_pure_libraries() {
    crate::assert_none(&dependency_violations(&members()));
}

#[test]
fn pure_crates_share_their_bans() {
    let core = fs::read(root().join("crates/core/clippy.toml")).ok();
    let members = members();
    let crates =
        members.iter().map(|m| (m.name.as_str(), fs::read(m.dir.join("clippy.toml")).ok()));
    crate::assert_none(&clippy_toml_violations(core.as_deref(), crates));
}

#[cfg(test)]
mod canaries {
    use super::*;

    #[test]
    fn a_library_off_the_list_is_seen() {
        use DependencyKind::{Build, Development, Normal};
        // crate, library, kind, default features, features, violations
        let cases = [
            ("counterfoil-core", "serde", Normal, true, &["derive"][..], 0),
            ("counterfoil-core", "rand", Development, true, &[], 0),
            ("counterfoil-cli", "clap", Normal, true, &[], 0),
            ("counterfoil-model", "rmp-serde", Normal, true, &[], 0),
            ("counterfoil-core", "chrono", Normal, false, &["std"], 0),
            ("counterfoil-billing", "rmp-serde", Normal, true, &[], 1),
            ("counterfoil-core", "rand", Normal, true, &[], 1),
            ("counterfoil-meter", "cc", Build, true, &[], 1),
            ("counterfoil-core", "chrono", Normal, true, &[], 1),
            ("counterfoil-core", "chrono", Normal, false, &["clock"], 1),
        ];
        for (name, library, kind, default_features, features, expected) in cases {
            let dependency = Dependency {
                name: library.to_owned(),
                kind,
                local: false,
                default_features,
                features: features.iter().map(|&feature| feature.to_owned()).collect(),
            };
            let found = dependency_violations(&[Member::example(name, dependency)]);
            assert_eq!(found.len(), expected, "{name} with {library}: {found:?}");
        }
    }

    #[test]
    fn a_clippy_toml_that_strays_is_seen() {
        let core: &[u8] = b"bans";
        let cases: [(&str, Option<&[u8]>, usize); 6] = [
            ("counterfoil-billing", Some(b"bans"), 0),
            ("counterfoil-meter", Some(b"other bans"), 0),
            ("counterfoil-cli", None, 0),
            ("counterfoil-billing", Some(b"bans\n"), 1),
            ("counterfoil-meter", None, 1),
            ("counterfoil-core", None, 1),
        ];
        for (name, config, expected) in cases {
            let found = clippy_toml_violations(Some(core), [(name, config.map(<[u8]>::to_vec))]);
            assert_eq!(found.len(), expected, "{name}: {found:?}");
        }
    }
}
