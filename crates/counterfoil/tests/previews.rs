//! A preview is what the act gives, to the cent, and leaves no trace (rule 8.2).

mod support;

use counterfoil::{
    BillingReason, Code, Command, CreateMeterEvent, Engine, InvoiceId, InvoiceView, Line, PreviewOf,
};
use serde_json::{Value, json};
use std::sync::Arc;
use support::{at, gateway};

fn command(operation: &str, params: Value) -> Command {
    serde_json::from_value(json!({ operation: params })).unwrap()
}

fn run(book: &Engine, operation: &str, params: Value) {
    book.execute(command(operation, params)).unwrap();
    let now = book.now().unwrap().unwrap();
    book.advance_to(now, &mut gateway).unwrap();
}

fn book() -> Engine {
    let book = Engine::in_memory();
    book.advance_to(at("2025-01-01T00:00:00Z"), &mut gateway).unwrap();
    run(&book, "product.create", json!({ "id": "prod", "name": "Plan" }));
    let month = json!({ "interval": "month" });
    let price = |id: &str, amount: i64| {
        json!({
            "id": id, "product": "prod", "currency": "usd", "unit_amount": amount,
            "recurring": month,
        })
    };
    run(&book, "price.create", price("small", 1_000));
    run(&book, "price.create", price("large", 2_000));
    run(
        &book,
        "meter.create",
        json!({
            "id": "mtr", "display_name": "Calls", "event_name": "calls",
            "default_aggregation": { "formula": "sum" },
        }),
    );
    run(
        &book,
        "price.create",
        json!({
            "id": "calls", "product": "prod", "currency": "usd", "unit_amount": 3,
            "recurring": { "interval": "month", "usage_type": "metered", "meter": "mtr" },
        }),
    );
    run(&book, "coupon.create", json!({ "id": "ONCE", "percent_off": 50 }));
    run(
        &book,
        "coupon.create",
        json!({ "id": "EVER", "amount_off": 100, "currency": "usd", "duration": "forever" }),
    );
    run(
        &book,
        "tax_rate.create",
        json!({ "id": "txr", "display_name": "Tax", "percentage": "7.25", "inclusive": false }),
    );
    run(&book, "customer.create", json!({ "id": "cus", "payment_method": "pm_good" }));
    book
}

fn subscribe() -> Command {
    command(
        "subscription.create",
        json!({
            "id": "sub", "customer": "cus", "default_tax_rates": ["txr"],
            "items": [{ "id": "si", "price": "small" }, { "price": "calls" }],
            "discounts": [{ "coupon": "ONCE" }, { "coupon": "EVER" }],
        }),
    )
}

/// What must be the same: everything of the lines and totals.
fn amounts(view: &InvoiceView) -> (Vec<Arc<Line>>, [i64; 4]) {
    let invoice = &view.invoice;
    let sums = [invoice.subtotal, invoice.total, invoice.amount_due, invoice.total_excluding_tax()];
    (view.lines.clone(), sums)
}

fn invoices(book: &Engine) -> Vec<InvoiceView> {
    book.invoices().list(&"cus".parse().unwrap()).unwrap()
}

fn of_subscription() -> PreviewOf {
    PreviewOf::Subscription("sub".parse().unwrap())
}

/// Previews a command, does it, and compares; the preview leaves no trace.
fn preview_then_act(book: &Engine, act: Command) -> Vec<InvoiceView> {
    let (hash, before) = (book.state_hash().unwrap(), invoices(book).len());
    let preview = book.preview_invoice(PreviewOf::Command(Box::new(act.clone()))).unwrap();
    assert_eq!(book.state_hash().unwrap(), hash);
    book.execute(act).unwrap();
    let made: Vec<_> = invoices(book).split_off(before).iter().map(amounts).collect();
    assert_eq!(preview.made.iter().map(amounts).collect::<Vec<_>>(), made);
    book.advance_to(book.now().unwrap().unwrap(), &mut gateway).unwrap();
    let next = book.preview_invoice(of_subscription()).ok().and_then(|next| next.upcoming);
    let amounts_of = |view: &Option<InvoiceView>| view.as_ref().map(amounts);
    assert_eq!(amounts_of(&preview.upcoming), amounts_of(&next));
    preview.made
}

#[test]
fn a_preview_of_a_subscription_is_what_its_creation_invoices() {
    let book = book();
    let made = preview_then_act(&book, subscribe());
    // 1000 less its half and 100 more; 7.25 % of 400 on top.
    assert_eq!(made[0].invoice.total, 429);
}

#[test]
fn the_upcoming_invoice_is_the_renewal_that_comes() {
    let book = book();
    book.execute(subscribe()).unwrap();
    book.advance_to(at("2025-01-20T00:00:00Z"), &mut gateway).unwrap();
    let event = CreateMeterEvent::new("calls", &"cus".parse().unwrap(), 20);
    book.meter_events().create(&event.identifier("e-1")).unwrap();
    run(&book, "invoiceitem.create", json!({ "customer": "cus", "amount": 77 }));
    let hash = book.state_hash().unwrap();
    let preview = book.preview_invoice(of_subscription()).unwrap();
    let upcoming = preview.upcoming.unwrap();
    assert_eq!(upcoming.invoice.billing_reason, BillingReason::Upcoming);
    assert_eq!(upcoming.invoice.id, "upcoming_in_sub".parse::<InvoiceId>().unwrap());
    let of_customer = PreviewOf::Customer("cus".parse().unwrap());
    assert_eq!(book.preview_invoice(of_customer).unwrap().upcoming, Some(upcoming.clone()));
    assert_eq!(book.state_hash().unwrap(), hash);
    book.advance_to(at("2025-02-01T00:30:00Z"), &mut gateway).unwrap();
    let draft = invoices(&book).pop().unwrap();
    assert_eq!(amounts(&upcoming), amounts(&draft));
    // The coupon for one invoice is used up: 77, 1000 and 60 less 100, with tax.
    assert_eq!(upcoming.invoice.total_discount_amounts.len(), 1);
    assert_eq!(upcoming.invoice.total, 1_037 + 75);
}

#[test]
fn a_preview_of_a_change_is_what_the_change_invoices() {
    let book = book();
    book.execute(subscribe()).unwrap();
    book.advance_to(at("2025-01-16T12:00:00Z"), &mut gateway).unwrap();
    let items = json!([{ "id": "si", "price": "large" }]);
    for behavior in ["always_invoice", "create_prorations", "none"] {
        let change = json!({ "id": "sub", "items": items, "proration_behavior": behavior });
        let made = preview_then_act(&book, command("subscription.update", change));
        assert_eq!(made.len(), usize::from(behavior == "always_invoice"), "{behavior}");
        run(
            &book,
            "subscription.update",
            json!({
                "id": "sub", "items": [{ "id": "si", "price": "small" }],
                "proration_behavior": "none",
            }),
        );
    }
}

#[test]
fn a_preview_of_an_end_has_no_upcoming_invoice() {
    let book = book();
    book.execute(subscribe()).unwrap();
    book.advance_to(at("2025-01-20T00:00:00Z"), &mut gateway).unwrap();
    let event = CreateMeterEvent::new("calls", &"cus".parse().unwrap(), 20);
    book.meter_events().create(&event.identifier("e-1")).unwrap();
    let cancel = command("subscription.cancel", json!({ "id": "sub", "invoice_now": true }));
    let made = preview_then_act(&book, cancel);
    assert_eq!(made.len(), 1);
    for of in [of_subscription(), PreviewOf::Customer("cus".parse().unwrap())] {
        let none = book.preview_invoice(of).unwrap_err();
        assert_eq!(none.code(), Some(Code::InvoiceUpcomingNone));
    }
    let unknown = PreviewOf::Subscription("sub_none".parse().unwrap());
    assert_eq!(book.preview_invoice(unknown).unwrap_err().code(), Some(Code::ResourceMissing));
}

#[test]
fn discounts_and_taxes_are_explained() {
    let book = book();
    book.execute(subscribe()).unwrap();
    let first = invoices(&book).remove(0);
    let text = book.invoices().explain(&first.invoice.id).unwrap().to_string();
    for part in [
        "-5.00 USD  discount di_1",
        "50 % of 1000: 500",
        "coupon ONCE",
        "-1.00 USD  discount di_2",
        "the share in 100 off of 500: 100",
        "0.29 USD  tax: Tax",
        "7.25 % on 400, on top",
        "tax rate txr",
        "1000 - 600 discounts + 29 tax",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn shipping_is_previewed_and_explained() {
    let book = book();
    run(&book, "invoiceitem.create", json!({ "customer": "cus", "amount": 1_000 }));
    let create = json!({
        "id": "in_1", "customer": "cus", "pending_invoice_items_behavior": "include",
        "default_tax_rates": ["txr"], "shipping_cost": { "amount": 500, "tax_rates": ["txr"] },
    });
    let of = PreviewOf::Command(Box::new(command("invoice.create", create.clone())));
    let preview = book.preview_invoice(of).unwrap().made.remove(0);
    // 7.25 % of 1000 and of 500, each rounded.
    assert_eq!((preview.invoice.subtotal, preview.invoice.total), (1_000, 1_500 + 73 + 36));
    run(&book, "invoice.create", create);
    assert_eq!(amounts(&preview), amounts(&invoices(&book)[0]));
    run(&book, "invoice.finalize", json!({ "id": "in_1" }));
    let made = invoices(&book).remove(0);
    assert_eq!(preview.invoice.total, made.invoice.total);
    assert_eq!(preview.invoice.shipping_cost, made.invoice.shipping_cost);
    let text = book.invoices().explain(&made.invoice.id).unwrap().to_string();
    for part in [
        "5.00 USD  shipping",
        "given: 500 minor units of USD",
        "0.36 USD  tax: Tax",
        "7.25 % on 500, on top",
        "1000 + 500 shipping + 109 tax",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}
