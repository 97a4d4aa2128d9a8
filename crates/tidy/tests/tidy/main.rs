//! The tests that hold the shape of the workspace; see the page of the crate.
#![forbid(unsafe_code)]

mod files;
mod floors;
mod links;
mod pages;
mod purity;
mod workspace;

/// Fails with one line per violation.
#[track_caller]
fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}
