//! The figures of `docs/RELIABILITY.md`, one test each. Every test prints what it measured.
//!
//! `COUNTERFOIL_RELIABILITY` says how much is tried: `ci` (what is assumed), `full`, `long`.

mod beside;
mod faults;
mod fixtures;
mod full_disk;
mod heads;
mod history;
mod names;
mod oracle;
mod planted;
mod power_loss;
mod sectors;
mod size;
mod trace;
mod truncation;
mod workload;
