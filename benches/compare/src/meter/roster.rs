//! Which sides there are, and how each is used.

use std::{path::Path, process::Command};

use counterfoil_compare::Result;

use crate::{Mode, child, sides};

/// Events of a batch that is on disk before the next one is given.
const DURABLE_BATCH: u32 = 10_000;
/// Batches that may be unanswered where several may.
const HELD_BATCHES: usize = 4;
/// Threads that give single events.
const GIVERS: usize = 8;
/// Single events of a thread that may be unanswered: the most, and a quarter of it.
const TICKETS: [usize; 2] = [1_024, 256];
/// Up to so many events every row is read one by one on every side; above, on one in memory and on
/// one that is durable, and all others are compared by the totals of each customer on each meter.
const ROWS_MAX: u64 = 2_000_000;

/// What all sides are told.
pub struct Plan {
    pub mode: Mode,
    pub events: u64,
    /// For sides that take in row by row.
    pub small: u64,
    pub threads: usize,
    pub batch: u32,
    /// Events, hours, series and customers to come.
    pub room: [usize; 4],
    /// The same of the first [`Plan::small`].
    pub small_room: [usize; 4],
    /// Seed, customers, and repeats of a thousand.
    pub workload: [u64; 3],
    /// Growth on disk.
    pub durable: bool,
    pub memory_mib: Option<u64>,
    pub disk_mib: Option<u64>,
}

/// A side.
pub struct Side {
    pub name: String,
    /// By which the targets find it.
    pub id: &'static str,
    pub events: u64,
    pub threads: usize,
    /// When what was taken in is safe, and from what.
    pub durability: &'static str,
    /// What was done before the clock started, and how the side is used.
    pub remark: String,
    pub ours: bool,
    program: Program,
    arguments: Vec<String>,
}

enum Program {
    /// This program, with the name of a side.
    Own(&'static str),
    /// The script of an engine.
    Python(&'static str),
}

impl Side {
    fn new(plan: &Plan, id: &'static str, name: &str, remark: &str) -> Self {
        Self {
            name: name.to_owned(),
            id,
            events: plan.events,
            threads: 1,
            durability: "none, in memory",
            remark: remark.to_owned(),
            ours: true,
            program: Program::Own("counterfoil"),
            arguments: vec!["--batch".to_owned(), plan.batch.to_string()],
        }
    }

    fn told(mut self, words: &[&str]) -> Self {
        self.arguments.extend(words.iter().map(|&word| word.to_owned()));
        self
    }

    /// Tells it a value; the last one that was told counts.
    fn told_value(mut self, name: &str, value: impl ToString) -> Self {
        if let Some(at) = self.arguments.iter().position(|word| word == name) {
            self.arguments.drain(at..at + 2);
        }
        self.told(&[name, &value.to_string()])
    }

    fn told_all(self, name: &str, values: impl IntoIterator<Item = impl ToString>) -> Self {
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        let mut side = self.told(&[name]);
        side.arguments.extend(values);
        side
    }

    fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    fn run_by(mut self, program: Program) -> Self {
        self.ours = !matches!(program, Program::Python(_));
        self.program = program;
        self
    }

    /// With room made before the clock starts.
    fn ahead(self, room: [usize; 4]) -> Self {
        self.told_all("--reserve", room)
    }

    fn synced(mut self) -> Self {
        self.durability = "synced before it is acknowledged";
        self
    }

    /// In memory; with room made ahead it is done twice, so that the memory was touched.
    fn in_memory(plan: &Plan, id: &'static str, threads: usize, ahead: bool) -> Self {
        let how = if ahead { "reserved" } else { "growing" };
        let name = format!("counterfoil, {how}, {}", threads_of(threads));
        let side = Self::new(plan, id, &name, "").threads(threads);
        match ahead {
            true => Self {
                remark: "room made ahead, touched by the first pass".to_owned(),
                ..side.ahead(plan.room).told(&["--twice"])
            },
            false => Self { remark: "from nothing, in fresh memory".to_owned(), ..side },
        }
    }

    /// With each batch on disk before it is acknowledged.
    fn durable(plan: &Plan, id: &'static str, ahead: bool, held: usize) -> Self {
        let how = if ahead { "reserved" } else { "growing" };
        let at_once = if held > 1 { format!(", {held} unanswered") } else { String::new() };
        let room = match ahead {
            true => "room in memory and on disk made ahead, touched by the first pass",
            false => "from nothing, in memory and on disk",
        };
        let given = match held {
            1 => "each waited for".to_owned(),
            _ => format!("up to {held} unanswered, threads lent to write and to hash"),
        };
        let batch = plan.batch.min(DURABLE_BATCH);
        let remark = format!("batches of {batch}, {given}; {room}");
        let side = Self::new(plan, id, &format!("counterfoil, durable, {how}{at_once}"), &remark);
        let side = side.synced().told(&["--durable"]).told_value("--held", held);
        let side = side.told_value("--batch", batch);
        let side = if held > 1 { side.told(&["--lend"]).threads(2) } else { side };
        if ahead { side.ahead(plan.room).told(&["--twice"]) } else { side }
    }

    /// The process that measures the side.
    pub fn command(&self, dir: &Path, plan: &Plan, round: usize) -> Result<Command> {
        let mut command = match self.program {
            Program::Own(side) => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["side", side]);
                let one = ["reserved", "durable"].contains(&self.id);
                if side == "counterfoil" && round == 1 && (plan.events <= ROWS_MAX || one) {
                    command.arg("--rows");
                }
                if self.arguments.iter().any(|word| word == "--twice") {
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
        command.arg("--dir").arg(dir);
        command.args(["--events", &self.events.to_string()]);
        command.args(["--threads", &self.threads.to_string()]);
        command.args(&self.arguments);
        if plan.mode == Mode::Online {
            command.arg("--online");
        }
        Ok(command)
    }
}

fn threads_of(threads: usize) -> String {
    if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") }
}

/// The engines that are skipped, with the reason.
pub type Skipped = Vec<(String, String)>;

/// The sides of a run.
pub fn sides(plan: &Plan, against: &[String]) -> Result<(Vec<Side>, Skipped)> {
    let mut sides = match plan.mode {
        Mode::Batch => batch(plan),
        Mode::Online => online(plan),
        Mode::Singles => singles(plan),
        Mode::Growth => return Ok((growth(plan), Vec::new())),
        Mode::Recovery => return Ok((recovery(plan), Vec::new())),
    };
    let mut skipped = Vec::new();
    for engine in against.iter().map(|engine| engine.trim()).filter(|engine| !engine.is_empty()) {
        // A name that is not known is refused, whatever is installed.
        let peers = peers(plan, engine)?;
        if peers.is_empty() {
            eprintln!("{engine} is not measured in {}", plan.mode.name());
            continue;
        }
        let version = match (engine, plan.mode) {
            ("redis", Mode::Singles) => sides::redis_version(),
            _ => child::probe(engine),
        };
        match version {
            Ok(version) => sides.extend(peers.into_iter().map(|peer| {
                let name = format!("{version}{}", peer.name);
                Side { name, ..peer }
            })),
            Err(reason) => skipped.push((engine.to_owned(), reason)),
        }
    }
    Ok((sides, skipped))
}

fn batch(plan: &Plan) -> Vec<Side> {
    let mut sides = vec![
        Side::in_memory(plan, "reserved", plan.threads, true),
        Side::in_memory(plan, "growing", plan.threads, false),
    ];
    if plan.threads > 1 {
        sides.push(Side::in_memory(plan, "reserved-1", 1, true));
        sides.push(Side::in_memory(plan, "growing-1", 1, false));
    }
    sides.extend([
        Side::durable(plan, "durable", true, 1),
        Side::durable(plan, "durable-held", true, HELD_BATCHES),
        Side::durable(plan, "durable-growing", false, 1),
        Side::durable(plan, "durable-growing-held", false, HELD_BATCHES),
    ]);
    let fast = "of the final size, touched by the first pass";
    let fast = Side::new(plan, "fast-maps", "hash maps, fast hash", fast).told(&["--twice"]);
    let std = Side::new(plan, "std-maps", "hash maps of std", "from nothing, in fresh memory");
    sides.push(Side { ours: false, ..fast.run_by(Program::Own("fast-maps")) });
    sides.push(Side { ours: false, ..std.run_by(Program::Own("std-maps")) });
    sides
}

fn online(plan: &Plan) -> Vec<Side> {
    vec![
        Side::durable(plan, "durable", true, 1),
        Side::durable(plan, "durable-held", true, HELD_BATCHES),
        Side::durable(plan, "durable-growing", false, 1),
        Side::durable(plan, "durable-growing-held", false, HELD_BATCHES),
        Side::in_memory(plan, "reserved-1", 1, true),
        Side::in_memory(plan, "growing-1", 1, false),
    ]
}

fn singles(plan: &Plan) -> Vec<Side> {
    let side = |id, name: &str, held: usize, lend: bool| {
        let given = if held > 1 { "unanswered tickets" } else { "each waited for" };
        let lent = if lend { "; threads lent to write and to hash" } else { "" };
        let remark = format!("{given}; room in memory and on disk made ahead{lent}");
        let side = Side::new(plan, id, &format!("counterfoil, {name}"), &remark);
        let side = side.run_by(Program::Own("singles")).synced().threads(GIVERS);
        let side = side.told(&["--durable"]).told_value("--held", held);
        if lend { side.told(&["--lend"]) } else { side }
    };
    let [most, fewer] = TICKETS;
    let mut sides = vec![
        side("tickets", "1,024 unanswered a thread", most, true).ahead(plan.room),
        side("tickets-alone", "1,024 unanswered, nothing lent", most, false).ahead(plan.room),
        side("tickets-fewer", "256 unanswered a thread", fewer, true).ahead(plan.room),
    ];
    let blocking = side("blocking", "blocking calls", 1, false).ahead(plan.small_room);
    sides.push(Side { events: plan.small, ..blocking });
    sides
}

/// Events that stay in memory where the others are moved to a file.
const SPILL_KEEPS: usize = 4_000_000;

fn growth(plan: &Plan) -> Vec<Side> {
    let side = |id, name: &str, ahead: bool| {
        let batch = if plan.durable { plan.batch.min(DURABLE_BATCH) } else { plan.batch };
        let kind = if plan.durable { ", durable" } else { "" };
        let name = format!("counterfoil{kind}, {name}, {}", threads_of(plan.threads));
        let room = match ahead {
            true => "room for all of it made ahead",
            false => "from nothing, in fresh memory",
        };
        let remark = format!("all kept; batches of {batch}; {room}");
        let mut side = Side::new(plan, id, &name, &remark).threads(plan.threads);
        side = side.run_by(Program::Own("growth")).told_value("--batch", batch);
        side = side.told_all("--workload", plan.workload);
        for (name, limit) in [("--memory-mib", plan.memory_mib), ("--disk-mib", plan.disk_mib)] {
            side = limit.into_iter().fold(side, |side, limit| side.told_value(name, limit));
        }
        side = if plan.durable { side.synced().told(&["--durable"]) } else { side };
        if ahead { side.ahead(plan.room) } else { side }
    };
    let mut sides = vec![side("growing", "growing", false)];
    // With a limit it is not known how far it goes.
    if plan.memory_mib.is_none() {
        sides.push(side("reserved", "reserved", true));
    }
    if !plan.durable {
        let name = format!("growing, {} M events in memory", SPILL_KEEPS / 1_000_000);
        let mut spilled = side("spilled", &name, false).told_value("--spill", SPILL_KEEPS);
        spilled.remark.push_str("; the others in a mapped file; memory without that file's");
        sides.push(spilled);
    }
    sides
}

fn recovery(plan: &Plan) -> Vec<Side> {
    let side = |id, name: &str, remark: &str| {
        let side = Side::new(plan, id, &format!("counterfoil, {name}"), remark);
        side.run_by(Program::Own("recovery")).synced().threads(plan.threads)
    };
    let cold = "its files dropped from the page cache before";
    let warm = "its files in the page cache";
    vec![
        side("checkpoint", "with a checkpoint", warm),
        side("checkpoint-cold", "with a checkpoint, from disk", cold).told(&["--cold"]),
        side("replay", "replay without a checkpoint", &format!("{warm}, room made ahead"))
            .told(&["--replay"])
            .ahead(plan.room),
        side("replay-cold", "replay without, from disk", &format!("{cold}, room made ahead"))
            .told(&["--replay", "--cold"])
            .ahead(plan.room),
    ]
}

/// The process that makes the store that [`Mode::Recovery`] opens.
pub fn recovery_build(plan: &Plan) -> Side {
    let side = Side::new(plan, "build", "counterfoil, filled", "");
    let side = side.run_by(Program::Own("recovery-build")).threads(plan.threads);
    side.told_value("--batch", plan.batch.min(DURABLE_BATCH)).told(&["--lend"]).ahead(plan.room)
}

/// How an engine is used; the name is what is added to its version.
fn peers(plan: &Plan, engine: &str) -> Result<Vec<Side>> {
    let peer = |id: &'static str, script, name: &str, remark: &str| {
        Side::new(plan, id, name, remark).run_by(Program::Python(script)).threads(plan.threads)
    };
    let small = |side: Side| Side { events: plan.small, threads: 1, ..side };
    let synced = "unique index and upsert of rows";
    // Larger transactions are faster where nobody asks in between.
    let rows = plan.batch.min(if plan.mode == Mode::Online { DURABLE_BATCH } else { 100_000 });
    Ok(match (engine, plan.mode) {
        ("duckdb", Mode::Batch) => vec![
            peer("duckdb", "duckdb", "", "own table, loaded before; deduplicated in the query"),
            small(duckdb_durable(&peer, plan, "append")).threads(plan.threads),
            small(duckdb_durable(&peer, plan, "key")).threads(plan.threads),
        ],
        ("duckdb", Mode::Online) => vec![
            small(duckdb_durable(&peer, plan, "append")).threads(plan.threads),
            small(duckdb_durable(&peer, plan, "key")).threads(plan.threads),
        ],
        ("polars", Mode::Batch) => {
            vec![peer("polars", "polars", "", "frame, loaded before; streaming engine")]
        }
        ("chdb", Mode::Batch) => {
            let remark = "MergeTree, loaded before; deduplicated in the query";
            let side = peer("chdb", "chdb", "", remark);
            vec![Side { durability: "written, not synced", ..side }]
        }
        ("sqlite", Mode::Batch | Mode::Online) => {
            let side = peer("sqlite", "sqlite", "", &format!("WAL, {synced}; batches of {rows}"));
            vec![small(side).synced().told_value("--batch", rows)]
        }
        ("redis", Mode::Batch) => {
            vec![small(peer("redis", "redis", "", "a script a batch: SET NX, a hash of rows"))]
        }
        ("redis", Mode::Online) => {
            let side = peer("redis", "redis", "", "append-only file, a script a batch");
            vec![small(side).synced()]
        }
        ("redis", Mode::Singles) => [TICKETS[0], 1]
            .map(|held| {
                let (id, name) = match held {
                    1 => ("redis-blocking", ", blocking calls"),
                    _ => ("redis", ", 1,024 unanswered a connection"),
                };
                let remark = "append-only file, a script an event; a client in Rust";
                let side = peer(id, "redis", name, remark).run_by(Program::Own("redis-singles"));
                let side = Side { ours: false, ..small(side) }.told_value("--held", held);
                side.synced().threads(GIVERS)
            })
            .into(),
        ("postgres", Mode::Batch | Mode::Online) => {
            let remark = format!("COPY, {synced}; batches of {rows}");
            let side = peer("postgres", "postgres", "", &remark);
            vec![small(side).synced().told_value("--batch", rows)]
        }
        ("duckdb" | "polars" | "chdb" | "sqlite" | "redis" | "postgres", _) => Vec::new(),
        _ => return Err(format!("no engine is named {engine}").into()),
    })
}

/// DuckDB on disk: exact when a batch comes in, or when it is asked.
fn duckdb_durable(
    peer: &impl Fn(&'static str, &'static str, &str, &str) -> Side,
    plan: &Plan,
    how: &'static str,
) -> Side {
    let (id, name, remark) = match how {
        "key" => ("duckdb-key", ", primary key", "on disk, primary key on the identifier"),
        _ => ("duckdb-append", ", append", "on disk, appended; deduplicated when it is asked"),
    };
    let batch = plan.batch.min(DURABLE_BATCH);
    let side = peer(id, "duckdb", name, &format!("{remark}; batches of {batch}")).synced();
    side.told_value("--batch", batch).told(&["--durable", how])
}
