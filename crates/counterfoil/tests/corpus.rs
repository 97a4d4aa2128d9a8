//! Every form that an event was ever written in is read for ever.
//!
//! `corpus/NAME-FORM.hex` is an event of a type in one of its forms: the body, and on the next line
//! what is personal, before it is sealed. Beside it stands what it is read as. `just golden` adds
//! files for forms that are new and never changes one that is there; what an old form is read as
//! changes only together with the form that types have now.

mod support;

use counterfoil::stored::{StoredEvent, fuzz_decode};
use counterfoil::{
    ActivateAlert, AlertId, ArchiveAlert, CancelSubscription, CollectionMethod, Command,
    CreateAlert, CreateBalanceTransaction, CreateCustomer, CreateInvoice, CreateInvoiceItem,
    CreateMeter, CreateMeterEvent, CreatePrice, CreateProduct, CreateSubscription,
    CreateSubscriptionSchedule, Currency, DeactivateAlert, DeactivateMeter, DeleteCustomer,
    DeleteInvoice, DeleteInvoiceItem, Engine, EraseCustomer, Event, FinalizeInvoice, Formula,
    Invoice, Lsn, MarkInvoiceUncollectible, Outcome, Patch, PayInvoice, PendingItems,
    ProrationBehavior, ReactivateMeter, ResumeAnchor, ResumeSubscription, SendInvoice,
    UpdateBalanceTransaction, UpdateCustomer, UpdateInvoiceItem, UpdateMeter, UpdatePrice,
    UpdateProduct, UpdateSubscription, UpdateSubscriptionSchedule, VoidInvoice,
};
use counterfoil_billing::customer::CustomerEvent;
use counterfoil_model::{EventType, UpcastError, known_type};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use support::{at, catalog, customer, customer_id, day, gateway, invoice_id, subscription};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn is_blessing() -> bool {
    std::env::var_os("COUNTERFOIL_BLESS").is_some()
}

/// One event of every type, as it is written now.
fn one_of_each() -> BTreeMap<u16, Event> {
    let book = Engine::in_memory();
    book.advance_to(at(support::START), &mut gateway).unwrap();
    catalog(&book);
    changes_of_the_catalog(&book);
    a_customer_and_its_items(&book);
    alerts(&book);
    invoices_by_hand(&book);
    subscriptions_over_time(&book);
    a_trial_and_a_pause(&book);
    creations_that_wait_for_their_payment(&book);
    changes_of_documents(&book);
    coupons_and_taxes(&book);
    a_schedule(&book);
    quotes(&book);
    a_payment_that_takes_days(&book);
    let mut found = BTreeMap::new();
    for event in book.events(Lsn::ZERO).flat_map(|record| record.unwrap().events) {
        // The one that says most.
        let (id, size) = (event.event_type().id, format!("{event:?}").len());
        let larger = |other: &Event| format!("{other:?}").len() >= size;
        if !found.get(&id).is_some_and(larger) {
            found.insert(id, event);
        }
    }
    // No book comes to this by itself, unless an amount does not fit.
    let (id, reason) = (customer_id("cus_1"), "amount 1000000000000000 is too large".to_owned());
    let parked = Event::from(CustomerEvent::Parked { id, at: at(support::START), reason });
    found.insert(parked.event_type().id, parked);
    let (id, at) = (customer_id("cus_1"), at(support::START));
    let unparked = Event::from(CustomerEvent::Unparked { id, at });
    found.insert(unparked.event_type().id, unparked);
    found
}

fn changes_of_the_catalog(book: &Engine) {
    let mut product = CreateProduct::new("Extra");
    product.id = "prod_extra".parse().ok();
    let id = book.products().create(product).unwrap().id;
    let update: UpdateProduct =
        serde_json::from_value(json!({ "id": id, "name": "More", "metadata": { "a": "b" } }))
            .unwrap();
    book.products().update(update).unwrap();
    let mut price = CreatePrice::new(id, Currency::EUR);
    price.unit_amount = Some(700);
    let id = book.prices().create(price).unwrap().id;
    let update: UpdatePrice =
        serde_json::from_value(json!({ "id": id, "nickname": "once" })).unwrap();
    book.prices().update(update).unwrap();
    let meter = CreateMeter {
        id: "mtr_3".parse().ok(),
        dimensions: vec!["model".to_owned()],
        ..CreateMeter::new("tokens", Formula::Sum)
    };
    book.meters().create(meter).unwrap();
    let tiers: CreatePrice = serde_json::from_value(json!({
        "product": "prod_extra", "currency": "usd", "billing_scheme": "tiered",
        "tiers_mode": "graduated",
        "recurring": {
            "interval": "month", "usage_type": "metered", "meter": "mtr_3",
            "dimensions": { "model": "large" },
        },
        "tiers": [{ "up_to": 10, "unit_amount_decimal": "0.5" }, { "up_to": "inf", "flat_amount": 9 }],
    }))
    .unwrap();
    book.prices().create(tiers).unwrap();
    let meter = CreateMeter {
        id: "mtr_2".parse().ok(),
        dimensions: vec!["region".to_owned(), "class".to_owned()],
        ..CreateMeter::new("bytes", Formula::Last)
    };
    let id = book.meters().create(meter).unwrap().id;
    let update: UpdateMeter =
        serde_json::from_value(json!({ "id": id, "display_name": "Bytes" })).unwrap();
    book.meters().update(update).unwrap();
    book.meters().deactivate(DeactivateMeter { id: id.clone() }).unwrap();
    book.meters().reactivate(ReactivateMeter { id }).unwrap();
}

fn alerts(book: &Engine) {
    let id: AlertId = "alrt_1".parse().unwrap();
    let meter = "mtr_calls".parse().unwrap();
    let alert = CreateAlert::new("Many calls", meter, "10.5".parse().unwrap());
    let alert = CreateAlert { id: Some(id.clone()), ..alert.of_customer(customer_id("cus_1")) };
    book.alerts().create(alert).unwrap();
    let event = CreateMeterEvent::new(support::CALLS, &customer_id("cus_1"), 11);
    let off = book.meter_events().create(&event.identifier("loud")).unwrap();
    assert_eq!(off.alerts.len(), 1);
    book.alerts().deactivate(DeactivateAlert { id: id.clone() }).unwrap();
    book.alerts().activate(ActivateAlert { id: id.clone() }).unwrap();
    book.alerts().archive(ArchiveAlert { id }).unwrap();
}

fn a_customer_and_its_items(book: &Engine) {
    let create: CreateCustomer = serde_json::from_value(json!({
        "id": "cus_1", "name": "Ada Lovelace", "email": "ada@example.com", "phone": "+44 20 7946 0000",
        "address": { "line1": "12 St James's Square", "city": "London", "country": "GB" },
        "description": "the first", "metadata": { "kind": "countess" },
        "payment_method": "pm_good", "balance": -500, "invoice_prefix": "ADA",
    }))
    .unwrap();
    book.customers().create(create).unwrap();
    let mut update = UpdateCustomer::new(customer_id("cus_1"));
    update.name = Patch::Set("Ada King".to_owned());
    book.customers().update(update).unwrap();
    let change = CreateBalanceTransaction {
        customer: customer_id("cus_1"),
        amount: -100,
        currency: Currency::USD,
        description: Some("goodwill".to_owned()),
        metadata: Some([("of".to_owned(), "March".to_owned())].into_iter().collect()),
    };
    book.customer_balance_transactions().create(change).unwrap();
    let mut item = CreateInvoiceItem::amount(customer_id("cus_1"), 700);
    item.id = "ii_1".parse().ok();
    item.description = Some("work".to_owned());
    item.metadata = Some([("hours".to_owned(), "7".to_owned())].into_iter().collect());
    book.invoice_items().create(item).unwrap();
    let update: UpdateInvoiceItem =
        serde_json::from_value(json!({ "id": "ii_1", "amount": 800, "description": "more work" }))
            .unwrap();
    book.invoice_items().update(update).unwrap();
    let mut item = CreateInvoiceItem::amount(customer_id("cus_1"), 1);
    item.id = "ii_2".parse().ok();
    let id = book.invoice_items().create(item).unwrap().id;
    book.invoice_items().delete(DeleteInvoiceItem { id }).unwrap();
}

/// A finalized invoice made by hand for so much.
fn invoice(book: &Engine, id: &str, customer: &str, send: bool) -> Invoice {
    book.invoice_items().create(CreateInvoiceItem::amount(customer_id(customer), 5_000)).unwrap();
    let mut draft = CreateInvoice::new(customer_id(customer));
    draft.id = Some(invoice_id(id));
    draft.pending_invoice_items_behavior = PendingItems::Include;
    draft.description = Some(format!("invoice {id}"));
    draft.metadata = Some([("order".to_owned(), "A-1".to_owned())].into_iter().collect());
    if send {
        draft.collection_method = CollectionMethod::SendInvoice;
        draft.days_until_due = Some(3);
        draft.auto_advance = true;
    }
    book.invoices().create(draft).unwrap();
    let finalize = FinalizeInvoice { id: invoice_id(id), auto_advance: None };
    book.invoices().finalize(finalize).unwrap()
}

fn invoices_by_hand(book: &Engine) {
    let pay = |id: &str| PayInvoice {
        id: invoice_id(id),
        payment_method: None,
        paid_out_of_band: false,
        forgive: false,
    };
    let draft = book.invoices().create(CreateInvoice::new(customer_id("cus_1"))).unwrap();
    book.invoices().delete(DeleteInvoice { id: draft.id }).unwrap();
    invoice(book, "in_paid", "cus_1", false);
    book.invoices().pay(pay("in_paid")).unwrap();
    book.advance_to(day(0), &mut gateway).unwrap();
    invoice(book, "in_lost", "cus_1", false);
    let give_up = MarkInvoiceUncollectible { id: invoice_id("in_lost") };
    book.invoices().mark_uncollectible(give_up).unwrap();
    invoice(book, "in_sent", "cus_1", true);
    book.invoices().send(SendInvoice { id: invoice_id("in_sent") }).unwrap();
    // An attempt that comes back when the invoice is void.
    invoice(book, "in_late", "cus_1", false);
    book.invoices().pay(pay("in_late")).unwrap();
    let attempt = book.payment_attempts().open().unwrap().remove(0);
    book.invoices().void(VoidInvoice { id: invoice_id("in_late") }).unwrap();
    book.payment_attempts().resolve(&attempt.id, Outcome::Succeeded).unwrap();
    book.customers().create(customer("cus_docs", "")).unwrap();
    invoice(book, "in_wire", "cus_docs", false);
    let wire = json!({ "id": "in_wire", "amount": 4_000, "payment_record": "wire-17" });
    book.invoices().attach_payment(serde_json::from_value(wire).unwrap()).unwrap();
    let wire = json!({ "id": "in_wire", "amount": 1_700, "payment_record": "wire-18" });
    book.invoices().attach_payment(serde_json::from_value(wire).unwrap()).unwrap();
}

fn changes_of_documents(book: &Engine) {
    // Credit notes: one that becomes credit, and one that is voided.
    invoice(book, "in_credited", "cus_docs", false);
    let note = json!({
        "id": "cn_1", "invoice": "in_credited", "reason": "duplicate", "memo": "sorry",
        "metadata": { "case": "17" },
        "lines": [{
            "type": "custom_line_item", "description": "goodwill", "quantity": 2,
            "unit_amount_decimal": "150.5",
        }],
    });
    book.credit_notes().create(serde_json::from_value(note).unwrap()).unwrap();
    let update = json!({ "id": "cn_1", "memo": "so sorry", "metadata": { "case": "18" } });
    book.credit_notes().update(serde_json::from_value(update).unwrap()).unwrap();
    let void = json!({ "id": "cn_1" });
    book.credit_notes().void(serde_json::from_value(void).unwrap()).unwrap();
    let note = json!({ "id": "cn_2", "invoice": "in_wire", "amount": 700, "credit_amount": 700 });
    let shown = book.credit_notes().preview(serde_json::from_value(note.clone()).unwrap()).unwrap();
    let issued = book.credit_notes().create(serde_json::from_value(note).unwrap()).unwrap();
    assert_eq!(shown, issued);
    // A revision that its original escapes by being paid.
    invoice(book, "in_old", "cus_docs", true);
    let revision = json!({
        "id": "in_new", "customer": "cus_docs", "auto_advance": true,
        "from_invoice": { "action": "revision", "invoice": "in_old" },
    });
    book.invoices().create(serde_json::from_value(revision).unwrap()).unwrap();
    let update = json!({
        "id": "in_new", "description": "anew", "metadata": { "order": "A-2" },
        "effective_at": at(support::START), "default_payment_method": "pm_other",
    });
    book.invoices().update(serde_json::from_value(update).unwrap()).unwrap();
    let mut pay = PayInvoice::new(invoice_id("in_old"));
    pay.paid_out_of_band = true;
    book.invoices().pay(pay).unwrap();
    let later = book.now().unwrap().unwrap().checked_add_days(1).unwrap();
    book.advance_to(later, &mut gateway).unwrap();
    assert!(book.invoices().retrieve(&invoice_id("in_new")).unwrap().invoice.revises.is_some());
    let note = json!({
        "customer": "cus_docs", "id": "cbtxn_1_1", "description": "noted", "metadata": { "a": "b" },
    });
    let first = book.customer_balance_transactions().list(&customer_id("cus_docs")).unwrap();
    let mut note: UpdateBalanceTransaction = serde_json::from_value(note).unwrap();
    note.id = first[0].id.clone();
    book.customer_balance_transactions().update(note).unwrap();
}

/// A first payment that is on its way for days, and fails.
fn a_payment_that_takes_days(book: &Engine) {
    book.customers().create(customer("cus_bank", "pm_bank")).unwrap();
    let sub = subscription("sub_bank", "cus_bank", "price_month");
    book.subscriptions().create(sub).unwrap();
    let open = book.payment_attempts().open().unwrap();
    let attempt = open.iter().find(|own| own.payment_method == "pm_bank").unwrap();
    book.payment_attempts().resolve(&attempt.id, Outcome::Processing).unwrap();
    let declined = Outcome::Failed(counterfoil::DeclineCode::InsufficientFunds);
    let invoice = book.payment_attempts().resolve(&attempt.id, declined).unwrap();
    assert_eq!(invoice.status, counterfoil::InvoiceStatus::Void);
    // What waits for an invoice of its own.
    let mut sub = subscription("sub_items", "cus_bank", "price_month");
    sub.pending_invoice_item_interval =
        serde_json::from_value(json!({ "interval": "day", "interval_count": 2 })).unwrap();
    book.subscriptions().create(sub).unwrap();
    let later = book.now().unwrap().unwrap().checked_add_days(3).unwrap();
    book.advance_to(later, &mut gateway).unwrap();
}

fn subscriptions_over_time(book: &Engine) {
    book.customers().create(customer("cus_2", "pm_good")).unwrap();
    let mut sub = subscription("sub_1", "cus_2", "price_month");
    sub.items.push("price_calls".parse::<counterfoil::PriceId>().unwrap().into());
    sub.description = Some("as agreed".to_owned());
    sub.items[0].metadata = Some([("seat".to_owned(), "one".to_owned())].into_iter().collect());
    book.subscriptions().create(sub).unwrap();
    book.advance_to(day(0), &mut gateway).unwrap();
    let update: UpdateSubscription = serde_json::from_value(
        json!({ "id": "sub_1", "metadata": { "contract": "7" }, "default_payment_method": "pm_bad" }),
    )
    .unwrap();
    book.subscriptions().update(update).unwrap();
    // A month later the card fails, an invoice is overdue, and a draft waits.
    book.advance_to(day(60), &mut gateway).unwrap();
    let id = "sub_1".parse().unwrap();
    let cancel = CancelSubscription { id, invoice_now: false, prorate: false };
    book.subscriptions().cancel(cancel).unwrap();
    book.customers().delete(DeleteCustomer { id: customer_id("cus_2") }).unwrap();
    book.customers().create(customer("cus_3", "")).unwrap();
    book.customers().erase(EraseCustomer { id: customer_id("cus_3") }).unwrap();
}

fn a_trial_and_a_pause(book: &Engine) {
    book.customers().create(customer("cus_4", "")).unwrap();
    let create: CreateSubscription = serde_json::from_value(json!({
        "id": "sub_paused", "customer": "cus_4", "trial_period_days": 5,
        "trial_settings": { "end_behavior": { "missing_payment_method": "pause" } },
        "items": [{ "price": "price_month" }],
    }))
    .unwrap();
    let id = book.subscriptions().create(create).unwrap().id;
    let now = book.now().unwrap().unwrap();
    book.advance_to(now.checked_add_days(6).unwrap(), &mut gateway).unwrap();
    let mut resume = ResumeSubscription::new(id);
    resume.billing_cycle_anchor = ResumeAnchor::Unchanged;
    resume.proration_behavior = Some(ProrationBehavior::None);
    book.subscriptions().resume(resume).unwrap();
}

fn quotes(book: &Engine) {
    book.customers().create(customer("cus_offered", "pm_good")).unwrap();
    let create = |value| serde_json::from_value::<counterfoil::CreateQuote>(value).unwrap();
    let quotes = book.quotes();
    let offer = create(json!({
        "id": "qt_1", "customer": "cus_offered", "description": "as discussed",
        "metadata": { "deal": "6" }, "subscription_data": { "trial_period_days": 3 },
        "line_items": [
            { "price": "price_month", "quantity": 2 },
            { "price_data": { "product": "prod_pro", "currency": "usd", "unit_amount": 5 } },
        ],
    }));
    let id = quotes.create(offer).unwrap().id;
    let update = json!({ "id": "qt_1", "metadata": { "deal": "7" } });
    quotes.update(serde_json::from_value(update).unwrap()).unwrap();
    quotes.finalize(counterfoil::FinalizeQuote { id: id.clone(), expires_at: None }).unwrap();
    quotes.accept(counterfoil::AcceptQuote { id }).unwrap();
    let copy = create(json!({ "id": "qt_2", "from_quote": { "quote": "qt_1" } }));
    let id = quotes.create(copy).unwrap().id;
    quotes.cancel(counterfoil::CancelQuote { id }).unwrap();
}

fn a_schedule(book: &Engine) {
    book.customers().create(customer("cus_planned", "pm_good")).unwrap();
    let create: CreateSubscriptionSchedule = serde_json::from_value(json!({
        "id": "sub_sched_1", "customer": "cus_planned", "end_behavior": "cancel",
        "metadata": { "deal": "4" }, "default_settings": { "default_payment_method": "pm_good" },
        "phases": [
            {
                "items": [{ "price": "price_month" }], "trial": true,
                "duration": { "interval": "week" }, "metadata": { "phase": "first" },
                "add_invoice_items": [{
                    "price_data": { "product": "prod_pro", "currency": "usd", "unit_amount": 5 },
                }],
            },
            {
                "items": [{ "price": "price_month", "quantity": 2 }, { "price": "price_calls" }],
                "duration": { "interval": "month" }, "proration_behavior": "none",
            },
        ],
    }))
    .unwrap();
    let id = book.subscription_schedules().create(create).unwrap().id;
    let update: UpdateSubscriptionSchedule =
        serde_json::from_value(json!({ "id": id, "metadata": { "deal": "5" } })).unwrap();
    book.subscription_schedules().update(update).unwrap();
    let now = book.now().unwrap().unwrap();
    book.advance_to(now.checked_add_days(45).unwrap(), &mut gateway).unwrap();
}

fn creations_that_wait_for_their_payment(book: &Engine) {
    book.customers().create(customer("cus_5", "pm_bad")).unwrap();
    let create: CreateSubscription = serde_json::from_value(json!({
        "id": "sub_never", "customer": "cus_5", "payment_behavior": "error_if_incomplete",
        "description": "if it is paid for", "metadata": { "contract": "9" },
        "items": [{ "price": "price_month", "metadata": { "seat": "two" } }],
        "add_invoice_items": [{
            "price_data": { "product": "prod_pro", "currency": "usd", "unit_amount": 500 },
            "metadata": { "order": "A-2" },
        }],
    }))
    .unwrap();
    book.subscriptions().create(create).unwrap();
    let now = book.now().unwrap().unwrap();
    book.advance_to(now, &mut gateway).unwrap();
}

fn coupons_and_taxes(book: &Engine) {
    let run = |operation: &str, params: Value| {
        let command: Command = serde_json::from_value(json!({ operation: params })).unwrap();
        book.execute(command).unwrap();
    };
    run(
        "coupon.create",
        json!({
            "id": "HALF", "name": "Half", "percent_off": "50", "duration": "repeating",
            "duration_in_months": 3, "max_redemptions": 9, "redeem_by": "2026-01-01T00:00:00Z",
            "applies_to": { "products": ["prod_extra"] }, "metadata": { "of": "spring" },
        }),
    );
    run(
        "coupon.create",
        json!({
            "id": "FIVE", "amount_off": 500, "currency": "usd",
            "currency_options": { "eur": { "amount_off": 450 } },
        }),
    );
    let restrictions = json!({
        "first_time_transaction": true, "minimum_amount": 100, "minimum_amount_currency": "usd",
        "currency_options": { "eur": { "minimum_amount": 90 } },
    });
    run(
        "promotion_code.create",
        json!({
            "id": "promo_1", "promotion": { "type": "coupon", "coupon": "FIVE" }, "code": "FIVEOFF",
            "expires_at": "2026-02-01T00:00:00Z", "max_redemptions": 3, "restrictions": restrictions,
            "metadata": { "of": "May" },
        }),
    );
    run("promotion_code.create", json!({ "id": "promo_2", "coupon": "HALF", "code": "HALFOFF" }));
    run("promotion_code.update", json!({ "id": "promo_1", "metadata": { "of": "June" } }));
    run(
        "tax_rate.create",
        json!({
            "id": "txr_1", "display_name": "VAT", "percentage": "7.25", "inclusive": true,
            "description": "value added", "country": "DE", "state": "BE", "jurisdiction": "Berlin",
            "tax_type": "vat", "metadata": { "a": "b" },
        }),
    );
    run("tax_rate.update", json!({ "id": "txr_1", "active": false }));
    run("customer.create", json!({ "id": "cus_6", "promotion_code": "promo_2" }));
    run("coupon.update", json!({ "id": "HALF", "name": "A half" }));
    run("coupon.delete", json!({ "id": "HALF" }));
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

fn read(known: EventType, schema: u16) -> Option<StoredEvent> {
    let path = folder().join(format!("{}-{schema}.hex", known.name));
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines();
    let mut next = || from_hex(lines.next().unwrap_or_default());
    Some(StoredEvent { type_id: known.id, schema, body: next(), personal: next() })
}

/// What a person compares: the event, and what is personal in it.
fn shown(event: &Event) -> Value {
    let mut shown = json!({ "event": event });
    let personal = event.personal();
    if !personal.is_empty() {
        shown["personal"] = json!(personal);
    }
    shown
}

fn write_new_forms() {
    let now = one_of_each();
    for known in EventType::ALL {
        let path = folder().join(format!("{}-{}.hex", known.name, known.schema));
        if !path.exists() {
            let event = now.get(&known.id).unwrap_or_else(|| panic!("no {}", known.name));
            let stored = StoredEvent::encode(event).unwrap();
            let text = format!("{}\n{}\n", to_hex(&stored.body), to_hex(&stored.personal));
            fs::write(path, text).unwrap();
        }
    }
}

#[test]
fn every_form_of_every_type_is_read_as_it_always_was() {
    if is_blessing() {
        write_new_forms();
    }
    let mut wrong = Vec::new();
    for known in EventType::ALL {
        for schema in 1..=known.schema {
            let name = format!("{}-{schema}", known.name);
            let Some(stored) = read(*known, schema) else {
                wrong.push(format!("{name}: is not in the corpus"));
                continue;
            };
            let event = match stored.decode() {
                Ok(event) => event,
                Err(error) => {
                    wrong.push(format!("{name}: {error}"));
                    continue;
                }
            };
            assert_eq!(event.event_type(), *known, "{name}");
            let path = folder().join(format!("{name}.json"));
            let found = serde_json::to_string_pretty(&shown(&event)).unwrap() + "\n";
            if is_blessing() {
                fs::write(&path, &found).unwrap();
            }
            if fs::read_to_string(&path).ok().as_deref() != Some(&*found) {
                wrong.push(format!("{name}: is read as another event: {found}"));
            }
            // What is read is written again in the form of today, and then no longer changes.
            let again = StoredEvent::encode(&event).unwrap();
            assert_eq!(again.schema, known.schema, "{name}");
            assert_eq!(again.decode().unwrap(), event, "{name}");
            if schema == known.schema {
                assert_eq!(again, stored, "{name}: it is written otherwise now: raise its form");
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_corpus_holds_nothing_else() {
    let mut files = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let (stem, _) = name.rsplit_once('.').unwrap();
        let (name, schema) = stem.rsplit_once('-').unwrap();
        let known = EventType::ALL.iter().find(|known| known.name == name);
        let known = known.unwrap_or_else(|| panic!("{name} is no type"));
        assert!((1..=known.schema).contains(&schema.parse().unwrap()), "{stem}");
        files += 1;
    }
    let forms: u16 = EventType::ALL.iter().map(|known| known.schema).sum();
    assert_eq!(files, 2 * forms);
}

#[test]
fn fields_may_be_missing_and_may_be_new() {
    let known = |id: u16| EventType::of(id).unwrap();
    let change = |id: u16, change: &dyn Fn(&mut Value)| {
        let mut stored = read(known(id), known(id).schema).unwrap();
        let before = stored.decode().unwrap();
        let mut body: Value = rmp_serde::from_slice(&stored.body).unwrap();
        change(&mut body);
        stored.body = rmp_serde::to_vec_named(&body).unwrap();
        (before, stored.decode())
    };
    // What a newer version adds is passed over, at any depth.
    let (before, after) = change(412, &|body| {
        body["added"] = json!({ "deep": [1] });
        body["lines"][0]["added"] = json!("text");
    });
    assert_eq!(after.unwrap(), before);
    // A field with a default may be missing.
    let (before, after) =
        change(200, &|body| drop(body.as_object_mut().unwrap().remove("parked").unwrap()));
    assert_eq!(after.unwrap(), before);
    // One without is an error that names type and field.
    let (_, after) = change(412, &|body| drop(body.as_object_mut().unwrap().remove("total")));
    let error = after.unwrap_err().to_string();
    assert!(error.contains("invoice.finalized") && error.contains("total"), "{error}");
}

#[test]
fn what_a_newer_program_wrote_is_refused_by_name() {
    let stored =
        |type_id, schema| StoredEvent { type_id, schema, body: vec![0x80], personal: Vec::new() };
    for (type_id, schema, expected) in [
        (9_999, 1, "events of type 9999 are not known here: a newer version wrote them"),
        (412, 7, "invoice.finalized has form 7, and 2 is the newest one known here"),
        (400, 4, "invoiceitem.created has form 4, and 3 is the newest one known here"),
        (400, 0, "there never was a form 0 of invoiceitem.created"),
    ] {
        assert_eq!(stored(type_id, schema).decode().unwrap_err().to_string(), expected);
    }
    let newer = UpcastError::NewerForm { name: "invoice.finalized", schema: 7, known: 2 };
    assert_eq!(known_type(412, 7), Err(newer));
}

/// Any byte of any form, changed in ways that matter to its encoding: an event, or a typed error.
#[test]
fn changed_bytes_are_read_as_an_event_or_refused() {
    for known in EventType::ALL {
        for schema in 1..=known.schema {
            let StoredEvent { type_id, schema, body, personal } = read(*known, schema).unwrap();
            let share = u8::try_from(personal.len()).unwrap_or(u8::MAX);
            let head = [type_id.to_le_bytes(), schema.to_le_bytes()].concat();
            let mut bytes = [head, vec![share], body, personal].concat();
            fuzz_decode(&bytes);
            for at in 4..bytes.len() {
                let kept = bytes[at];
                for change in [0x01, 0x10, 0x80, 0xff] {
                    bytes[at] = kept ^ change;
                    fuzz_decode(&bytes);
                }
                bytes[at] = kept;
                fuzz_decode(&bytes[..at]);
            }
        }
    }
}
