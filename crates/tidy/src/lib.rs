//! Holds the shape of the workspace: the rules that the compiler does not know, checked by
//! `cargo test -p counterfoil-tidy`. This library is empty; the crate is its integration test.
//!
//! | module of `tests/tidy` | what it holds |
//! |---|---|
//! | `floors` | which crate may depend on which: a table, one row per crate |
//! | `purity` | pure crates use only listed libraries, have no clock, and share one `clippy.toml` |
//! | `pages` | every crate has a page, refuses unsafe code and takes the workspace's lints |
//! | `files` | lengths and sizes of files; no placeholder left in a source file |
//! | `links` | a relative link in a document points to a file of the tree |
//!
//! Each check is a function from plain data to a list of violations, so that beside the test that
//! runs it over the tree stands one that runs it over input that breaks the rule.
#![forbid(unsafe_code)]
