//! Money, currencies, exact decimals, ids, time and calendar arithmetic: the ground floor of
//! counterfoil. No I/O, no clock, no randomness, no float; every result depends only on the
//! arguments.
//!
//! The main types are [`Money`] and [`Currency`], [`Decimal12`] (an exact decimal with twelve
//! fractional digits) and [`Exact`] (a fraction that is rounded once), [`Id`], [`Timestamp`],
//! [`Period`] and [`Anchor`] (boundaries computed from the anchor, never from each other).
//! Whatever refuses input does so with a [`Refusal`], which carries a stable [`Code`].
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::float_arithmetic,
        clippy::as_conversions
    )
)]

mod anchor_config;
mod calendar;
mod currency;
mod decimal;
mod exact;
mod id;
pub mod limits;
mod metadata;
mod money;
mod refusal;
#[cfg(feature = "schema")]
mod schema;
mod time;
mod value;
mod zone;

pub use anchor_config::AnchorConfig;
pub use calendar::{Anchor, Interval, IntervalUnit};
pub use currency::Currency;
pub use decimal::Decimal12;
pub use exact::{Exact, Rounding, cumulative_share};
pub use id::{Id, Kind, kind};
pub use metadata::{Metadata, MetadataPatch};
pub use money::Money;
pub use refusal::{ArithmeticError, Code, Refusal};
pub use time::{EventTime, Period, Timestamp};
pub use value::Value;
pub use zone::{ZONE_NAMES_VERSION, Zone};
