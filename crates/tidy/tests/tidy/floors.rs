//! Dependencies point down only: which crate of the workspace may name which.

use crate::workspace::{Member, members};

/// A row of the table: a crate, its floor, and the crates of the workspace that it may name.
struct Room {
    name: &'static str,
    floor: u8,
    uses: Uses,
}

enum Uses {
    Only(&'static [&'static str]),
    /// Whatever stands: a crate that nothing depends on, and that measures the others.
    Any,
}

const fn room(name: &'static str, floor: u8, uses: &'static [&'static str]) -> Room {
    Room { name, floor, uses: Uses::Only(uses) }
}

/// From the ground up; a crate uses only crates that are listed before it. Dev-dependencies obey
/// the same table. A crate that does not exist yet may stand here, one that exists must.
const ROOMS: &[Room] = &[
    room("counterfoil-core", 0, &[]),
    room("counterfoil-log", 1, &[]),
    room("counterfoil-meter", 2, &["counterfoil-core", "counterfoil-log"]),
    room("counterfoil-billing", 2, &["counterfoil-core"]),
    room("counterfoil-journal", 3, &["counterfoil-core", "counterfoil-billing"]),
    room(
        "counterfoil-model",
        3,
        &["counterfoil-core", "counterfoil-meter", "counterfoil-billing", "counterfoil-journal"],
    ),
    room(
        "counterfoil",
        4,
        &[
            "counterfoil-core",
            "counterfoil-log",
            "counterfoil-meter",
            "counterfoil-billing",
            "counterfoil-journal",
            "counterfoil-model",
        ],
    ),
    room("counterfoil-scenario", 5, &["counterfoil-core", "counterfoil"]),
    room(
        "counterfoil-cli",
        6,
        // The meter, to measure it alone.
        &["counterfoil-core", "counterfoil-meter", "counterfoil", "counterfoil-scenario"],
    ),
    room(
        "counterfoil-sim",
        6,
        // The model, to replay a log and check it, and what its events are made of.
        &["counterfoil-billing", "counterfoil-model", "counterfoil", "counterfoil-scenario"],
    ),
    Room { name: "counterfoil-benches", floor: 7, uses: Uses::Any },
    room("counterfoil-tidy", 7, &[]),
];

fn room_of(name: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.name == name)
}

/// Members without a row, and edges between crates of the workspace that no row allows.
fn violations(members: &[Member]) -> Vec<String> {
    let mut found = Vec::new();
    for member in members {
        let Some(room) = room_of(&member.name) else {
            found.push(format!("{}: has no row in ROOMS: say on which floor it is", member.name));
            continue;
        };
        for dependency in &member.dependencies {
            // A crate names itself to have its own features on in its tests.
            let itself = dependency.name == member.name;
            let ours = dependency.local || dependency.name.starts_with("counterfoil");
            let allowed = match room.uses {
                Uses::Any => true,
                Uses::Only(uses) => uses.contains(&dependency.name.as_str()),
            };
            if ours && !itself && !allowed {
                found.push(refusal(room, &dependency.name));
            }
        }
    }
    found
}

fn refusal(room: &Room, target: &str) -> String {
    let floor_of = |target| match room_of(target) {
        Some(target) => format!("floor {}", target.floor),
        None => "in no row of ROOMS".to_owned(),
    };
    let rule = match room.uses {
        Uses::Only([]) => "it may name no crate of the workspace".to_owned(),
        Uses::Only(uses) => format!("it may name only {}", uses.join(", ")),
        Uses::Any => unreachable!("a crate that may name any is never refused"),
    };
    let Room { name, floor, .. } = room;
    format!("{name} (floor {floor}) must not depend on {target} ({}): {rule}", floor_of(target))
}

/// Rows that name a crate which is not below them.
fn table_violations(rooms: &[Room]) -> Vec<String> {
    let mut found = Vec::new();
    for (index, room) in rooms.iter().enumerate() {
        let Uses::Only(uses) = room.uses else { continue };
        for used in uses {
            let below = &rooms[..index];
            if !below.iter().any(|other| other.name == *used && other.floor <= room.floor) {
                found.push(format!("{}: names {used}, which is not listed below it", room.name));
            }
        }
    }
    found
}

#[test]
fn dependencies_point_down() {
    crate::assert_none(&violations(&members()));
}

#[test]
fn the_table_points_down() {
    crate::assert_none(&table_violations(ROOMS));
}

#[cfg(test)]
mod canaries {
    use cargo_metadata::DependencyKind;

    use super::*;
    use crate::workspace::Dependency;

    fn member(name: &str, dependency: &str, local: bool, kind: DependencyKind) -> Member {
        let dependency = Dependency {
            name: dependency.to_owned(),
            kind,
            local,
            default_features: true,
            features: Vec::new(),
        };
        Member::example(name, dependency)
    }

    #[test]
    fn every_edge_is_judged_by_its_row() {
        use DependencyKind::{Build, Development, Normal};
        // from, to, given by path, kind, allowed
        let cases = [
            ("counterfoil-billing", "counterfoil-core", true, Normal, true),
            ("counterfoil-cli", "clap", false, Normal, true),
            ("counterfoil-benches", "counterfoil-log", true, Normal, true),
            ("counterfoil-core", "counterfoil-billing", true, Normal, false),
            ("counterfoil-core", "counterfoil-billing", true, Development, false),
            ("counterfoil-core", "counterfoil-billing", true, Build, false),
            ("counterfoil-billing", "counterfoil-meter", true, Normal, false),
            ("counterfoil-model", "counterfoil-log", true, Normal, false),
            ("counterfoil-cli", "counterfoil-model", true, Normal, false),
            ("counterfoil-scenario", "counterfoil-cli", true, Normal, false),
            ("counterfoil-log", "counterfoil-core", false, Normal, false),
            ("counterfoil-log", "vendored", true, Normal, false),
            ("counterfoil-tidy", "counterfoil", true, Development, false),
            ("counterfoil-attic", "serde", false, Normal, false),
        ];
        for (from, to, local, kind, allowed) in cases {
            let found = violations(&[member(from, to, local, kind)]);
            assert_eq!(found.is_empty(), allowed, "{from} to {to}: {found:?}");
        }
    }

    #[test]
    fn a_refusal_names_both_crates_and_the_rule() {
        let bad = member("counterfoil-journal", "counterfoil-log", true, DependencyKind::Normal);
        assert_eq!(
            violations(&[bad]),
            ["counterfoil-journal (floor 3) must not depend on counterfoil-log (floor 1): \
              it may name only counterfoil-core, counterfoil-billing"]
        );
    }

    #[test]
    fn a_table_that_points_up_is_seen() {
        let upward = [room("a", 0, &["b"]), room("b", 1, &[])];
        assert_eq!(table_violations(&upward).len(), 1);
        let higher_first = [room("b", 1, &[]), room("a", 0, &["b"])];
        assert_eq!(table_violations(&higher_first).len(), 1);
        assert_eq!(table_violations(&[room("a", 0, &["a"])]).len(), 1);
    }
}
