//! What the comparisons share: the machine that they run on, and the figures that they print.
#![forbid(unsafe_code)]

pub mod machine;
pub mod stats;

/// Whatever can go wrong ends the run: a figure from half a run would mean nothing.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
