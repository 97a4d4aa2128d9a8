//! Closed invoices leave memory, and nobody who asks for one notices.

mod support;

use counterfoil::{
    CancelSubscription, Command, CreateCreditNote, CreateCustomer, Engine, EraseCustomer,
    InvoiceFilter, InvoiceStatus, Options, PageRequest, SnapshotPolicy,
};
use support::{
    assert_sound, begin, customer, customer_id, day, gateway, subscription, subscription_id,
};

/// What a customer's invoices are, and how many of them left memory.
fn invoices(book: &Engine) -> (Vec<String>, usize) {
    let state = book.state().unwrap();
    let shard = state.shard(&customer_id("ada")).unwrap();
    let packed = shard.invoice_heads().filter(|head| shard.is_packed(head.id)).count();
    let said = shard.invoices().into_iter().map(|invoice| format!("{invoice:?}")).collect();
    (said, packed)
}

#[test]
fn a_closed_invoice_is_read_changed_and_packed_again_on_disk_and_after_opening() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options::default().snapshots(SnapshotPolicy::default().on_close_after(None));
    let book = Engine::open(dir.path(), options()).unwrap();
    begin(&book);
    let ada =
        CreateCustomer { name: Some("Ada Lovelace".to_owned()), ..customer("ada", "pm_good") };
    book.customers().create(ada).unwrap();
    book.subscriptions().create(subscription("sub", "ada", "price_month")).unwrap();
    book.advance_to(day(400), &mut gateway).unwrap();
    let (before, packed) = invoices(&book);
    assert_eq!((before.len(), packed), (14, 14));
    assert!(before.iter().all(|invoice| invoice.contains("Ada Lovelace")));

    // A credit note takes one out, and it rests again.
    let paid = InvoiceFilter { status: Some(InvoiceStatus::Paid), ..InvoiceFilter::default() };
    let page = book.invoices().page(&paid, &PageRequest::first().limit(1)).unwrap();
    let latest = page.data[0].invoice.clone();
    let note = CreateCreditNote {
        amount: Some(500),
        credit_amount: Some(500),
        ..CreateCreditNote::new(latest.id.clone())
    };
    book.credit_notes().create(note).unwrap();
    let (after, packed) = invoices(&book);
    assert_eq!((packed, &after[..13]), (14, &before[..13]));
    let changed = book.invoices().retrieve(&latest.id).unwrap().invoice;
    assert_eq!(changed.post_payment_credit_notes_amount, 500);
    let number = latest.number.unwrap();
    assert_eq!(book.invoices().retrieve_by_number(&number).unwrap().invoice.id, latest.id);

    // What is opened, from the log or from a snapshot, says the same, packed as well.
    let hash = book.state_hash().unwrap();
    for snapshot in [false, true, true] {
        if snapshot {
            Engine::open(dir.path(), options()).unwrap().snapshot().unwrap();
        } else {
            book.close().unwrap();
        }
        let again = Engine::open(dir.path(), options()).unwrap();
        assert_eq!(again.opened().snapshot.is_some(), snapshot);
        assert_eq!(again.state_hash().unwrap(), hash);
        assert_eq!(invoices(&again), (after.clone(), 14));
        assert_eq!(again.state_hash().unwrap(), hash);
        again.close().unwrap();
    }

    // Nothing personal is left after an erasure, packed or not.
    let book = Engine::open(dir.path(), options()).unwrap();
    let cancel =
        CancelSubscription { id: subscription_id("sub"), invoice_now: false, prorate: false };
    book.subscriptions().cancel(cancel).unwrap();
    book.execute(Command::from(EraseCustomer { id: customer_id("ada") })).unwrap();
    let (erased, packed) = invoices(&book);
    assert_eq!((erased.len(), packed), (14, 14));
    assert!(!erased.iter().any(|invoice| invoice.contains("Ada")));
    assert_sound(&book);
}
