//! Subscription commands to subscriptions.

mod create;
mod cycle;
mod items;
mod mode;
mod update;

pub use create::{decide_create, elapsed_periods, too_many_lines};
pub use cycle::decide_reset;
pub(crate) use items::{check_collection, check_new_items};
pub use mode::decide_migrate;
pub use update::{Updated, decide_update};

use crate::catalog::{Price, PriceId};
use crate::customer::CustomerId;
use counterfoil_core::{Refusal, Zone};

/// The catalog, as far as subscriptions look into it.
pub trait Prices {
    /// A price.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    fn price(&self, id: &PriceId) -> Result<&Price, Refusal>;
    /// Whether the product of a price may be sold anew.
    fn is_sold(&self, price: &Price) -> bool;
    /// The clock by which new subscriptions of a customer are billed.
    fn zone_of(&self, customer: &CustomerId) -> Zone;
}
