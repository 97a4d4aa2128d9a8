//! The book as an embedder uses it: what a call promises, from one thread and from many.

mod support;

use counterfoil::{
    Access, Attempt, BalanceTransactionKind, BookError, CancelSubscription, Code, Command,
    CreateBalanceTransaction, CreateCustomer, CreateInvoice, CreateInvoiceItem, CreateMeterEvent,
    DeclineCode, DryRun, Engine, Error, Event, Events, FileStorage, FinalizeInvoice, InvoiceStatus,
    LogError, Lsn, MemStorage, NoPayments, OpenError, Options, Outcome, Output, Patch, PayInvoice,
    PaymentSource, Progress, Refusal, Request, State, Storage, StorageFile, StorageLock,
    SubscriptionStatus, Ticket, Timestamp, UpdateCustomer, VoidInvoice, limits,
};
use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use support::{
    CALLS, START, assert_same_log, assert_sound, at, begin, book, catalog, customer, customer_id,
    day, gateway, happened, invoice_id, mark, subscription, subscription_id,
};
use tempfile::TempDir;

/// Longer than any wait in these tests needs, and shorter than a person would wait.
const PATIENCE: Duration = Duration::from_secs(30);

fn open(dir: &TempDir) -> Engine {
    Engine::open(dir.path(), Options::default()).unwrap()
}

fn code(result: Result<impl Sized, Error>) -> Option<Code> {
    result.err().expect("the call is refused").code()
}

fn named(name: &str) -> CreateCustomer {
    CreateCustomer { name: Some(name.to_owned()), ..CreateCustomer::default() }
}

// Idempotency keys

#[test]
fn a_repeated_key_gives_the_same_answer_and_adds_nothing() {
    let dir = TempDir::new().unwrap();
    let book = open(&dir);
    begin(&book);
    let request = Request::from(customer("cus_ada", "pm_good")).idempotency_key("ada-1");
    let answer = book.execute(request.clone()).unwrap();
    let mut update = UpdateCustomer::new(customer_id("cus_ada"));
    update.name = Patch::Set("Ada L.".into());
    book.customers().update(update).unwrap();

    let before = mark(&book);
    // The answer is that of then, not what the customer is now.
    assert_eq!(book.execute(request.clone()).unwrap(), answer);
    assert_eq!(book.batch([request.clone()]).unwrap(), [Ok(answer.clone())]);
    assert_eq!(mark(&book), before);

    book.close().unwrap();
    let book = open(&dir);
    assert_eq!(mark(&book), before, "replayed");
    assert_eq!(book.execute(request).unwrap(), answer, "remembered on disk");
    assert_eq!(mark(&book), before);
}

#[test]
fn a_key_with_another_command_is_an_error() {
    let book = book();
    let keyed = |command: CreateCustomer| Request::from(command).idempotency_key("k");
    book.execute(keyed(named("Ada"))).unwrap();
    let before = mark(&book);
    for other in [named("Bob"), CreateCustomer::default()] {
        assert_eq!(code(book.execute(keyed(other))), Some(Code::IdempotencyError));
    }
    let other = Request::from(subscription("sub_1", "cus_1", "price_month")).idempotency_key("k");
    assert_eq!(code(book.execute(other)), Some(Code::IdempotencyError));
    assert_eq!(mark(&book), before);
}

#[test]
fn a_refusal_under_a_key_is_remembered_outside_the_streams() {
    let dir = TempDir::new().unwrap();
    let book = open(&dir);
    begin(&book);
    let request = Request::from(subscription("sub_1", "cus_ada", "price_month"));
    let request = request.idempotency_key("sub-1");
    let events = book.event_count().unwrap();
    let versions = |book: &Engine| {
        let state = book.state().unwrap();
        ["book", "catalog", "customer:cus_ada"].map(|stream| state.stream_version(stream))
    };
    let before = versions(&book);
    assert_eq!(code(book.execute(request.clone())), Some(Code::ResourceMissing));
    assert_eq!((book.event_count().unwrap(), versions(&book)), (events, before));

    // What was wrong is put right, and the answer stays what it was.
    book.customers().create(customer("cus_ada", "pm_good")).unwrap();
    let now = mark(&book);
    assert_eq!(code(book.execute(request.clone())), Some(Code::ResourceMissing));
    assert_eq!(mark(&book), now);
    drop(book);
    let book = open(&dir);
    assert_eq!(mark(&book), now, "replayed");
    assert_eq!(code(book.execute(request.clone())), Some(Code::ResourceMissing));
    let fresh = Request { idempotency_key: Some("sub-2".into()), ..request };
    book.execute(fresh).unwrap();
}

#[test]
fn a_key_has_1_to_255_bytes() {
    let book = book();
    let max = limits::IDEMPOTENCY_KEY_BYTES_MAX;
    for (key, taken) in [
        (String::new(), false),
        ("k".to_owned(), true),
        ("k".repeat(max), true),
        ("k".repeat(max + 1), false),
        ("é".repeat(127), true),
        ("é".repeat(128), false),
    ] {
        let before = mark(&book);
        let result = book.execute(Request::from(named("Ada")).idempotency_key(key.as_str()));
        if taken {
            result.unwrap();
        } else {
            assert_eq!(code(result), Some(Code::ParameterInvalid), "{} bytes", key.len());
            assert_eq!(mark(&book), before);
        }
    }
}

#[test]
fn a_key_is_forgotten_after_more_than_24_hours() {
    for (traffic, wait_seconds, same) in [
        (false, 0, true),
        (false, limits::IDEMPOTENCY_KEY_SECONDS, true),
        (true, limits::IDEMPOTENCY_KEY_SECONDS, true),
        (false, limits::IDEMPOTENCY_KEY_SECONDS + 1, false),
        (true, limits::IDEMPOTENCY_KEY_SECONDS + 1, false),
    ] {
        let book = book();
        let request = Request::from(named("Ada")).idempotency_key("k");
        let first = book.execute(request.clone()).unwrap();
        let later = at(START).checked_add_seconds(wait_seconds).unwrap();
        book.advance_to(later, &mut NoPayments).unwrap();
        if traffic {
            // Whether somebody else used a key since must make no difference.
            book.execute(Request::from(named("Bob")).idempotency_key("other")).unwrap();
        }
        let again = book.execute(request).unwrap();
        assert_eq!(again == first, same, "after {wait_seconds} s, other keys used: {traffic}");
    }
}

// Expected versions

#[test]
fn a_command_is_refused_unless_the_stream_has_the_expected_version() {
    let book = book();
    let create = |id: &str| Request::from(customer(id, "pm_good"));
    book.execute(create("cus_ada").expected_version("customer:cus_ada", 0)).unwrap();
    let credit = || {
        Request::from(CreateBalanceTransaction {
            customer: customer_id("cus_ada"),
            amount: -100,
            currency: counterfoil::Currency::USD,
            description: None,
            metadata: None,
        })
    };
    for (expected, taken) in [(0, false), (1, true), (1, false), (2, true), (u64::MAX, false)] {
        let before = mark(&book);
        let result = book.execute(credit().expected_version("customer:cus_ada", expected));
        if taken {
            result.unwrap();
            continue;
        }
        let Err(Error::Refused(Refusal::VersionConflict { stream, expected: e, actual })) = result
        else {
            panic!("expected {expected}: {result:?}");
        };
        let version = book.state().unwrap().stream_version("customer:cus_ada");
        assert_eq!((stream.as_str(), e, actual), ("customer:cus_ada", expected, version));
        assert_eq!(mark(&book), before);
    }
    let state = book.state().unwrap();
    assert_eq!(
        state.customer(&customer_id("cus_ada")).unwrap().balances.values().sum::<i64>(),
        -200
    );

    // A repeated key comes first: the version moved on because of the original itself.
    let catalog = state.stream_version("catalog");
    let keyed = credit().expected_version("catalog", catalog).idempotency_key("k");
    let answer = book.execute(keyed.clone()).unwrap();
    let mut price = counterfoil::UpdatePrice::new(support::price_id("price_week"));
    price.active = Some(false);
    book.prices().update(price).unwrap();
    assert_eq!(book.execute(keyed).unwrap(), answer);
}

// Tickets, batches, dry runs

#[test]
fn commands_take_effect_in_the_order_of_their_tickets() {
    let dir = TempDir::new().unwrap();
    let book = open(&dir);
    begin(&book);
    let written = book.durable();
    let tickets: Vec<Ticket> =
        (0..100).map(|n| book.submit(customer(&format!("cus_{n:02}"), "")).unwrap()).collect();
    assert!(tickets.iter().map(Ticket::position).is_sorted_by(|a, b| a.next() == *b));
    assert_eq!(book.durable(), written, "nobody writes for a ticket that nobody waits for");
    assert!(!tickets[0].is_durable().unwrap());

    let mut tickets = tickets;
    let last = tickets.pop().unwrap();
    let position = last.position();
    last.wait().unwrap();
    assert_eq!(book.durable(), position, "one wait serves all before it");
    for (n, ticket) in tickets.into_iter().enumerate() {
        assert!(ticket.is_durable().unwrap());
        let Output::Customer(customer) = ticket.wait().unwrap() else { panic!("a customer") };
        assert_eq!(customer.id, customer_id(&format!("cus_{n:02}")));
    }

    // One that nobody waits for is there as well once somebody writes.
    drop(book.submit(customer("cus_dropped", "")).unwrap());
    book.flush().unwrap();
    drop(book);
    let ids: Vec<String> =
        open(&dir).customers().list().unwrap().iter().map(|c| c.id.to_string()).collect();
    let expected = (0..100).map(|n| format!("cus_{n:02}")).chain(["cus_dropped".to_owned()]);
    assert_eq!(ids, expected.collect::<Vec<_>>());
}

#[test]
fn a_relaxed_answer_says_that_it_is_not_on_disk_and_outlives_the_process() {
    let dir = TempDir::new().unwrap();
    let book = open(&dir);
    begin(&book);
    let written = book.durable();
    let ticket = book.submit(customer("cus_ada", "")).unwrap();
    let position = ticket.position();
    let answer = ticket.wait_buffered().unwrap();
    let Output::Customer(customer) = answer.output else { panic!("a customer") };
    assert_eq!(customer.id, customer_id("cus_ada"));
    assert_eq!(answer.acknowledged.lsn(), position);
    assert_eq!(book.durable(), written, "nothing was synced");
    // Without a word to the engine, as where the process dies.
    drop(book);
    let book = open(&dir);
    assert_eq!((book.durable(), book.tail_cut()), (position, None));
    assert_eq!(book.customers().list().unwrap().len(), 1);
}

#[test]
fn a_batch_has_each_answer_in_its_place() {
    let book = book();
    let outputs = book
        .batch([
            Request::from(customer("cus_ada", "pm_good")),
            subscription("sub_none", "cus_nobody", "price_month").into(),
            subscription("sub_ada", "cus_ada", "price_month").into(),
            customer("cus_ada", "pm_good").into(),
            Request::from(customer("cus_bob", "")).idempotency_key(""),
            customer("cus_cyd", "").into(),
        ])
        .unwrap();
    let codes: Vec<Option<Code>> =
        outputs.iter().map(|output| output.as_ref().err().map(Refusal::code)).collect();
    let expected = [
        None,
        Some(Code::ResourceMissing),
        None,
        Some(Code::ResourceAlreadyExists),
        Some(Code::ParameterInvalid),
        None,
    ];
    assert_eq!(codes, expected);
    let ids: Vec<String> =
        book.customers().list().unwrap().iter().map(|c| c.id.to_string()).collect();
    assert_eq!(ids, ["cus_ada", "cus_cyd"]);
    assert_eq!(book.batch(Vec::<Command>::new()).unwrap(), []);
    assert_sound(&book);
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_the_act_will_come_to() {
    let book = book();
    book.customers().create(customer("cus_ada", "pm_good")).unwrap();
    let mut item = CreateInvoiceItem::amount(customer_id("cus_ada"), 1_234);
    item.id = "ii_1".parse().ok();
    let mut draft = CreateInvoice::new(customer_id("cus_ada"));
    draft.id = Some(invoice_id("in_1"));
    draft.pending_invoice_items_behavior = counterfoil::PendingItems::Include;
    let commands: [Command; 6] = [
        named("derived id").into(),
        subscription("sub_1", "cus_ada", "price_month").into(),
        item.into(),
        draft.into(),
        FinalizeInvoice { id: invoice_id("in_1"), auto_advance: None }.into(),
        CancelSubscription { id: subscription_id("sub_1"), invoice_now: true, prorate: false }
            .into(),
    ];
    for command in commands {
        let before = mark(&book);
        let DryRun { events, output, state, .. } = book.dry_run(command.clone()).unwrap();
        assert_eq!(mark(&book), before, "{}", command.operation());
        assert_eq!(book.execute(command.clone()).unwrap(), output, "{}", command.operation());
        assert_eq!(happened(&book, before.2), events, "{}", command.operation());
        assert_eq!(book.state().unwrap().hash(), state.hash(), "{}", command.operation());
    }
    let before = mark(&book);
    assert_eq!(code(book.dry_run(customer("cus_ada", ""))), Some(Code::ResourceAlreadyExists));
    assert_eq!(mark(&book), before);
}

// Opening and closing

#[test]
fn a_closed_book_takes_nothing_more() {
    let dir = TempDir::new().unwrap();
    let book = open(&dir);
    begin(&book);
    book.customers().create(customer("cus_ada", "pm_good")).unwrap();
    book.subscriptions().create(subscription("sub_1", "cus_ada", "price_month")).unwrap();
    let before = mark(&book);
    let other = book.clone();
    book.close().unwrap();
    book.close().unwrap();

    let usage = CreateMeterEvent::new(CALLS, &customer_id("cus_ada"), 1);
    let later = day(90);
    let errors = [
        other.execute(named("Bob")).err(),
        other.submit(named("Bob")).err(),
        other.batch([named("Bob")]).err(),
        other.customers().create(named("Bob")).err(),
        other.meter_events().create(&usage).err(),
        other.advance_to(later, &mut gateway).err(),
        other.tick(later, 10).err(),
    ];
    for (n, error) in errors.into_iter().enumerate() {
        assert!(matches!(error, Some(Error::Log(LogError::Closed))), "call {n}: {error:?}");
    }
    assert_eq!(mark(&open(&dir)), before);
}

#[test]
fn a_book_is_open_for_writing_once() {
    let dir = TempDir::new().unwrap();
    let refused = |dir: &TempDir| {
        let error = Engine::open(dir.path(), Options::default()).unwrap_err();
        assert!(matches!(error, BookError::Log(OpenError::Locked)), "{error}");
        // Looking into it is nobody's business.
        let verified = counterfoil::verify(dir.path(), &Options::default()).unwrap();
        assert_eq!((verified.findings, verified.log.is_sound()), (vec![], true));
    };
    let first = open(&dir);
    begin(&first);
    refused(&dir);
    let clone = first.clone();
    drop(first);
    refused(&dir);
    // Closing gives the book free while handles are left.
    clone.close().unwrap();
    let second = open(&dir);
    refused(&dir);
    drop(clone);
    refused(&dir);
    // So does dropping the last handle.
    drop(second);
    let third = open(&dir);
    third.customers().create(customer("cus_ada", "")).unwrap();
    drop(third);
    assert_eq!(counterfoil::verify(dir.path(), &Options::default()).unwrap().findings, []);

    let missing = dir.path().join("nowhere");
    let error = Engine::open_existing(&missing, Options::default()).unwrap_err();
    assert!(matches!(error, BookError::Log(OpenError::NotABook { .. })), "{error}");
    assert!(!missing.exists());
}

#[test]
fn a_book_in_memory_is_open_once_too() {
    let storage = MemStorage::new();
    let first = Engine::on(storage.clone(), Options::default()).unwrap();
    let error = Engine::on(storage.clone(), Options::default()).unwrap_err();
    assert!(matches!(error, BookError::Log(OpenError::Locked)), "{error}");
    drop(first);
    Engine::on(storage, Options::default()).unwrap();
}

// Following events

#[test]
fn events_are_read_from_the_start_and_from_a_position() {
    let book = book();
    let catalog = book.durable();
    book.customers().create(customer("cus_ada", "pm_good")).unwrap();
    book.subscriptions().create(subscription("sub_1", "cus_ada", "price_month")).unwrap();
    let usage = CreateMeterEvent::new(CALLS, &customer_id("cus_ada"), 5).identifier("e1");
    book.meter_events().create(&usage).unwrap();
    book.advance_to(day(40), &mut gateway).unwrap();

    let all: Vec<_> = book.events(Lsn::ZERO).map(Result::unwrap).collect();
    let lsns: Vec<u64> = all.iter().map(|record| record.lsn.0).collect();
    assert_eq!(lsns, (1..=book.durable().0).collect::<Vec<_>>());
    assert!(all.iter().map(|record| record.at).is_sorted());
    assert!(matches!(all[0].events[..], [Event::Book(_)]));
    let usage: u64 = all.iter().flat_map(|r| &r.usage).map(|block| block.len() as u64).sum();
    let events: u64 = all.iter().map(|record| record.events.len() as u64).sum();
    assert_eq!((usage, events + usage), (1, book.event_count().unwrap()));

    let mut tail = book.events(catalog.next());
    let first = tail.next().unwrap().unwrap();
    assert_eq!(first.lsn, catalog.next());
    assert_eq!(first.events, all[usize::try_from(catalog.0).unwrap()].events);
    assert_eq!(tail.by_ref().count() + 1, all.len() - usize::try_from(catalog.0).unwrap());
    // It ends where the book ends for now, and goes on when the book does.
    assert!(tail.next().is_none());
    book.customers().create(customer("cus_bob", "")).unwrap();
    assert_eq!(tail.next().unwrap().unwrap().lsn, book.durable());
    assert!(book.events(book.durable().next()).next().is_none());
}

#[test]
fn a_follower_wakes_up_when_another_thread_writes() {
    let book = book();
    let mut events = book.events(book.durable().next());
    let idle = Instant::now();
    assert!(events.next_within(Duration::from_millis(50)).unwrap().is_none());
    assert!(idle.elapsed() >= Duration::from_millis(50));

    let writer = book.clone();
    let follower = thread::spawn(move || {
        let started = Instant::now();
        let record = events.next_within(PATIENCE).unwrap().expect("a record");
        (record, started.elapsed())
    });
    thread::sleep(Duration::from_millis(50));
    writer.customers().create(customer("cus_ada", "")).unwrap();
    let (record, waited) = follower.join().unwrap();
    assert_eq!(record.lsn, book.durable());
    assert!(waited < PATIENCE, "{waited:?}");
}

// Threads

#[test]
fn a_book_goes_to_any_thread() {
    fn send<T: Send>() {}
    fn send_sync<T: Send + Sync>() {}
    send_sync::<Engine>();
    send_sync::<State>();
    send_sync::<Request>();
    send_sync::<Command>();
    send_sync::<Output>();
    send_sync::<DryRun>();
    send_sync::<Ticket>();
    send_sync::<Error>();
    send_sync::<BookError>();
    send::<Events>();
}

#[test]
fn eight_threads_write_one_book() {
    const THREADS: u64 = 8;
    const EACH: u64 = 12;
    let dir = TempDir::new().unwrap();
    let book = open(&dir);
    begin(&book);
    let barrier = Barrier::new(THREADS as usize);
    let acknowledged: Vec<(String, String)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (book, barrier) = (book.clone(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let work = |n| write_one(&book, thread, n);
                    (0..EACH).map(work).collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(acknowledged.len() as u64, THREADS * EACH);
    let customers: BTreeSet<&String> = acknowledged.iter().map(|(customer, _)| customer).collect();
    assert_eq!(customers.len(), acknowledged.len(), "derived ids are distinct");

    let check = |book: &Engine| {
        assert_eq!(book.customers().list().unwrap().len(), acknowledged.len());
        for (customer, subscription) in &acknowledged {
            let found = book.subscriptions().retrieve(&subscription_id(subscription)).unwrap();
            assert_eq!(found.customer, customer_id(customer));
            let numbers: Vec<_> = book.invoices().list(&found.customer).unwrap();
            let numbers = numbers.iter().filter_map(|view| view.invoice.number.as_deref());
            let ends: Vec<_> = numbers.filter_map(|number| number.rsplit('-').next()).collect();
            assert_eq!(ends, ["0001", "0002", "0003"], "{customer}");
        }
        let numbers: BTreeSet<_> =
            book.state().unwrap().shards().iter().map(|s| s.customer().seq).collect();
        assert_eq!(numbers.len(), acknowledged.len());
        assert_sound(book);
    };
    book.advance_to(day(75), &mut gateway).unwrap();
    check(&book);
    let lsns: Vec<u64> = book.events(Lsn::ZERO).map(|record| record.unwrap().lsn.0).collect();
    assert_eq!(lsns, (1..=book.durable().0).collect::<Vec<_>>());
    let before = mark(&book);
    drop(book);
    let book = open(&dir);
    assert_eq!(mark(&book), before);
    check(&book);
}

/// Creates a customer and its subscription, and sees both at once.
fn write_one(book: &Engine, thread: u64, n: u64) -> (String, String) {
    let ada = CreateCustomer {
        payment_method: Some("pm_good".into()),
        ..named(&format!("{thread}/{n}"))
    };
    let ada = book.customers().create(ada).unwrap();
    assert_eq!(book.customers().retrieve(&ada.id).unwrap(), ada);
    let id = format!("sub_{thread}_{n}");
    let taken = book.subscriptions().create(subscription(&id, ada.id.as_str(), "price_month"));
    assert_eq!(taken.unwrap().id, subscription_id(&id));
    assert_eq!(book.subscriptions().list(&ada.id).unwrap().len(), 1);
    (ada.id.to_string(), id)
}

// Time

#[test]
fn a_book_without_a_time_says_so() {
    let book = Engine::in_memory();
    assert_eq!(book.now().unwrap(), None);
    let usage = CreateMeterEvent::new(CALLS, &customer_id("cus_ada"), 1);
    let errors = [
        book.execute(named("Ada")).err(),
        book.dry_run(named("Ada")).err(),
        book.meter_events().create(&usage).err(),
        book.trial_balance(None).err(),
        book.check_invariants().err(),
    ];
    for (n, error) in errors.into_iter().enumerate() {
        assert!(matches!(error, Some(Error::NoTime)), "call {n}: {error:?}");
    }
    assert_eq!((book.event_count().unwrap(), book.durable()), (0, Lsn::ZERO));
}

#[test]
fn time_does_not_go_back() {
    let book = book();
    book.advance_to(day(10), &mut gateway).unwrap();
    let before = mark(&book);
    let back = day(10).checked_add_seconds(-1).unwrap();
    assert_eq!(code(book.advance_to(back, &mut gateway)), Some(Code::ParameterInvalid));
    assert_eq!(code(book.tick(back, 10)), Some(Code::ParameterInvalid));
    assert_eq!(code(book.tick(Timestamp::MIN, 10)), Some(Code::ParameterInvalid));
    assert_eq!(book.now().unwrap(), Some(day(10)));
    assert_eq!(book.advance_to(day(10), &mut gateway).unwrap(), Progress::default());
    assert_eq!(mark(&book), before, "time that passes with nothing due writes nothing");
}

/// Four paid subscriptions; from now on one card declines always, one at times.
fn with_subscriptions() -> Engine {
    let book = book();
    let subscriptions = [
        ("good", "price_month"),
        ("bad", "price_week"),
        ("flaky", "price_week"),
        ("late", "price_year"),
    ];
    for (name, price) in subscriptions {
        let (id, customer_id) = (format!("sub_{name}"), format!("cus_{name}"));
        book.customers().create(customer(&customer_id, "pm_good")).unwrap();
        book.subscriptions().create(subscription(&id, &customer_id, price)).unwrap();
    }
    book.advance_to(day(0), &mut gateway).unwrap();
    for (name, _) in subscriptions {
        let mut update = UpdateCustomer::new(customer_id(&format!("cus_{name}")));
        update.payment_method = Patch::Set(format!("pm_{name}"));
        book.customers().update(update).unwrap();
    }
    book
}

#[test]
fn ticks_with_a_budget_write_the_log_of_one_advance() {
    let once = with_subscriptions();
    let whole = once.advance_to(day(100), &mut NoPayments).unwrap();
    assert!(whole.worked > 20 && !whole.remaining, "{whole:?}");

    let often = with_subscriptions();
    let nothing = often.tick(day(100), 0).unwrap();
    assert_eq!(nothing, Progress { remaining: true, ..Progress::default() });
    let mut worked = 0;
    loop {
        let progress = often.tick(day(100), 2).unwrap();
        worked += progress.worked;
        assert!(progress.worked <= 2);
        assert_eq!(progress.remaining, often.now().unwrap() < Some(day(100)), "{progress:?}");
        assert_sound(&often);
        if !progress.remaining {
            break;
        }
    }
    assert_eq!(worked, whole.worked);
    assert_same_log(&once, &often);
    assert_eq!(often.tick(day(100), 2).unwrap(), Progress::default());
}

// Attempts to collect

/// A customer whose subscription waits for the outcome of its first payment.
fn waiting() -> (Engine, Attempt) {
    let book = book();
    book.customers().create(customer("cus_ada", "pm_good")).unwrap();
    let sub = book.subscriptions().create(subscription("sub_1", "cus_ada", "price_month")).unwrap();
    assert_eq!(sub.status, SubscriptionStatus::Incomplete);
    book.advance_to(day(0), &mut NoPayments).unwrap();
    let [attempt] = &book.payment_attempts().open().unwrap()[..] else { panic!("one attempt") };
    (book.clone(), attempt.clone())
}

#[test]
fn without_a_source_an_attempt_waits_for_its_outcome() {
    let (book, attempt) = waiting();
    assert_eq!((attempt.amount, attempt.payment_method.as_str()), (2_900, "pm_good"));
    let failed = Outcome::Failed(DeclineCode::Other("lost_card".into()));
    let invoice = book.payment_attempts().resolve(&attempt.id, failed).unwrap();
    assert_eq!((invoice.status, invoice.attempt_count), (InvoiceStatus::Open, 1));
    assert_eq!(book.payment_attempts().open().unwrap(), []);
    let again = book.payment_attempts().resolve(&attempt.id, Outcome::Succeeded);
    assert_eq!(code(again), Some(Code::ResourceMissing));

    let pay = PayInvoice {
        id: invoice.id,
        payment_method: None,
        paid_out_of_band: false,
        forgive: false,
    };
    book.invoices().pay(pay).unwrap();
    let [second] = &book.payment_attempts().open().unwrap()[..] else { panic!("one attempt") };
    assert_ne!(second.id, attempt.id);
    let invoice = book.payment_attempts().resolve(&second.id, Outcome::Succeeded).unwrap();
    assert_eq!((invoice.status, invoice.amount_paid), (InvoiceStatus::Paid, 2_900));
    let status = book.subscriptions().retrieve(&subscription_id("sub_1")).unwrap().status;
    assert_eq!(status, SubscriptionStatus::Active);
    assert_sound(&book);
}

#[test]
fn a_payment_that_comes_after_the_void_is_credit() {
    for (outcome, credit) in
        [(Outcome::Succeeded, 2_900), (Outcome::Failed(DeclineCode::GenericDecline), 0)]
    {
        let (book, attempt) = waiting();
        book.invoices().void(VoidInvoice { id: attempt.invoice.clone() }).unwrap();
        let invoice = book.payment_attempts().resolve(&attempt.id, outcome).unwrap();
        assert_eq!((invoice.status, invoice.amount_overpaid), (InvoiceStatus::Void, credit));
        let ada = book.customers().retrieve(&attempt.customer).unwrap();
        assert_eq!(ada.balances.values().sum::<i64>(), -credit);
        let transactions = book.customer_balance_transactions().list(&attempt.customer).unwrap();
        let overpaid = |t: &&counterfoil::BalanceTransaction| {
            t.kind == BalanceTransactionKind::InvoiceOverpaid && t.amount == -credit
        };
        assert_eq!(transactions.iter().filter(overpaid).count(), usize::from(credit != 0));
        assert!(book.trial_balance(None).unwrap().balanced);
        assert_sound(&book);
    }
}

#[test]
fn a_panic_in_a_payment_source_leaves_the_book_as_it_is() {
    let calm = with_subscriptions();
    calm.advance_to(day(60), &mut gateway).unwrap();

    let book = with_subscriptions();
    let mut asked = 0;
    let mut panicking = |attempt: &Attempt| {
        asked += 1;
        assert!(asked < 4, "the gateway is down");
        gateway(attempt)
    };
    let advance = || book.advance_to(day(60), &mut panicking);
    assert!(catch_unwind(AssertUnwindSafe(advance)).is_err());
    assert_sound(&book);
    assert!(!book.payment_attempts().open().unwrap().is_empty());
    book.advance_to(day(60), &mut gateway).unwrap();
    assert_same_log(&book, &calm);
}

/// A source that looks at the book while time advances.
struct Watching<F>(F);

impl<F: FnMut()> PaymentSource for Watching<F> {
    fn outcome(&mut self, attempt: &Attempt) -> Option<Outcome> {
        (self.0)();
        gateway(attempt)
    }

    fn progress(&mut self, _at: Timestamp, _worked: usize) {
        (self.0)();
    }
}

#[test]
fn a_payment_source_may_use_the_book() {
    let book = with_subscriptions();
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        let reader = book.clone();
        let mut source = Watching(|| assert!(reader.event_count().unwrap() > 0));
        done.send(book.advance_to(day(60), &mut source).map(drop)).unwrap();
    });
    wait.recv_timeout(PATIENCE).expect("the source and the book wait for each other").unwrap();
}

#[test]
fn a_panic_while_progress_is_shown_leaves_the_book_as_it_is() {
    let book = with_subscriptions();
    let mut calls = 0;
    let mut source = Watching(|| {
        calls += 1;
        assert!(calls < 5, "the terminal is gone");
    });
    let advance = || book.advance_to(day(60), &mut source);
    assert!(catch_unwind(AssertUnwindSafe(advance)).is_err());
    book.advance_to(day(60), &mut gateway).unwrap();
    assert_sound(&book);
}

#[test]
fn a_payment_source_may_settle_an_attempt_itself() {
    let book = with_subscriptions();
    let other = book.clone();
    let mut source = |attempt: &Attempt| {
        // An outcome that came by another way in the meantime, from a webhook.
        other.payment_attempts().resolve(&attempt.id, Outcome::Succeeded).unwrap();
        Some(Outcome::Succeeded)
    };
    book.advance_to(day(60), &mut source).unwrap();
    assert_sound(&book);
}

// A disk that fails

/// A storage in memory whose syncs fail from when they are told to.
struct Failing {
    storage: MemStorage,
    broken: Arc<AtomicBool>,
}

struct FailingFile {
    file: Box<dyn StorageFile>,
    broken: Arc<AtomicBool>,
}

impl Failing {
    fn file(&self, file: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        Box::new(FailingFile { file, broken: Arc::clone(&self.broken) })
    }
}

impl Storage for Failing {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        self.storage.lock()
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.storage.list()
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.file(self.storage.create(name)?))
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.file(self.storage.open(name, access)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.storage.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.storage.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.storage.sync_dir()
    }
}

impl StorageFile for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the cable is out"));
        }
        self.file.sync_data()
    }
}

#[test]
fn after_the_first_failed_sync_nothing_is_acknowledged() {
    let (storage, broken) = (MemStorage::new(), Arc::new(AtomicBool::new(false)));
    let failing = Failing { storage: storage.clone(), broken: Arc::clone(&broken) };
    let book = Engine::on(failing, Options::default()).unwrap();
    begin(&book);
    book.customers().create(customer("cus_ada", "")).unwrap();
    let acknowledged = book.durable();

    broken.store(true, Ordering::SeqCst);
    let error = book.customers().create(customer("cus_bob", "")).unwrap_err();
    assert!(error.to_string().contains("the cable is out"), "{error}");
    // A second try must not succeed: the system may have dropped what it could not write.
    broken.store(false, Ordering::SeqCst);
    let errors = [
        Some(error),
        book.execute(customer("cus_cyd", "")).err(),
        book.advance_to(day(60), &mut gateway).err(),
        book.flush().err(),
        // Nor is what was never on disk shown to anybody.
        book.customers().list().err(),
        book.state_hash().err(),
        book.close().err(),
    ];
    for (n, error) in errors.into_iter().enumerate() {
        assert!(matches!(error, Some(Error::Log(LogError::Poisoned { .. }))), "{n}: {error:?}");
    }
    assert_eq!(book.durable(), acknowledged);

    drop(book);
    let book = Engine::on(storage, Options::default()).unwrap();
    book.customers().retrieve(&customer_id("cus_ada")).unwrap();
    assert!(book.durable() >= acknowledged);
    assert_sound(&book);
    book.customers().create(customer("cus_dee", "")).unwrap();
}

#[test]
fn any_storage_makes_the_same_book() {
    let dir = TempDir::new().unwrap();
    let books = [
        Engine::in_memory(),
        Engine::open(dir.path(), Options::default()).unwrap(),
        Engine::on(FileStorage::open(dir.path().join("deep/er")).unwrap(), Options::default())
            .unwrap(),
    ];
    for book in &books {
        book.advance_to(at(START), &mut gateway).unwrap();
        catalog(book);
        book.customers().create(customer("cus_ada", "pm_flaky")).unwrap();
        book.subscriptions().create(subscription("sub_1", "cus_ada", "price_week")).unwrap();
        book.advance_to(day(50), &mut gateway).unwrap();
    }
    assert_same_log(&books[0], &books[1]);
    assert_same_log(&books[0], &books[2]);
}
