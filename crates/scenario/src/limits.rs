//! The bounds of what is read. Units come last in the names.

/// Bytes of a scenario file: 32 MiB.
pub const SCENARIO_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Values in a scenario file, lists and maps included.
pub const SCENARIO_NODES_MAX: usize = 4_000_000;
/// Lists and maps inside one another.
pub const DEPTH_MAX: usize = 64;
/// Refused values around which the shape of one step is still searched for unknown fields.
pub const SHAPE_PRUNINGS_MAX: usize = 1_000;
