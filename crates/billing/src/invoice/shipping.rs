//! What an invoice charges for shipping (rules 8.4 and 10).

use super::{Deferral, Derivation, Invoice, Line};
use crate::tax::{TaxAmount, TaxRateId};
use counterfoil_core::{Id, Period, Refusal, Timestamp, limits};
use serde::{Deserialize, Serialize};

/// What an invoice charges for shipping: an amount that the caller names. There are no rates to
/// choose from.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippingCost {
    /// Without the tax that is added, in minor units; never negative.
    pub amount: i64,
    /// Its tax rates. Those of the invoice are for lines only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tax_rates: Vec<TaxRateId>,
    /// What each tax rate takes; fixed at finalization.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<TaxAmount>,
}

/// What an invoice is to charge for shipping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippingCostInput {
    /// How much, in minor units, without the tax that is added.
    pub amount: i64,
    /// The tax rates of it; none where absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tax_rates: Vec<TaxRateId>,
}

impl ShippingCost {
    /// What a caller asked for. Whether its tax rates can be had is not looked at.
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] for a negative amount, [`Refusal::AmountTooLarge`].
    pub fn of(input: &ShippingCostInput) -> Result<Self, Refusal> {
        let ShippingCostInput { amount, tax_rates } = input;
        if *amount < 0 {
            let reason = format!("{amount} is negative");
            return Err(Refusal::invalid("shipping_cost.amount", reason));
        }
        let limit = limits::AMOUNT_MINOR_MAX;
        if *amount > limit {
            return Err(Refusal::too_large(format!("shipping_cost.amount {amount}"), limit));
        }
        Ok(Self { amount: *amount, tax_rates: tax_rates.clone(), taxes: Vec::new() })
    }

    /// Its taxes, in minor units.
    #[must_use]
    pub fn amount_tax(&self) -> i64 {
        self.taxes.iter().map(|tax| tax.amount).fold(0, i64::saturating_add)
    }

    /// With the tax that is added and without the tax that is waived, in minor units.
    #[must_use]
    pub fn amount_total(&self) -> i64 {
        self.taxes.iter().fold(self.amount, |sum, tax| {
            let added = if tax.inclusive { 0 } else { tax.amount };
            sum.saturating_add(added).saturating_sub(tax.waived)
        })
    }

    /// The revenue of it, which is earned when the invoice is finalized.
    #[must_use]
    pub fn deferral(&self, finalized_at: Timestamp) -> Deferral {
        self.as_line(finalized_at).deferral()
    }

    /// The same as a line that is served when the invoice is finalized, for what is computed of lines.
    /// Its id is nobody's.
    pub(crate) fn as_line(&self, finalized_at: Timestamp) -> Line {
        let period = Period::instant(finalized_at);
        let name = "Shipping".to_owned();
        let line = Line::new(Id::derived(0), name, self.amount, period, Derivation::Given);
        Line { taxes: self.taxes.clone(), ..line }
    }
}

impl Invoice {
    /// What it charges for shipping as a line, once it is finalized.
    pub(crate) fn shipping_line(&self) -> Option<Line> {
        let finalized_at = self.status_transitions.finalized_at?;
        Some(self.shipping_cost.as_ref()?.as_line(finalized_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tax::TaxabilityReason;

    fn cost(amount: i64, taxes: &[(i64, bool, i64)]) -> ShippingCost {
        let tax = |(n, (amount, inclusive, waived)): (u64, &(i64, bool, i64))| TaxAmount {
            amount: *amount,
            inclusive: *inclusive,
            taxable_amount: 0,
            tax_rate: Id::derived(n),
            taxability_reason: TaxabilityReason::StandardRated,
            waived: *waived,
        };
        let taxes = (1..).zip(taxes).map(tax).collect();
        ShippingCost { amount, tax_rates: Vec::new(), taxes }
    }

    #[test]
    fn what_shipping_comes_to_and_earns() {
        let at = Timestamp::from_unix(0).unwrap();
        for (taxes, tax, total, revenue) in [
            (&[][..], 0, 1_000, 1_000),
            (&[(190, false, 0)], 190, 1_190, 1_000),
            (&[(160, true, 0)], 160, 1_000, 840),
            (&[(160, true, 0), (50, false, 0)], 210, 1_050, 840),
            (&[(0, true, 160)], 0, 840, 840),
        ] {
            let cost = cost(1_000, taxes);
            let shown = (cost.amount_tax(), cost.amount_total(), cost.deferral(at).amount);
            assert_eq!(shown, (tax, total, revenue), "{taxes:?}");
            assert_eq!(cost.deferral(at).period, Period::instant(at));
        }
    }

    #[test]
    fn an_amount_has_its_bounds() {
        let most = limits::AMOUNT_MINOR_MAX;
        for (amount, taken) in [(-1, false), (0, true), (most, true), (most + 1, false)] {
            let input = ShippingCostInput { amount, tax_rates: Vec::new() };
            assert_eq!(ShippingCost::of(&input).is_ok(), taken, "{amount}");
        }
    }
}
