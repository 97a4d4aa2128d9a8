//! Erasing a customer: what is personal is gone, what is owed and proven stays.

mod support;

use counterfoil::{
    Address, BookError, CancelSubscription, Code, Command, CreateBalanceTransaction,
    CreateCustomer, CreateInvoice, CreateInvoiceItem, CreateSubscription, Currency, Engine,
    Entropy, EraseCustomer, Error, Event, FinalizeInvoice, ItemInput, KeyError, Lsn,
    MarkInvoiceUncollectible, MemStorage, MetadataPatch, Options, Patch, PayInvoice, PendingItems,
    Request, UpdateCustomer, UpdateInvoiceItem, UpdateSubscription, VoidInvoice,
};
use counterfoil_log::VaultError;
use counterfoil_log::sim::{SimRandom, SimStorage};
use std::collections::BTreeMap;
use support::{assert_sound, begin, customer_id, day, gateway, invoice_id, price_id, subscription};

/// In every text that says something personal, and in nothing else.
const SECRET: &str = "Xanthippe";
const KEYS: &str = "0000000001.keys";

type Files = BTreeMap<String, Vec<u8>>;

fn options() -> Options {
    Options::default().entropy(Entropy::FIXED)
}

fn text(what: &str) -> Option<String> {
    Some(format!("{what} of {SECRET}"))
}

fn metadata(what: &str) -> Option<MetadataPatch> {
    Some([(format!("{what} {SECRET}"), format!("{SECRET} {what}"))].into_iter().collect())
}

fn create() -> CreateCustomer {
    CreateCustomer {
        id: Some(customer_id("cus_1")),
        name: text("name"),
        email: text("email"),
        phone: text("phone"),
        address: Some(Address { line1: text("line1"), city: text("city"), ..Address::default() }),
        description: text("description"),
        metadata: metadata("customer"),
        payment_method: Some("pm_good".to_owned()),
        balance: Some(-500),
        ..CreateCustomer::default()
    }
}

/// Every command that can say something personal, each with all that it can say.
fn talkative() -> Vec<Command> {
    let cus = || customer_id("cus_1");
    let mut item = ItemInput::from(price_id("price_month"));
    item.metadata = metadata("seat");
    let mut sub = CreateSubscription::new(cus(), []);
    (sub.id, sub.items) = ("sub_1".parse().ok(), vec![item]);
    (sub.description, sub.metadata) = (text("subscription"), metadata("subscription"));
    let mut sub_update = UpdateSubscription::new("sub_1".parse().unwrap());
    sub_update.description = Patch::Set(text("better subscription").unwrap());
    sub_update.metadata = Patch::Set(metadata("update").unwrap());
    let mut update = UpdateCustomer::new(cus());
    update.name = Patch::Set(text("new name").unwrap());
    update.metadata = Patch::Set(metadata("update").unwrap());
    let mut work = CreateInvoiceItem::amount(cus(), 700);
    work.id = "ii_1".parse().ok();
    (work.description, work.metadata) = (text("item"), metadata("item"));
    let work_update = UpdateInvoiceItem {
        amount: Some(800),
        description: text("better item"),
        metadata: Patch::Set(metadata("update").unwrap()),
        ..UpdateInvoiceItem::new("ii_1".parse().unwrap())
    };
    let mut draft = CreateInvoice::new(cus());
    draft.id = Some(invoice_id("in_1"));
    draft.pending_invoice_items_behavior = PendingItems::Include;
    (draft.description, draft.metadata) = (text("invoice"), metadata("invoice"));
    let mut waiting = CreateInvoiceItem::amount(cus(), 900);
    (waiting.description, waiting.metadata) = (text("waiting"), metadata("waiting"));
    let balance = CreateBalanceTransaction {
        customer: cus(),
        amount: -100,
        currency: Currency::USD,
        description: text("balance"),
        metadata: metadata("balance"),
    };
    vec![
        create().into(),
        update.into(),
        balance.into(),
        sub.into(),
        sub_update.into(),
        work.into(),
        work_update.into(),
        draft.into(),
        waiting.into(),
    ]
}

/// A book in which everything personal that can be said of a customer was said, under idempotency
/// keys; its customer could be erased next.
fn told(storage: impl counterfoil::Storage + 'static) -> Engine {
    let book = Engine::on(storage, options()).unwrap();
    begin(&book);
    for (n, command) in talkative().into_iter().enumerate() {
        assert!(command.may_be_personal());
        book.execute(Request::from(command).idempotency_key(format!("key {n}"))).unwrap();
        // What the command began to collect is paid.
        book.advance_to(day(0), &mut gateway).unwrap();
    }
    // A refusal that is remembered, of a command that says something personal.
    let again = Request::from(create()).idempotency_key("refused");
    assert_eq!(book.execute(again).unwrap_err().code(), Some(Code::ResourceAlreadyExists));
    let mut late = UpdateInvoiceItem {
        description: text("late"),
        ..UpdateInvoiceItem::new("ii_1".parse().unwrap())
    };
    late.amount = Some(1);
    book.invoices()
        .finalize(FinalizeInvoice { id: invoice_id("in_1"), auto_advance: None })
        .unwrap();
    let late = Request::from(late).idempotency_key("late");
    assert_eq!(book.execute(late).unwrap_err().code(), Some(Code::InvoiceNotEditable));
    let give_up = MarkInvoiceUncollectible { id: invoice_id("in_1") };
    book.invoices().mark_uncollectible(give_up).unwrap();
    let cancel =
        CancelSubscription { id: "sub_1".parse().unwrap(), invoice_now: false, prorate: false };
    book.subscriptions().cancel(cancel).unwrap();
    book
}

fn erase(book: &Engine) -> Result<counterfoil::Customer, Error> {
    book.customers().erase(EraseCustomer { id: customer_id("cus_1") })
}

/// Which files hold bytes.
fn holding(files: &Files, bytes: &[u8]) -> Vec<String> {
    let holds = |file: &[u8]| file.windows(bytes.len()).any(|window| window == bytes);
    files.iter().filter(|(_, file)| holds(file)).map(|(name, _)| name.clone()).collect()
}

/// All that a book tells of itself, as text: its state, its events, what it remembers.
fn everything(book: &Engine) -> String {
    let events: Vec<_> = book.events(Lsn::ZERO).map(Result::unwrap).collect();
    format!("{:?}\n{events:?}", book.state().unwrap())
}

fn reopened(files: &Files) -> Engine {
    Engine::on(MemStorage::from_files(files.clone()), options()).unwrap()
}

#[test]
fn what_is_personal_is_never_on_disk_in_the_open_and_after_the_erasure_nowhere() {
    let storage = MemStorage::new();
    let book = told(storage.clone());
    assert!(everything(&book).matches(SECRET).count() > 40);
    let before = storage.files();
    assert_eq!(holding(&before, SECRET.as_bytes()), [""; 0]);
    // A fingerprint would confirm a guess, so there is none in the open either.
    let fingerprints: Vec<_> = talkative().iter().map(Command::fingerprint).collect();
    for fingerprint in &fingerprints {
        assert_eq!(holding(&before, fingerprint), [""; 0]);
    }
    let copy = reopened(&before);
    assert_eq!(everything(&copy), everything(&book));
    assert_eq!(copy.state_hash().unwrap(), book.state_hash().unwrap());

    let erased = erase(&book).unwrap();
    assert!(erased.personal.is_empty() && erased.erased.is_some() && erased.deleted);
    assert!(!everything(&book).contains(SECRET), "{}", everything(&book));
    let after = storage.files();
    assert_eq!(holding(&after, SECRET.as_bytes()), [""; 0]);
    // The log only grew: every head and every proof of what was there is as it was.
    for (name, bytes) in before.iter().filter(|(name, _)| name.ends_with(".seg")) {
        let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        assert!(after[name][..written] == bytes[..written], "{name} was changed");
    }
    assert_ne!(after[KEYS], before[KEYS]);
    // What was read before is read again, without what was personal, and says so.
    let with_mark = |book: &Engine| -> Vec<u64> {
        let records = book.events(Lsn::ZERO).map(Result::unwrap);
        records.filter(|record| !record.erased.is_empty()).map(|record| record.lsn.0).collect()
    };
    assert_eq!(with_mark(&copy), [0; 0]);
    // Of the nine commands, and the finalization of an item with a description of its own.
    assert_eq!(with_mark(&book).len(), 10);
    // A backup made now gives nothing back, and replay ends where life did.
    let backup = reopened(&after);
    assert_eq!(everything(&backup), everything(&book));
    assert_eq!(backup.state_hash().unwrap(), book.state_hash().unwrap());
    book.close().unwrap();
    assert_eq!(holding(&storage.files(), SECRET.as_bytes()), [""; 0]);
}

#[test]
fn amounts_numbers_and_the_journal_stay() {
    let book = told(MemStorage::new());
    let bill = |book: &Engine| {
        let invoices = book.invoices().list(&customer_id("cus_1")).unwrap();
        let amounts = |i: &counterfoil::Invoice| (i.subtotal, i.total, i.amount_due, i.amount_paid);
        let lines = |lines: &[std::sync::Arc<counterfoil::Line>]| -> Vec<_> {
            lines.iter().map(|l| (l.id.clone(), l.amount, l.name.clone(), l.period)).collect()
        };
        let invoices: Vec<_> = invoices
            .iter()
            .map(|view| (view.invoice.number.clone(), amounts(&view.invoice), lines(&view.lines)))
            .collect();
        let state = book.state().unwrap();
        let shard = state.shard(&customer_id("cus_1")).unwrap();
        let balance: Vec<_> =
            shard.balance_transactions().map(|t| (t.amount, t.ending_balance)).collect();
        (invoices, balance, shard.customer().balances.clone(), book.trial_balance(None).unwrap())
    };
    let before = bill(&book);
    assert_eq!(before.0.len(), 2);
    erase(&book).unwrap();
    assert_eq!(bill(&book), before);
    assert_sound(&book);
    let shown = book.invoices().explain(&invoice_id("in_1")).unwrap().to_string();
    assert!(shown.contains("Invoice item") && !shown.contains(SECRET), "{shown}");
    // What is left can be settled.
    let id = invoice_id("in_1");
    book.invoices().void(VoidInvoice { id: id.clone() }).unwrap();
    let pay = PayInvoice { id, payment_method: None, paid_out_of_band: true, forgive: false };
    assert_eq!(book.invoices().pay(pay).unwrap_err().code(), Some(Code::StateUnsupported));
    assert_sound(&book);
}

#[test]
fn who_is_billed_is_not_erased_and_who_is_erased_stays_so() {
    let book = support::book();
    book.customers().create(create()).unwrap();
    let refused = |what: &str| {
        let before = support::mark(&book);
        let error = erase(&book).unwrap_err();
        assert_eq!(error.code(), Some(Code::StateUnsupported), "{what}");
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(support::mark(&book), before, "{what}");
    };
    book.subscriptions().create(subscription("sub_1", "cus_1", "price_month")).unwrap();
    book.advance_to(day(0), &mut gateway).unwrap();
    refused("sub_1 is active");
    let id = "sub_1".parse().unwrap();
    book.subscriptions()
        .cancel(CancelSubscription { id, invoice_now: false, prorate: false })
        .unwrap();
    book.invoice_items().create(CreateInvoiceItem::amount(customer_id("cus_1"), 700)).unwrap();
    let mut draft = CreateInvoice::new(customer_id("cus_1"));
    draft.id = Some(invoice_id("in_1"));
    draft.pending_invoice_items_behavior = PendingItems::Include;
    book.invoices().create(draft).unwrap();
    refused("in_1 is draft");
    let id = invoice_id("in_1");
    book.invoices().finalize(FinalizeInvoice { id: id.clone(), auto_advance: None }).unwrap();
    refused("in_1 is open");
    book.invoices().void(VoidInvoice { id }).unwrap();
    erase(&book).unwrap();
    refused("is erased");
    let update = UpdateCustomer::new(customer_id("cus_1"));
    let error = book.customers().update(update).unwrap_err();
    assert_eq!(error.to_string(), "customer cus_1 is erased: it cannot be changed any more");
    book.advance_to(day(400), &mut gateway).unwrap();
    assert_sound(&book);
}

#[test]
fn what_was_remembered_is_refused_after_the_erasure() {
    let storage = MemStorage::new();
    let book = told(storage.clone());
    let keyed = |n: usize, command: &Command| {
        Request::from(command.clone()).idempotency_key(format!("key {n}"))
    };
    let commands = talkative();
    for (n, command) in commands.iter().enumerate() {
        book.execute(keyed(n, command)).unwrap();
        let other = EraseCustomer { id: customer_id("cus_2") };
        let error = book.execute(keyed(n, &other.into())).unwrap_err();
        assert_eq!(error.code(), Some(Code::IdempotencyError));
    }
    let erase = Request::from(EraseCustomer { id: customer_id("cus_1") }).idempotency_key("erase");
    book.execute(erase.clone()).unwrap();
    let (hash, at) = (book.state_hash().unwrap(), book.durable());
    for book in [&book, &reopened(&storage.files())] {
        for (n, command) in commands.iter().enumerate() {
            let error = book.execute(keyed(n, command)).unwrap_err();
            assert_eq!(error.code(), Some(Code::StateUnsupported), "{error}");
            assert!(error.to_string().contains("erased"), "{error}");
        }
        // The erasure itself is remembered like any command.
        book.execute(erase.clone()).unwrap();
        assert_eq!((book.state_hash().unwrap(), book.durable()), (hash, at), "nothing was done");
    }
    // A refused command that says something leaves no fingerprint: there is no key to seal it with.
    let mut update = UpdateCustomer::new(customer_id("cus_1"));
    update.name = Patch::Set(text("late name").unwrap());
    let fingerprint = Command::from(update.clone()).fingerprint();
    let request = Request::from(update).idempotency_key("late update");
    assert_eq!(book.execute(request.clone()).unwrap_err().code(), Some(Code::StateUnsupported));
    assert_eq!(book.execute(request).unwrap_err().code(), Some(Code::StateUnsupported));
    assert_eq!(holding(&storage.files(), &fingerprint), [""; 0]);
    let again = reopened(&storage.files());
    assert_eq!(again.state_hash().unwrap(), book.state_hash().unwrap());
}

/// The power goes at any call of an erasure: the customer is there as it was, or erased with its
/// key destroyed, at the latest once the book is opened.
#[test]
fn a_crash_leaves_the_customer_or_erases_it() {
    let storage = SimStorage::new(5);
    let book = told(storage.clone());
    book.customers().create(CreateCustomer { name: text("other"), ..create_other() }).unwrap();
    let before = everything(&book);
    storage.keep_points();
    erase(&book).unwrap();
    storage.mark(1);
    let after = everything(&book);
    assert_ne!(before, after);
    let mut random = SimRandom::new(17);
    let (mut kept, mut gone, mut finished) = (0, 0, 0);
    for point in storage.take_points() {
        for _ in 0..6 {
            let disk = point.disk.after_power_loss(&mut random);
            let keys = disk.files()[KEYS].clone();
            let left = SimStorage::of(disk, 3);
            let book = Engine::on(left.clone(), options()).unwrap();
            let found = everything(&book);
            if found == before {
                assert_eq!(point.mark, 0, "an acknowledged erasure is undone");
                kept += 1;
                continue;
            }
            assert_eq!(found, after);
            let files = left.disk().files_synced();
            // Its slot is the first; that of the other customer is as it was.
            assert_eq!(&files[KEYS][4..8], 2_u32.to_le_bytes(), "the key is there");
            assert!(files[KEYS][64..] == keys[64..]);
            gone += 1;
            finished += u32::from(keys[4..8] != 2_u32.to_le_bytes());
        }
    }
    assert!(kept > 0 && gone > 0, "{kept} kept, {gone} gone");
    assert!(finished > 0, "no crash came between the record and the end of the key");
}

fn create_other() -> CreateCustomer {
    CreateCustomer { id: Some(customer_id("cus_2")), ..CreateCustomer::default() }
}

#[test]
fn another_key_opens_nothing_and_none_is_an_error() {
    let storage = MemStorage::new();
    told(storage.clone()).close().unwrap();
    let opened = |files: Files| Engine::on(MemStorage::from_files(files), options()).map(drop);
    // The keys of another book.
    let mut files = storage.files();
    let other = MemStorage::new();
    let seed = Options::default().entropy(Entropy::Seed([9; 32]));
    let book = Engine::on(other.clone(), seed).unwrap();
    begin(&book);
    book.customers().create(create()).unwrap();
    files.insert(KEYS.to_owned(), other.files()[KEYS].clone());
    let found = opened(files);
    let wrong = |error: &BookError| {
        matches!(error, BookError::Key { source: KeyError::Unopened { slot: 0, .. }, .. })
    };
    assert!(found.as_ref().is_err_and(wrong), "{found:?}");
    // No keys, and a damaged one.
    let mut files = storage.files();
    files.remove(KEYS);
    let found = opened(files).unwrap_err().to_string();
    assert!(found.contains("key slot 0 is missing"), "{found}");
    let mut files = storage.files();
    files.get_mut(KEYS).unwrap()[20] ^= 1;
    let found = opened(files);
    let damaged = |error: &BookError| {
        let BookError::Key { source: KeyError::Vault(error), .. } = error else { return false };
        matches!(error, VaultError::Damaged(_))
    };
    assert!(found.as_ref().is_err_and(damaged), "{found:?}");
}

/// A log from a backup beside the keys of today: who was erased stays erased, and a new customer is
/// never given a key that is destroyed.
#[test]
fn an_older_log_beside_newer_keys_keeps_the_erasure() {
    let storage = MemStorage::new();
    let book = Engine::on(storage.clone(), options()).unwrap();
    begin(&book);
    book.customers().create(create_other()).unwrap();
    let old = storage.files();
    book.customers().create(create()).unwrap();
    let older = storage.files();
    erase(&book).unwrap();
    let keys = storage.files()[KEYS].clone();
    for mut files in [old, older] {
        files.insert(KEYS.to_owned(), keys.clone());
        let book = reopened(&files);
        assert!(!everything(&book).contains(SECRET));
        let mut new = create();
        new.id = Some(customer_id("cus_new"));
        let new = book.customers().create(new).unwrap();
        assert_eq!((new.key_slot, new.personal.name.clone()), (2, text("name")));
        assert!(everything(&book).contains(SECRET));
    }
}

/// A snapshot holds what is personal as the log does: sealed.
#[test]
fn a_snapshot_tells_nothing_and_one_from_before_is_removed() {
    let storage = MemStorage::new();
    let book = told(storage.clone());
    let at = book.snapshot().unwrap().position;
    let before = storage.files();
    let name = format!("{:020}.snap", at.0);
    assert!(before.contains_key(&name));
    assert_eq!(holding(&before, SECRET.as_bytes()), [""; 0]);
    for command in talkative() {
        assert_eq!(holding(&before, &command.fingerprint()), [""; 0]);
    }
    let copy = reopened(&before);
    assert_eq!(copy.opened().snapshot, Some(at));
    assert_eq!(copy.state_hash().unwrap(), book.state_hash().unwrap());
    let owned = |book: &Engine| {
        let (cus, customers) = (customer_id("cus_1"), book.customers().list().unwrap());
        let subscriptions = book.subscriptions().list(&cus).unwrap();
        let balance = book.customer_balance_transactions().list(&cus).unwrap();
        let (items, invoices) = (book.invoice_items().list(&cus), book.invoices().list(&cus));
        format!("{customers:?} {subscriptions:?} {balance:?} {items:?} {invoices:?}")
    };
    assert_eq!(owned(&copy), owned(&book));
    assert!(owned(&copy).matches(SECRET).count() > 15, "{}", owned(&copy));
    // What is remembered is there too, under the fingerprint that it had.
    let request = Request::from(create()).idempotency_key("key 0");
    let Ok(counterfoil::Output::Customer(remembered)) = copy.execute(request) else { panic!() };
    assert_eq!(remembered.personal.name, text("name"));
    // A second one copies what did not change, and is opened as well.
    copy.customers().create(create_other()).unwrap();
    let again = copy.snapshot().unwrap().position;
    assert_eq!(again, at.next());
    copy.close().unwrap();

    erase(&book).unwrap();
    assert_eq!(book.snapshots().unwrap(), []);
    // One that was kept elsewhere, and laid beside the book again, gives nothing back.
    let mut after = storage.files();
    after.insert(name.clone(), before[&name].clone());
    let again = reopened(&after);
    assert!(!everything(&again).contains(SECRET));
    assert_eq!(again.state_hash().unwrap(), book.state_hash().unwrap());
    // A snapshot of the book as it is now holds it as it is now.
    book.snapshot().unwrap();
    let again = reopened(&storage.files());
    assert!(again.opened().snapshot.is_some());
    assert_eq!(again.state_hash().unwrap(), book.state_hash().unwrap());
    assert!(!everything(&again).contains(SECRET));
}

#[test]
fn equal_seeds_write_equal_bytes_and_the_system_gives_others() {
    let written = |entropy: Entropy| {
        let storage = MemStorage::new();
        let book = Engine::on(storage.clone(), Options::default().entropy(entropy)).unwrap();
        begin(&book);
        book.customers().create(create()).unwrap();
        book.close().unwrap();
        storage.files()
    };
    let seeded = written(Entropy::Seed([3; 32]));
    assert!(written(Entropy::Seed([3; 32])) == seeded);
    assert!(written(Entropy::Seed([4; 32]))[KEYS] != seeded[KEYS]);
    assert!(written(Entropy::System)[KEYS] != written(Entropy::System)[KEYS]);
}

/// Whoever adds an event that says something personal must seal it: no event's body repeats what
/// is personal in it.
#[test]
fn no_body_holds_what_is_personal() {
    let book = told(MemStorage::new());
    let mut personal = 0;
    for event in book.events(Lsn::ZERO).flat_map(|record| record.unwrap().events) {
        let body = serde_json::to_string(&event).unwrap();
        assert!(!body.contains(SECRET), "{}: {body}", event.event_type().name);
        let data = event.personal();
        let mut copy: Event = serde_json::from_str(&body).unwrap();
        copy.set_personal(data.clone());
        assert_eq!(copy, event, "an event is its body and what is personal");
        personal += usize::from(!data.is_empty());
    }
    assert_eq!(personal, 11);
}
