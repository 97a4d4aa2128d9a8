//! Which sides there are, and how each is used.

use std::{path::Path, process::Command};

use counterfoil_compare::Result;

use crate::child;

/// What all sides are told.
pub struct Plan {
    pub events: u64,
    /// For sides that take in row by row.
    pub small: u64,
    pub threads: usize,
    pub batch: u32,
    pub online: bool,
    /// Hours, series and customers to come.
    pub room: [usize; 3],
}

/// A side.
pub struct Side {
    pub name: String,
    pub events: u64,
    pub threads: usize,
    /// When what was taken in is safe, and from what.
    pub durability: &'static str,
    /// What was done before the clock started, and how the side is used.
    pub remark: &'static str,
    pub ours: bool,
    program: Program,
}

enum Program {
    /// This program, with the name of a side, whether it has room made ahead, and whether it is
    /// on disk.
    Own(&'static str, bool, bool),
    Python(String),
}

impl Side {
    fn own(plan: &Plan, name: &str, side: &'static str, threads: usize, ahead: bool) -> Self {
        let ours = side == "counterfoil";
        Self {
            name: name.to_owned(),
            events: plan.events,
            threads,
            durability: "none, in memory",
            remark: match (ours, ahead) {
                (true, true) => "room made ahead, touched by the first pass",
                (false, true) => "of the final size, touched by the first pass",
                (_, false) => "grows from nothing, in fresh memory both times",
            },
            ours,
            program: Program::Own(side, ours && ahead, false),
        }
    }

    /// Ours, with each batch on disk before the next one.
    fn durable(plan: &Plan, ahead: bool) -> Self {
        let name = if ahead { "durable, reserved" } else { "durable, growing" };
        let mut side = Self::own(plan, &format!("counterfoil, {name}"), "counterfoil", 1, ahead);
        side.durability = "each batch synced";
        side.remark = match ahead {
            true => "batches of 10,000; room and space on disk made ahead",
            false => "batches of 10,000; grows from nothing, in memory and on disk",
        };
        side.program = Program::Own("counterfoil", ahead, true);
        side
    }

    fn engine(plan: &Plan, engine: &str, version: String) -> Result<Self> {
        let (durability, remark, small, threads) = match (engine, plan.online) {
            ("duckdb", false) => {
                ("none, in memory", "own table, loaded before; deduplicated in the query", false, 8)
            }
            ("duckdb", true) => {
                ("each batch synced", "on disk, primary key on the identifier", true, 8)
            }
            ("polars", _) => {
                ("none, in memory", "frame, loaded before; streaming engine", false, 8)
            }
            ("chdb", _) => (
                "written, not synced",
                "MergeTree, loaded before; deduplicated in the query",
                false,
                8,
            ),
            ("sqlite", _) => ("each batch synced", "WAL, unique index and upsert of rows", true, 1),
            ("redis", false) => {
                ("none, in memory", "a script a batch: SET NX, a hash of rows", true, 1)
            }
            ("redis", true) => ("each batch synced", "append-only file; a script a batch", true, 1),
            ("postgres", _) => {
                ("each batch synced", "COPY, unique index and upsert of rows", true, 1)
            }
            _ => return Err(format!("no engine is named {engine}").into()),
        };
        Ok(Self {
            name: version,
            events: if small { plan.small } else { plan.events },
            threads: threads.min(plan.threads),
            durability,
            remark,
            ours: false,
            program: Program::Python(engine.to_owned()),
        })
    }

    /// The process that measures the side.
    pub fn command(&self, dir: &Path, plan: &Plan, round: usize) -> Result<Command> {
        let mut command = match &self.program {
            Program::Own(side, ahead, durable) => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["side", side]);
                if round == 1 {
                    command.arg("--rows");
                }
                if *durable {
                    command.arg("--durable");
                }
                if *ahead {
                    command.arg("--reserve").args(plan.room.map(|rows| rows.to_string()));
                    // What is freed is kept, so that the second pass finds it touched.
                    command.env("MALLOC_MMAP_MAX_", "0").env("MALLOC_ARENA_MAX", "1");
                    command.env("MALLOC_TRIM_THRESHOLD_", (1_u64 << 40).to_string());
                }
                command
            }
            Program::Python(engine) => {
                let mut command = Command::new(child::python());
                command.arg(child::script(engine));
                command
            }
        };
        let durable = matches!(self.program, Program::Own(_, _, true));
        let batch = if durable { plan.batch.min(10_000) } else { plan.batch };
        command.arg("--dir").arg(dir);
        for (name, value) in [
            ("--events", self.events.to_string()),
            ("--threads", self.threads.to_string()),
            ("--batch", batch.to_string()),
        ] {
            command.args([name, &value]);
        }
        if plan.online {
            command.arg("--online");
        }
        Ok(command)
    }
}

/// The engines that are skipped, with the reason.
pub type Skipped = Vec<(String, String)>;

/// The sides of a run.
pub fn sides(plan: &Plan, against: &[String]) -> Result<(Vec<Side>, Skipped)> {
    let named = |name: &str, threads: usize| match threads {
        1 => format!("counterfoil, {name}, 1 thread"),
        _ => format!("counterfoil, {name}, {threads} threads"),
    };
    let mut sides = Vec::new();
    let mut skipped = Vec::new();
    // A batch of 10,000 is soonest done by one thread.
    let several = plan.threads;
    let mut ours = if plan.online { vec![1, several] } else { vec![several, 1] };
    ours.dedup();
    for threads in ours {
        for (name, ahead) in [("reserved", true), ("growing", false)] {
            sides.push(Side::own(plan, &named(name, threads), "counterfoil", threads, ahead));
        }
    }
    sides.extend([true, false].map(|ahead| Side::durable(plan, ahead)));
    if !plan.online {
        sides.push(Side::own(plan, "hash maps, fast hash", "fast-maps", 1, true));
        sides.push(Side::own(plan, "hash maps of std", "std-maps", 1, false));
    }
    for engine in against.iter().map(|engine| engine.trim()).filter(|engine| !engine.is_empty()) {
        if plan.online && ["polars", "chdb"].contains(&engine) {
            skipped.push((engine.to_owned(), "not measured online".to_owned()));
            continue;
        }
        // A name that is not known is refused, whatever is installed.
        Side::engine(plan, engine, String::new())?;
        match child::probe(engine) {
            Ok(version) => sides.push(Side::engine(plan, engine, version)?),
            Err(reason) => skipped.push((engine.to_owned(), reason)),
        }
    }
    Ok((sides, skipped))
}
