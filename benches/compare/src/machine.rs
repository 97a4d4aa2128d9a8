//! What the figures were measured on.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::Result;

/// The machine, the system, the disk that holds a folder, and how busy the machine is with other
/// things.
pub fn facts(dir: &Path) -> Result<Vec<(&'static str, String)>> {
    let info = rustix::system::sysinfo();
    let uname = rustix::system::uname();
    let cores = thread::available_parallelism()?;
    let memory = info.totalram as f64 * f64::from(info.mem_unit) / f64::from(1 << 30);
    let system = (uname.sysname().to_string_lossy(), uname.release().to_string_lossy());
    Ok(vec![
        ("processor", format!("{cores} × {}", processor())),
        ("memory", format!("{memory:.0} GiB")),
        ("system", format!("{} {}", system.0, system.1)),
        ("disk", file_system(dir)),
        ("load", read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()),
    ])
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn processor() -> String {
    let info = read("/proc/cpuinfo");
    let value = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown").trim().to_owned()
    };
    let (family, model) = (value("cpu family"), value("model\t"));
    format!("{} (family {family}, model {model})", value("model name"))
}

/// Type, device and options of the mount that holds `dir`.
fn file_system(dir: &Path) -> String {
    let mounts = read("/proc/self/mounts");
    let mut best: Option<(usize, String)> = None;
    for line in mounts.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let [device, point, kind, options, ..] = fields[..] else { continue };
        let deeper = best.as_ref().is_none_or(|(len, _)| point.len() >= *len);
        if dir.starts_with(point) && deeper {
            best = Some((point.len(), format!("{kind} on {device}, {options}")));
        }
    }
    best.map_or_else(|| "unknown".to_owned(), |(_, text)| text)
}

/// Which part of the processors others may use while something is measured.
pub const OTHERS_MAX: f64 = 0.25;

/// Processor time so far, in ticks of the system.
pub struct Usage {
    all: u64,
    busy: u64,
    own: u64,
}

impl Usage {
    /// All zeros where the system does not tell; then nobody else seems to be there.
    pub fn now() -> Self {
        let stat = read("/proc/stat");
        let ticks: Vec<u64> = stat
            .lines()
            .next()
            .into_iter()
            .flat_map(|line| line.split_whitespace().skip(1).take(8))
            .filter_map(|field| field.parse().ok())
            .collect();
        let all = ticks.iter().sum();
        // The fourth and fifth field: idle, and idle until the disk answers.
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        let own = read("/proc/self/stat");
        let own = own.rsplit(')').next().unwrap_or_default();
        // User and system time; the name in parentheses, which may hold spaces, is cut off.
        let own = own.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok());
        Self { all, busy: all - idle, own: own.sum() }
    }

    /// The part of all processors that other processes, and other machines, used since then.
    pub fn others_since(&self) -> f64 {
        let now = Self::now();
        let busy = now.busy.saturating_sub(self.busy);
        let others = busy.saturating_sub(now.own.saturating_sub(self.own));
        others as f64 / now.all.saturating_sub(self.all).max(1) as f64
    }
}

/// Returns when others are quiet, or at the deadline.
pub fn wait_for_quiet(deadline: Instant) {
    while Instant::now() < deadline {
        let before = Usage::now();
        thread::sleep(Duration::from_millis(200));
        if before.others_since() < OTHERS_MAX / 2.0 {
            return;
        }
    }
}
