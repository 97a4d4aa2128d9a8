//! What is decided ahead counts only if nothing that it rests on has changed: here something does now
//! and then, at an attempt to collect, while what comes next is decided already.

mod support;

use counterfoil::{
    Attempt, CreateInvoiceItem, CreateMeterEvent, CreateProduct, CreateSubscription, CustomerId,
    Engine, EventTime, MemStorage, Options, Outcome, Patch, UpdateCustomer, UpdateProduct,
};
use support::{
    CALLS, assert_same_log, assert_sound, begin, customer, customer_id, day, gateway, price_id,
    subscription, subscription_id,
};

const CUSTOMERS: usize = 40;
/// Ways to meddle.
const WAYS: usize = 6;

/// Meddles with whoever comes later.
fn meddle(way: usize, book: &Engine, attempt: &Attempt, nth: usize) {
    let number = |id: &CustomerId| id.as_str().trim_start_matches("cus_").parse::<usize>().unwrap();
    let n = number(&attempt.customer);
    let later = |by: usize| customer_id(&format!("cus_{}", (n + by) % CUSTOMERS));
    match way {
        // Usage of a period that is over, which the next draft is to bill.
        0 => {
            let yesterday = book.now().unwrap().unwrap().checked_add_days(-1).unwrap();
            let event = CreateMeterEvent::new(CALLS, &later(1), 1_000 + n)
                .identifier(format!("{n}-{nth}"))
                .at(EventTime::from_timestamp(yesterday).unwrap());
            book.meter_events().create(&event).unwrap();
        }
        // One more object: whatever is created from here on has another place.
        1 => drop(book.products().create(CreateProduct::new("More")).unwrap()),
        2 => {
            let mut update = UpdateCustomer::new(later(1));
            update.payment_method = Patch::Set("pm_bad".to_owned());
            book.customers().update(update).unwrap();
        }
        // The catalog: the name that lines are described by.
        3 => {
            let mut update = UpdateProduct::new("prod_pro".parse().unwrap());
            update.name = Some(format!("Pro {nth}"));
            book.products().update(update).unwrap();
        }
        // Something that waits for the next invoice.
        4 => drop(book.invoice_items().create(CreateInvoiceItem::amount(later(3), 100)).unwrap()),
        // Something that changes nothing of what is next.
        5 => drop(book.customers().create(customer(&format!("new_{n}_{nth}"), "")).unwrap()),
        _ => {}
    }
}

fn lived(way: usize, workers: usize) -> Engine {
    let book = Engine::on(MemStorage::new(), Options::default().workers(workers)).unwrap();
    begin(&book);
    for n in 0..CUSTOMERS {
        let (cus, sub) = (format!("cus_{n}"), format!("sub_{n}"));
        // Some begin together and others later, so that drafts are made between attempts.
        let later = i64::try_from(n / 4).unwrap() * 600;
        book.advance_to(day(0).checked_add_seconds(later).unwrap(), &mut gateway).unwrap();
        book.customers().create(customer(&cus, "pm_good")).unwrap();
        let prices = ["price_month", "price_calls"].map(price_id);
        let create = CreateSubscription {
            id: Some(subscription_id(&sub)),
            ..CreateSubscription::new(customer_id(&cus), prices)
        };
        book.subscriptions().create(create).unwrap();
        if n % 5 == 0 {
            let more = subscription(&format!("{sub}_more"), &cus, "price_month");
            book.subscriptions().create(more).unwrap();
        }
    }
    let mut nth = 0;
    let mut source = |attempt: &Attempt| {
        nth += 1;
        // Seldom enough that most of what is decided ahead counts.
        if nth % 19 == 5 {
            meddle(way, &book, attempt, nth);
        }
        gateway(attempt)
    };
    // Usage of so long ago is still taken.
    let walk = (1..=20).map(|n| book.advance_to(day(5 * n), &mut source).unwrap().settled);
    let settled: usize = walk.sum();
    assert!(settled > 3 * CUSTOMERS, "{settled}");
    book
}

#[test]
fn what_changes_in_between_is_seen_as_if_nothing_had_been_decided() {
    for way in 0..WAYS {
        let in_turn = lived(way, 0);
        assert_sound(&in_turn);
        for workers in [1, 3] {
            assert_same_log(&in_turn, &lived(way, workers));
        }
    }
}

/// An outcome that is not the success that was decided ahead.
#[test]
fn other_outcomes_than_success_are_decided_when_they_come() {
    let lived = |workers: usize| {
        let book = Engine::on(MemStorage::new(), Options::default().workers(workers)).unwrap();
        begin(&book);
        for n in 0..CUSTOMERS {
            let (cus, sub) = (format!("cus_{n}"), format!("sub_{n}"));
            book.customers().create(customer(&cus, "pm_good")).unwrap();
            book.subscriptions().create(subscription(&sub, &cus, "price_month")).unwrap();
        }
        let mut nth = 0;
        let mut source = |attempt: &Attempt| {
            nth += 1;
            match nth % 4 {
                0 if attempt.amount > 1_000 => Some(Outcome::SucceededInPart(1_000)),
                1 => Some(Outcome::Processing),
                2 => None,
                _ => Some(Outcome::Succeeded),
            }
        };
        book.advance_to(day(100), &mut source).unwrap();
        assert_sound(&book);
        book
    };
    let in_turn = lived(0);
    for workers in [1, 3] {
        assert_same_log(&in_turn, &lived(workers));
    }
}
