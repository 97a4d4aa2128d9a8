//! An invoice as a table: its lines, and what leads from them to what is left to pay.

use crate::table::{Columns, amount, amount_header, days};
use counterfoil::Money;
use counterfoil_scenario::report::InvoiceReport;
use std::io::{self, Write};

/// The number of an invoice, or the id of one that has none yet.
pub(crate) fn name(invoice: &InvoiceReport) -> String {
    invoice.number.clone().unwrap_or_else(|| invoice.id.to_string())
}

/// An invoice with its lines. The lines, and what stands between them and the total, add up to it; so
/// does what stands between the total and the amount due, and between that and what remains.
pub(crate) fn lines(invoice: &InvoiceReport, out: &mut dyn Write) -> io::Result<()> {
    let currency = invoice.currency;
    writeln!(
        out,
        "\n{} of {}, {}, created {}\n",
        name(invoice),
        invoice.customer,
        invoice.status,
        invoice.created
    )?;
    let header = amount_header("Amount", Some(currency));
    let mut columns = Columns::new(&["Description", "Period", ">Quantity", &header]);
    for line in &invoice.lines {
        columns.row([
            line.description.clone(),
            days(line.period),
            line.quantity.to_string(),
            amount(line.amount, currency, Some(currency)),
        ]);
    }
    for (name, minor) in sums(invoice) {
        let figure = amount(minor, currency, Some(currency));
        columns.row([name, String::new(), String::new(), figure]);
    }
    columns.print(out)?;
    beside(invoice, out)
}

/// What leads from the lines to the total, to the amount due and to what remains.
fn sums(invoice: &InvoiceReport) -> Vec<(String, i64)> {
    let mut rows: Vec<(String, i64)> = Vec::new();
    for own in &invoice.total_discount_amounts {
        rows.push((format!("Discount {}", own.discount), own.amount.saturating_neg()));
    }
    let shipping = invoice.shipping_cost.as_ref().map_or(0, |own| own.amount_subtotal);
    rows.push(("Shipping".to_owned(), shipping));
    for tax in &invoice.total_taxes {
        let on_top = if tax.inclusive { 0 } else { tax.amount };
        rows.push((format!("Tax {}", tax.tax_rate), on_top));
        rows.push((format!("Tax {}, waived", tax.tax_rate), tax.waived.saturating_neg()));
    }
    rows.retain(|(_, minor)| *minor != 0);
    rows.push(("Total".to_owned(), invoice.total));
    let noted = invoice.pre_payment_credit_notes_amount;
    let from_balance = invoice.amount_due.saturating_add(noted).saturating_sub(invoice.total);
    let steps = [("Customer's balance", from_balance), ("Credit notes", noted.saturating_neg())];
    let leads_to = |steps: &[(&str, i64)], name: &str, minor: i64| {
        let taken = steps.iter().filter(|(_, minor)| *minor != 0);
        let mut rows: Vec<_> = taken.map(|(name, minor)| ((*name).to_owned(), *minor)).collect();
        if !rows.is_empty() {
            rows.push((name.to_owned(), minor));
        }
        rows
    };
    rows.extend(leads_to(&steps, "Amount due", invoice.amount_due));
    let (paid, given_up) = (invoice.amount_paid, invoice.amount_forgiven);
    let steps = [("Paid", paid.saturating_neg()), ("Given up", given_up.saturating_neg())];
    rows.extend(leads_to(&steps, "Remaining", invoice.amount_remaining));
    rows
}

/// What is in the figures already, and what came after them.
fn beside(invoice: &InvoiceReport, out: &mut dyn Write) -> io::Result<()> {
    let money = |minor| Money::new(minor, invoice.currency);
    for tax in invoice.total_taxes.iter().filter(|tax| tax.inclusive && tax.amount != 0) {
        writeln!(out, "{} of tax {} is in these amounts", money(tax.amount), tax.tax_rate)?;
    }
    if invoice.amount_overpaid != 0 {
        writeln!(out, "{} was overpaid", money(invoice.amount_overpaid))?;
    }
    let credited = invoice.post_payment_credit_notes_amount;
    if credited != 0 {
        writeln!(out, "{} was given back by credit notes afterwards", money(credited))?;
    }
    Ok(())
}
