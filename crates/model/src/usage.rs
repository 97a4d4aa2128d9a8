//! Where usage is read from.

use counterfoil_billing::catalog::{MeterId, Price};
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::UsageReading;
use counterfoil_core::{Decimal12, Period, Refusal};

/// Usage at a cut: a declared input of every decision that bills it.
pub trait UsageSource {
    /// The usage of a customer on a meter in a period that a price selects, and the position that
    /// was read up to.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`] for a meter that nobody defined.
    fn usage(
        &self,
        meter: &MeterId,
        customer: &CustomerId,
        period: Period,
        price: &Price,
    ) -> Result<UsageReading, Refusal>;
}

/// A source without any usage: for books without meters, and for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoUsage;

impl UsageSource for NoUsage {
    fn usage(
        &self,
        meter: &MeterId,
        _customer: &CustomerId,
        _period: Period,
        _price: &Price,
    ) -> Result<UsageReading, Refusal> {
        Ok(UsageReading { meter: meter.clone(), quantity: Decimal12::ZERO, events: 0, position: 0 })
    }
}
