//! How discounts and taxes of a line came about.

use super::Explanation;
use crate::error::Error;
use crate::sequencer::Sequencer;
use counterfoil_billing::discount::{Benefit, DiscountAmount};
use counterfoil_billing::invoice::{Line, ShippingCost};
use counterfoil_billing::tax::{TaxAmount, TaxExempt};
use counterfoil_core::Money;
use counterfoil_model::InvoiceView;

/// What discounts take off a line and what tax rates take of the rest.
pub(super) fn of_line(
    book: &Sequencer,
    view: &InvoiceView,
    line: &Line,
) -> Result<Vec<Explanation>, Error> {
    let mut parts = Vec::new();
    for own in &line.included_discounts {
        let (what, coupon) = discount(book, view, line, own)?;
        let amount = own.amount;
        parts.push(Explanation::leaf(format!(
            "net of {amount} by discount {} ({what} of coupon {coupon})",
            own.discount
        )));
    }
    let mut rest = line.amount;
    for own in &line.discount_amounts {
        let (what, coupon) = discount(book, view, line, own)?;
        let amount = Money::new(own.amount.saturating_neg(), view.invoice.currency);
        parts.push(Explanation::node(
            format!("{amount}  discount {}", own.discount),
            vec![
                Explanation::leaf(format!("{what} of {rest}: {}", own.amount)),
                Explanation::leaf(format!("coupon {coupon}")),
            ],
        ));
        rest = rest.saturating_sub(own.amount);
    }
    for tax in &line.taxes {
        parts.push(of_tax(book, view, tax, rest)?);
    }
    Ok(parts)
}

/// What a discount takes off, in words, and the coupon that says so.
fn discount(
    book: &Sequencer,
    view: &InvoiceView,
    line: &Line,
    own: &DiscountAmount,
) -> Result<(String, String), Error> {
    let known = line.discounts.iter().chain(&view.invoice.discounts);
    let Some(discount) = known.into_iter().find(|known| known.id == own.discount) else {
        return Ok(("a part".to_owned(), "that its subscription had".to_owned()));
    };
    let coupon = book.state.coupon(&discount.coupon)?;
    let what = match &coupon.benefit {
        Benefit::Percent { percent_off } => format!("{percent_off} %"),
        Benefit::Amount { .. } => {
            let off = coupon.benefit.amount_in(view.invoice.currency).unwrap_or_default();
            format!("the share in {off} off")
        }
    };
    let by = discount.promotion_code.as_ref();
    let by = by.map(|code| format!(", redeemed with {code}")).unwrap_or_default();
    Ok((what, format!("{}{by}", coupon.id)))
}

/// What is charged for shipping, and what tax rates take of it.
pub(super) fn of_shipping(
    book: &Sequencer,
    view: &InvoiceView,
    cost: &ShippingCost,
) -> Result<Explanation, Error> {
    let currency = view.invoice.currency;
    let amount = Money::new(cost.amount, currency);
    let code = currency.code().to_uppercase();
    let mut parts =
        vec![Explanation::leaf(format!("given: {} minor units of {code}", cost.amount))];
    for tax in &cost.taxes {
        parts.push(of_tax(book, view, tax, cost.amount)?);
    }
    Ok(Explanation::node(format!("{amount}  shipping"), parts))
}

fn of_tax(
    book: &Sequencer,
    view: &InvoiceView,
    tax: &TaxAmount,
    rest: i64,
) -> Result<Explanation, Error> {
    let rate = book.state.tax_rate(&tax.tax_rate)?;
    let amount = Money::new(tax.amount, view.invoice.currency);
    let (name, percent, id) = (&rate.display_name, rate.percentage, &rate.id);
    let how = if tax.inclusive {
        format!("{percent} % on {}, which is in the {rest}", tax.taxable_amount)
    } else {
        format!("{percent} % on {}, on top", tax.taxable_amount)
    };
    let mut parts = vec![Explanation::leaf(how), Explanation::leaf(format!("tax rate {id}"))];
    match view.invoice.customer_tax_exempt {
        TaxExempt::None => {}
        TaxExempt::Exempt => parts.push(Explanation::leaf("the customer is exempt")),
        TaxExempt::Reverse => parts.push(Explanation::leaf("the customer accounts for the tax")),
    }
    if tax.waived != 0 {
        parts.push(Explanation::leaf(format!("{} come off the price instead", tax.waived)));
    }
    Ok(Explanation::node(format!("{amount}  tax: {name}"), parts))
}

/// What came to the total beside the lines, as terms of its sum: ` - 150 discounts + 68 tax`.
pub(super) fn of_total(view: &InvoiceView) -> String {
    let invoice = &view.invoice;
    let discounts: i64 = invoice.total_discount_amounts.iter().map(|own| own.amount).sum();
    let taxes = invoice.total_taxes.iter();
    let on_top: i64 = taxes.clone().filter(|tax| !tax.inclusive).map(|tax| tax.amount).sum();
    let waived: i64 = taxes.map(|tax| tax.waived).sum();
    let shipping = invoice.shipping_cost.as_ref().map_or(0, |cost| cost.amount);
    let mut text = String::new();
    for (amount, sign, name) in [
        (discounts, '-', "discounts"),
        (shipping, '+', "shipping"),
        (waived, '-', "tax waived"),
        (on_top, '+', "tax"),
    ] {
        if amount != 0 {
            text.push_str(&format!(" {sign} {amount} {name}"));
        }
    }
    text
}
