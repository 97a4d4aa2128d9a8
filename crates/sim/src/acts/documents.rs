//! Usage, payments, invoices and credit notes.

use super::{Act, Tried, pick};
use crate::beginning::ZONES;
use crate::world::{Step, World};
use counterfoil::InvoiceStatus;
use serde_json::{Value, json};

const CARDS: [&str; 5] = [
    "pm_card_visa",
    "pm_usBankAccount_processing",
    "pm_card_visa",
    "pm_card_chargeCustomerFail",
    "pm_card_chargeDeclinedInsufficientFunds",
];

impl Act {
    pub(super) fn usage(&self, world: &World) -> Tried {
        let back = i64::from(self.c % 30) * 86_400;
        let when = world.now.checked_add_seconds(-back).unwrap();
        let (value, identifier) = (self.b % 400, format!("e{}", world.steps.len()));
        Some((
            "meter_event.create",
            json!({
                "event_name": "calls", "identifier": identifier, "timestamp": when,
                "payload": { "stripe_customer_id": self.customer(), "value": value.to_string() },
            }),
        ))
    }

    /// Takes the latest event back where it came within the day; otherwise there is another.
    pub(super) fn adjust_usage(&self, world: &World) -> Tried {
        let usage = |step: &&Step| step.operation == "meter_event.create" && step.fails.is_none();
        let day_ago = world.now.checked_add_days(-1).unwrap();
        match world.steps.iter().rev().find(usage).filter(|step| step.at > day_ago) {
            Some(last) => {
                let cancel = json!({ "identifier": last.with["identifier"] });
                let with = json!({ "event_name": "calls", "type": "cancel", "cancel": cancel });
                Some(("meter_event_adjustment.create", with))
            }
            None => self.usage(world),
        }
    }

    pub(super) fn card(&self) -> Tried {
        let card = if self.c % 6 == 5 { Value::Null } else { json!(pick(&CARDS, self.b)) };
        Some(("customer.update", json!({ "id": self.customer(), "payment_method": card })))
    }

    pub(super) fn balance(&self) -> Tried {
        let amount = i32::from(self.b % 4_000) - 3_000;
        let with = json!({ "customer": self.customer(), "amount": amount, "currency": "usd" });
        Some(("customer_balance_transaction.create", with))
    }

    pub(super) fn invoice_item(&self, world: &World) -> Tried {
        let mut with = json!({
            "customer": self.customer(), "amount": i32::from(self.b % 3_000) - 800,
        });
        let subscription = self.live(world).filter(|own| own.customer.as_str() == self.customer());
        if let (Some(own), true) = (subscription, self.c.is_multiple_of(2)) {
            with.as_object_mut().unwrap().insert("subscription".to_owned(), json!(own.id));
        }
        Some(("invoiceitem.create", with))
    }

    pub(super) fn one_off(&self, world: &World) -> Tried {
        if self.b.is_multiple_of(2)
            && let Some(id) = self.invoice(world, InvoiceStatus::Draft)
        {
            return Some(("invoice.finalize", json!({ "id": id })));
        }
        let auto = self.c.is_multiple_of(3);
        let with = json!({
            "customer": self.customer(), "auto_advance": auto,
            "pending_invoice_items_behavior": "include",
        });
        Some(("invoice.create", with))
    }

    pub(super) fn pay(&self, world: &World) -> Tried {
        let id = self.invoice(world, InvoiceStatus::Open)?;
        let elsewhere = self.b.is_multiple_of(2);
        Some(("invoice.pay", json!({ "id": id, "paid_out_of_band": elsewhere })))
    }

    pub(super) fn void(&self, world: &World) -> Tried {
        let id = self.invoice(world, InvoiceStatus::Open)?;
        Some(("invoice.void", json!({ "id": id })))
    }

    pub(super) fn uncollectible(&self, world: &World) -> Tried {
        let id = self.invoice(world, InvoiceStatus::Open)?;
        Some(("invoice.mark_uncollectible", json!({ "id": id })))
    }

    pub(super) fn payment_in_part(&self, world: &World) -> Tried {
        let id = self.invoice(world, InvoiceStatus::Open)?;
        let record = format!("record-{}", world.steps.len());
        let with = json!({ "id": id, "amount": 1 + self.b % 3_000, "payment_record": record });
        Some(("invoice.attach_payment", with))
    }

    pub(super) fn revision(&self, world: &World) -> Tried {
        let id = self.invoice(world, InvoiceStatus::Open)?;
        let from = json!({ "action": "revision", "invoice": id });
        Some(("invoice.create", json!({ "customer": self.customer(), "from_invoice": from })))
    }

    /// Whether a customer pays tax, or the clock by which it is billed from now on.
    pub(super) fn exemption(&self) -> Tried {
        if self.c.is_multiple_of(2) {
            let zone =
                if self.b.is_multiple_of(4) { json!(null) } else { json!(pick(&ZONES, self.b)) };
            return Some(("customer.update", json!({ "id": self.customer(), "time_zone": zone })));
        }
        let exempt = pick(&["none", "exempt", "reverse"], self.b);
        Some(("customer.update", json!({ "id": self.customer(), "tax_exempt": exempt })))
    }

    /// A note of an amount: what is open of an invoice, or what was paid, to the balance.
    pub(super) fn credit(&self, world: &World) -> Tried {
        let amount = i64::from(1 + self.b % 2_500);
        if let Some(id) = self.invoice(world, InvoiceStatus::Open) {
            return Some(("credit_note.create", json!({ "invoice": id, "amount": amount })));
        }
        let id = self.invoice(world, InvoiceStatus::Paid)?;
        let with = json!({ "invoice": id, "amount": amount, "credit_amount": amount });
        Some(("credit_note.create", with))
    }

    /// A note of a part of one line, before or after it was paid.
    pub(super) fn credited_line(&self, world: &World) -> Tried {
        let open = |status| matches!(status, InvoiceStatus::Open | InvoiceStatus::Paid);
        let mut invoices = self.invoices(world).into_iter();
        let view = invoices.find(|view| open(view.invoice.status))?;
        let lines: Vec<_> = view.invoice.lines().filter(|line| line.amount > 0).collect();
        let line = lines.get(usize::from(self.b) % lines.len().max(1))?;
        let amount = 1 + i64::from(self.c) % line.amount;
        let credited = json!([{
            "type": "invoice_line_item", "invoice_line_item": line.id, "amount": amount,
        }]);
        let id = view.invoice.id.clone();
        let mut with = json!({ "invoice": id, "lines": credited });
        if view.invoice.status == InvoiceStatus::Paid {
            // What taxes and discounts make of it is not known here: without them it is the amount.
            with.as_object_mut().unwrap().insert("credit_amount".to_owned(), json!(amount));
        }
        Some(("credit_note.create", with))
    }

    /// A note of what was paid, given back to whoever paid it.
    pub(super) fn refund(&self, world: &World) -> Tried {
        let id = self.invoice(world, InvoiceStatus::Paid)?;
        let amount = 1 + self.b % 1_500;
        let way = pick(&["refund_amount", "out_of_band_amount", "credit_amount"], self.c);
        let with = json!({ "invoice": id, "amount": amount, way: amount });
        Some(("credit_note.create", with))
    }

    pub(super) fn voided_note(&self, world: &World) -> Tried {
        let notes = world.engine.credit_notes();
        let of = |invoice| notes.list(invoice).unwrap().into_iter().rfind(|note| note.is_issued());
        let note = self.invoices(world).iter().find_map(|view| of(&view.invoice.id))?;
        Some(("credit_note.void", json!({ "id": note.id })))
    }

    /// What becomes of a payment that was on its way.
    pub(super) fn payment_arrives(&self, world: &World) -> Tried {
        let open = world.engine.payment_attempts().open().unwrap();
        let attempt = open.get(usize::from(self.a) % open.len().max(1))?;
        Some(match self.b % 3 {
            0 => ("payment_attempt.fail", json!({ "id": attempt.id })),
            _ => ("payment_attempt.succeed", json!({ "id": attempt.id })),
        })
    }

    /// Shipping on a draft, or a note of it.
    pub(super) fn shipping(&self, world: &World) -> Tried {
        if self.b.is_multiple_of(3)
            && let Some(id) = self.invoice(world, InvoiceStatus::Open)
        {
            let part = if self.c.is_multiple_of(2) { json!({}) } else { json!({ "amount": 100 }) };
            return Some(("credit_note.create", json!({ "invoice": id, "shipping_cost": part })));
        }
        let rates: &[&str] = pick(&[&[], &["txr_n01"], &["txr_n02"]], self.c / 3);
        let cost = json!({ "amount": self.b % 1_500, "tax_rates": rates });
        match self.invoice(world, InvoiceStatus::Draft) {
            Some(id) => Some(("invoice.update", json!({ "id": id, "shipping_cost": cost }))),
            None => {
                let with = json!({
                    "customer": self.customer(), "pending_invoice_items_behavior": "include",
                    "shipping_cost": cost, "auto_advance": true,
                });
                Some(("invoice.create", with))
            }
        }
    }

    pub(super) fn customer_discount(&self) -> Tried {
        let coupon = pick(&["coupon_n01", "coupon_n03"], self.b);
        let value = if self.c.is_multiple_of(3) { json!(null) } else { json!(coupon) };
        Some(("customer.update", json!({ "id": self.customer(), "coupon": value })))
    }
}
