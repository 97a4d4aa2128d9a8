//! A side at work: a process that is started, and the answer that it prints.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use counterfoil_compare::{Result, stats::Latencies};
use serde::{Deserialize, Serialize};

use crate::rows::Totals;

/// What a side came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// From the first event to all rows; the second time, with memory that the first one touched.
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
    pub kept_mib: Option<f64>,
    pub totals: Totals,
    /// Over all hours, where a side was asked for that.
    pub series: Option<Totals>,
    pub batch: Option<Percentiles>,
    pub query: Option<Percentiles>,
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

/// The Python that has the engines: of the virtual environment that `COUNTERFOIL_ENGINES` names, or
/// the one on the path.
pub fn python() -> PathBuf {
    match std::env::var_os("COUNTERFOIL_ENGINES") {
        Some(environment) => Path::new(&environment).join("bin/python3"),
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
