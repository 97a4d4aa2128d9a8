//! The store: what is acknowledged is on disk, once, whatever happens to the process or the power.
#![allow(clippy::disallowed_methods, reason = "tests have threads")]

mod fixture;
mod store {
    mod alerts;
    pub mod common;
    mod crash;
    mod order;
    mod round_trip;
    mod waiting;
}
