//! A side at work: a process that is started, and the answer that it prints.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use counterfoil_compare::{Result, stats::Latencies};
use counterfoil_meter::Memory;
use serde::{Deserialize, Serialize};

use crate::rows::Totals;

/// What a side came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// From the first event to all rows; the second time, with memory that the first one touched,
    /// where there are two.
    pub seconds: f64,
    /// The first time, where there are two.
    pub first_seconds: Option<f64>,
    /// Of all processors, in the time that counts; where the side is one process.
    pub cpu_seconds: Option<f64>,
    /// Until the events were in the memory or the table that the side starts from.
    pub load_seconds: f64,
    /// Reading all rows one by one, where they are not what the side ends with.
    pub read_seconds: Option<f64>,
    /// The most memory that the process had the first time, with its input.
    pub peak_mib: f64,
    /// What is kept in the end, without the input.
    pub kept: Option<Kept>,
    pub totals: Totals,
    /// Over all hours, where a side was asked for that.
    pub series: Option<Totals>,
    /// From giving a batch to its acknowledgement.
    pub batch: Option<Percentiles>,
    pub query: Option<Percentiles>,
    /// From giving a single event to its acknowledgement.
    pub ack: Option<Percentiles>,
    /// The longest time that a call kept its caller, in microseconds.
    pub stall: Option<f64>,
    /// How it went as it grew.
    pub steps: Vec<Step>,
    /// Why it ended before all events were in.
    pub stopped: Option<String>,
    pub recovery: Option<Recovery>,
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Percentiles {
    pub fn of(latencies: &Latencies) -> Self {
        let (p50, p99) = (latencies.micros_at(0.5), latencies.micros_at(0.99));
        Self { p50, p99, max: latencies.micros_max() }
    }
}

/// The memory of an aggregator.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Kept {
    pub mib: f64,
    /// Bytes of all, for each event.
    pub per_event: f64,
    pub per_identifier: f64,
    /// For each hour of a customer on a meter.
    pub per_row: f64,
}

impl Kept {
    pub fn of(memory: &Memory) -> Self {
        let per = |bytes: usize, things: usize| bytes as f64 / things.max(1) as f64;
        Self {
            mib: memory.bytes() as f64 / f64::from(1 << 20),
            per_event: per(memory.bytes(), memory.events),
            per_identifier: per(memory.identifier_bytes, memory.identifiers),
            per_row: per(memory.hour_bytes, memory.hours),
        }
    }
}

/// How far a side had come, and what it took since the step before.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Step {
    pub events: u64,
    /// Nanoseconds of an event, from the first on.
    pub mean_nanos: f64,
    /// The same of the last so many only: a twentieth of all.
    pub here_nanos: f64,
    /// The longest batch since the step before, in milliseconds.
    pub stall_millis: f64,
    /// What the process has, of memory and on disk.
    pub resident_mib: f64,
    pub disk_mib: f64,
    /// Bytes that the aggregator keeps for each event.
    pub per_event: f64,
    /// Writing a checkpoint here, where there is one.
    pub checkpoint_seconds: Option<f64>,
}

/// How a store came back.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Recovery {
    /// Until the store was open.
    pub open_seconds: f64,
    /// Until the first query was answered, opening included.
    pub first_query_seconds: f64,
    /// Until every customer's totals had been read once, opening included.
    pub warm_seconds: f64,
    /// Records that were replayed.
    pub replayed: u64,
    /// Whether a checkpoint was used.
    pub checkpoint: bool,
    pub disk_mib: f64,
}

/// Runs a process to its end; what it printed last, as JSON.
pub fn ask(command: &mut Command) -> Result<Answer> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{command:?} ended with {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let line = text.trim().lines().last().unwrap_or_default();
    serde_json::from_str(line)
        .map_err(|error| format!("{command:?} printed {line}: {error}").into())
}

/// The Python that has the engines: of the virtual environment that `COUNTERFOIL_ENGINES` names, of
/// the one in `~/.cache/counterfoil-engines`, or the one on the path.
pub fn python() -> PathBuf {
    let named = std::env::var_os("COUNTERFOIL_ENGINES").map(PathBuf::from);
    let usual =
        || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/counterfoil-engines"));
    let usual = || usual().filter(|folder| folder.is_dir());
    match named.or_else(usual) {
        Some(environment) => environment.join("bin/python3"),
        None => PathBuf::from("python3"),
    }
}

/// The script of an engine.
pub fn script(engine: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("meter").join(format!("side_{engine}.py"))
}

/// The version of an engine, or why it cannot be asked.
pub fn probe(engine: &str) -> std::result::Result<String, String> {
    let output = Command::new(python()).arg(script(engine)).arg("--probe").output();
    let output = output.map_err(|error| format!("{}: {error}", python().display()))?;
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.trim().lines().last().unwrap_or_default().to_owned()
    };
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
