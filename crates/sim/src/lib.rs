//! Lives of customers, made up at random, and an auditor: years of subscribing, using, changing,
//! failing to pay and leaving, in every policy of a book, in seconds.
//!
//! A [`Case`] is a few numbers, so that one that fails shrinks to few small ones. [`World::live`]
//! lives it on a book in memory and notes each step; [`audit`] replays the log of the book and
//! checks every invariant after every record; [`scenario`] writes the steps down as a scenario that
//! a person can read and `counterfoil run` takes.
//!
//! ```
//! use counterfoil_sim::{World, audit, case, scenario};
//! use proptest::strategy::{Strategy, ValueTree};
//! use proptest::test_runner::TestRunner;
//!
//! let case = case().new_tree(&mut TestRunner::deterministic()).unwrap().current();
//! let world = World::live(&case).unwrap();
//! audit(&world.engine).unwrap();
//! println!("{}", scenario(&case, &world.steps));
//! ```
#![forbid(unsafe_code)]

mod acts;
mod audit;
mod beginning;
mod world;

pub use acts::{Act, Case, case};
pub use audit::audit;
pub use world::{CUSTOMERS, Step, World, YEARS, book, code_of, renamed, scenario};
