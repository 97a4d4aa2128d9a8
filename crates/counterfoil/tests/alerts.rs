//! Alerts of a book (rule 12.7): events in the record of the usage that sets them off.

mod support;

use counterfoil::{
    ActivateAlert, AlertEvent, AlertTriggered, BookRecord, Code, CreateAlert, CreateMeterEvent,
    CreateMeterEventAdjustment, DeactivateAlert, Engine, Error, Event, EventBatch, Lsn, MemStorage,
    Options, Request,
};
use support::{CALLS, book, book_on, customer, customer_id, mark};

fn alert(book: &Engine, id: &str, gte: &str) {
    let create = CreateAlert::new(id, "mtr_calls".parse().unwrap(), gte.parse().unwrap());
    book.alerts().create(CreateAlert { id: id.parse().ok(), ..create }).unwrap();
}

fn use_up(book: &Engine, identifier: &str, value: i64) -> Vec<AlertTriggered> {
    let event = CreateMeterEvent::new(CALLS, &customer_id("cus_1"), value).identifier(identifier);
    book.meter_events().create(&event).unwrap().alerts
}

/// All that went off according to the log, with the record that says so.
fn in_the_log(book: &Engine) -> Vec<(BookRecord, AlertTriggered)> {
    let records = book.events(Lsn::ZERO).map(Result::unwrap);
    let of = |record: BookRecord| {
        let own = |event: &Event| match event {
            Event::Billing(counterfoil_billing::Event::Alert(AlertEvent::Triggered(own))) => {
                Some(AlertTriggered::clone(own))
            }
            _ => None,
        };
        let found: Vec<_> = record.events.iter().filter_map(own).collect();
        found.into_iter().map(move |own| (record.clone(), own)).collect::<Vec<_>>()
    };
    records.flat_map(of).collect()
}

#[test]
fn it_stands_in_the_record_of_its_usage_once_however_often_the_book_is_opened() {
    let storage = MemStorage::new();
    let book = book_on(storage.clone());
    book.customers().create(customer("cus_1", "")).unwrap();
    alert(&book, "alrt_1", "10");
    assert_eq!(use_up(&book, "a", 9), []);
    let off = use_up(&book, "b", 2);
    assert_eq!(use_up(&book, "b", 2), [], "a repeat sets nothing off");
    let [(record, said)] = in_the_log(&book).try_into().unwrap();
    assert_eq!(off, std::slice::from_ref(&said));
    assert_eq!(Lsn(said.position), record.lsn);
    assert_eq!(record.usage.unwrap().len(), 1);
    assert_eq!((said.value.to_string().as_str(), said.customer.as_str()), ("11", "cus_1"));
    // It belongs to the customer whose usage it is.
    let own = book.state().unwrap();
    let stream = record.events[0].stream();
    assert_eq!((stream.as_str(), own.stream_version(&stream)), ("customer:cus_1", 2));
    let hash = book.state_hash().unwrap();
    drop(book);
    for _ in 0..2 {
        let book = Engine::on(storage.clone(), Options::default()).unwrap();
        assert_eq!(book.state_hash().unwrap(), hash);
        let triggered = book.alerts().triggered(&said.alert).unwrap();
        assert_eq!(triggered, std::slice::from_ref(&said));
        assert_eq!(in_the_log(&book).len(), 1);
        assert_eq!(
            book.as_of(Lsn(said.position)).unwrap().triggered(&said.alert).unwrap().len(),
            1
        );
        assert_eq!(book.as_of(Lsn(said.position - 1)).unwrap().triggered(&said.alert).unwrap(), []);
    }
    let book = Engine::on(storage, Options::default()).unwrap();
    assert_eq!(use_up(&book, "c", 20), []);
    book.alerts().activate(ActivateAlert { id: said.alert.clone() }).unwrap();
    assert_eq!(use_up(&book, "d", 1).len(), 1);
    assert_eq!(in_the_log(&book).len(), 2);
}

#[test]
fn a_snapshot_keeps_what_was_counted_and_what_went_off() {
    let storage = MemStorage::new();
    let book = book_on(storage.clone());
    book.customers().create(customer("cus_1", "")).unwrap();
    alert(&book, "alrt_1", "10");
    alert(&book, "alrt_2", "12");
    assert_eq!(use_up(&book, "a", 11).len(), 1);
    book.snapshot().unwrap();
    let hash = book.state_hash().unwrap();
    drop(book);
    let book = Engine::on(storage, Options::default()).unwrap();
    assert_eq!(book.state_hash().unwrap(), hash);
    let off = use_up(&book, "b", 1);
    assert_eq!(off.iter().map(|own| own.alert.as_str()).collect::<Vec<_>>(), ["alrt_2"]);
}

#[test]
fn an_adjustment_says_what_it_set_off() {
    let book = book();
    book.customers().create(customer("cus_1", "")).unwrap();
    alert(&book, "alrt_1", "10");
    use_up(&book, "a", 12);
    book.alerts().activate(ActivateAlert { id: "alrt_1".parse().unwrap() }).unwrap();
    use_up(&book, "back", -5);
    let cancel = CreateMeterEventAdjustment::cancel(CALLS, "back");
    let adjusted = book.meter_events().adjust(&cancel).unwrap();
    assert_eq!(adjusted.alerts.len(), 1);
    assert_eq!(Lsn(adjusted.alerts[0].position), adjusted.position);
    let id = "alrt_1".parse().unwrap();
    book.alerts().deactivate(DeactivateAlert { id }).unwrap();
    assert_eq!(use_up(&book, "more", 100), []);
}

#[test]
fn commands_of_alerts_are_tried_and_repeated_like_others() {
    let book = book();
    let before = mark(&book);
    let create = CreateAlert::new("Many", "mtr_calls".parse().unwrap(), "10".parse().unwrap());
    book.dry_run(create.clone()).unwrap();
    assert_eq!(mark(&book), before);
    let request = Request::from(create).idempotency_key("once");
    book.execute(request.clone()).unwrap();
    book.execute(request).unwrap();
    assert_eq!(book.alerts().list().unwrap().len(), 1);
    for n in 0..24 {
        alert(&book, &format!("alrt_more_{n}"), "1");
    }
    let create = CreateAlert::new("One more", "mtr_calls".parse().unwrap(), "1".parse().unwrap());
    let refused = book.alerts().create(create.clone()).unwrap_err();
    assert!(matches!(refused, Error::Refused(ref why) if why.code() == Code::ParameterInvalid));
    let tried = book.dry_run(create).unwrap_err();
    assert_eq!(tried.to_string(), refused.to_string());
}

/// Events of so many customers in one call.
fn batch(customers: usize, call: &str, value: &str) -> EventBatch {
    let mut batch = EventBatch::new(CALLS);
    for n in 0..customers {
        let (identifier, customer) = (format!("{call}_{n}"), format!("cus_{n}"));
        batch.push(Some(&identifier), Some(&customer), None, Some(value)).unwrap();
    }
    batch
}

#[test]
fn a_call_that_sets_off_more_than_a_record_holds_is_refused_and_changes_nothing() {
    const CUSTOMERS: usize = 2_700;
    let book = book();
    for n in 0..CUSTOMERS {
        book.customers().create(customer(&format!("cus_{n}"), "")).unwrap();
    }
    for n in 0..25 {
        alert(&book, &format!("alrt_{n}"), if n == 0 { "1" } else { "10" });
    }
    // 67,500 could go off; it is counted first, and 2,700 do.
    let off = book.meter_events().ingest(&batch(CUSTOMERS, "a", "1")).unwrap();
    assert_eq!((off.taken, off.alerts.len()), (2_700, 2_700));
    for n in 0..25 {
        let id = format!("alrt_{n}").parse().unwrap();
        book.alerts().activate(ActivateAlert { id }).unwrap();
    }
    let before = mark(&book);
    let refused = book.meter_events().ingest(&batch(CUSTOMERS, "b", "9")).unwrap_err();
    assert!(refused.to_string().contains("67500 alerts"), "{refused}");
    assert_eq!(mark(&book), before);
    // In two calls it fits.
    let off = book.meter_events().ingest(&batch(CUSTOMERS - 100, "b", "9")).unwrap();
    assert_eq!((off.taken, off.alerts.len()), (2_600, 65_000));
}
