//! What the tests of the book share: a small catalog, a gateway without moods, seeded numbers.

#![allow(dead_code, reason = "each test crate uses a part of it")]

pub mod acts;
pub mod changes;

use counterfoil::{
    Attempt, CreateCustomer, CreateMeter, CreatePrice, CreateProduct, CreateSubscription, Currency,
    CustomerId, DeclineCode, Engine, Event, Formula, IntervalUnit, InvoiceId, Lsn, MemStorage,
    Options, Outcome, PriceId, RecurringInput, SubscriptionId, Timestamp,
};

/// When the books of the tests begin: a day that most months do not have.
pub const START: &str = "2024-01-31T00:00:00Z";

/// The event name that the meter of [`catalog`] takes.
pub const CALLS: &str = "calls";

/// A time from its text.
pub fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// So many days after [`START`].
pub fn day(days: i64) -> Timestamp {
    at(START).checked_add_days(days).unwrap()
}

pub fn customer_id(text: &str) -> CustomerId {
    CustomerId::new(text).unwrap()
}

pub fn subscription_id(text: &str) -> SubscriptionId {
    SubscriptionId::new(text).unwrap()
}

pub fn invoice_id(text: &str) -> InvoiceId {
    InvoiceId::new(text).unwrap()
}

pub fn price_id(text: &str) -> PriceId {
    PriceId::new(text).unwrap()
}

/// A gateway whose answer depends on nothing but the attempt: `pm_good` pays, `pm_bad` declines,
/// `pm_flaky` declines one attempt in three.
pub fn gateway(attempt: &Attempt) -> Option<Outcome> {
    let declined = match attempt.payment_method.as_str() {
        "pm_bad" => Some(DeclineCode::InsufficientFunds),
        "pm_flaky" if mixed(attempt.id.as_str()).is_multiple_of(3) => {
            Some(DeclineCode::GenericDecline)
        }
        _ => None,
    };
    Some(declined.map_or(Outcome::Succeeded, Outcome::Failed))
}

fn mixed(text: &str) -> u64 {
    let seed =
        text.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    SplitMix64(seed).next()
}

/// Numbers that look random and are the same for the same seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// The same for what is signed.
    pub fn below_i64(&mut self, bound: i64) -> i64 {
        i64::try_from(self.below(bound.unsigned_abs())).unwrap()
    }
}

/// Puts prices by the week, month and year and a metered one into a book that has a time.
pub fn catalog(book: &Engine) {
    let product = CreateProduct { id: "prod_pro".parse().ok(), ..CreateProduct::new("Pro") };
    let product = book.products().create(product).unwrap();
    let licensed = [
        ("price_week", IntervalUnit::Week, 700),
        ("price_month", IntervalUnit::Month, 2_900),
        ("price_year", IntervalUnit::Year, 29_000),
    ];
    for (id, unit, amount) in licensed {
        let mut price = CreatePrice::new(product.id.clone(), Currency::USD);
        price.id = Some(price_id(id));
        price.unit_amount = Some(amount);
        price.recurring = Some(RecurringInput::every(unit));
        book.prices().create(price).unwrap();
    }
    let meter =
        CreateMeter { id: "mtr_calls".parse().ok(), ..CreateMeter::new(CALLS, Formula::Sum) };
    let meter = book.meters().create(meter).unwrap();
    let mut price = CreatePrice::new(product.id, Currency::USD);
    price.id = Some(price_id("price_calls"));
    price.unit_amount = Some(2);
    price.recurring = Some(RecurringInput::metered(IntervalUnit::Month, meter.id));
    book.prices().create(price).unwrap();
}

/// A book in memory at [`START`] with a catalog.
pub fn book() -> Engine {
    let book = Engine::in_memory();
    begin(&book);
    book
}

/// The same on a storage.
pub fn book_on(storage: MemStorage) -> Engine {
    let book = Engine::on(storage, Options::default()).unwrap();
    begin(&book);
    book
}

/// Gives a new book its time and its catalog.
pub fn begin(book: &Engine) {
    book.advance_to(at(START), &mut gateway).unwrap();
    catalog(book);
}

/// A customer with a payment method; none where it is empty.
pub fn customer(id: &str, card: &str) -> CreateCustomer {
    CreateCustomer {
        id: Some(customer_id(id)),
        payment_method: (!card.is_empty()).then(|| card.to_owned()),
        ..CreateCustomer::default()
    }
}

/// A subscription to one price.
pub fn subscription(id: &str, customer: &str, price: &str) -> CreateSubscription {
    CreateSubscription {
        id: Some(subscription_id(id)),
        ..CreateSubscription::new(customer_id(customer), [price_id(price)])
    }
}

/// What no refused command may change: the hash of the book, the number of its events, its log.
pub fn mark(book: &Engine) -> ([u8; 32], u64, Lsn) {
    (book.state_hash().unwrap(), book.event_count().unwrap(), book.durable())
}

/// Everything that happened after a position, in order.
pub fn happened(book: &Engine, after: Lsn) -> Vec<Event> {
    book.events(after.next()).flat_map(|record| record.unwrap().events).collect()
}

/// Panics with the name of the invariant that does not hold.
#[track_caller]
pub fn assert_sound(book: &Engine) {
    if let Err(violation) = book.check_invariants().unwrap() {
        panic!("{violation}");
    }
}

/// Panics at the first record in which two books differ.
#[track_caller]
pub fn assert_same_log(left: &Engine, right: &Engine) {
    let (mut lefts, mut rights) = (left.events(Lsn::ZERO), right.events(Lsn::ZERO));
    loop {
        match (lefts.next().transpose().unwrap(), rights.next().transpose().unwrap()) {
            (None, None) => break,
            (Some(l), Some(r)) => {
                assert_eq!((l.lsn, l.at), (r.lsn, r.at));
                assert_eq!(l.events, r.events, "record {}", l.lsn);
                assert_eq!(l.usage, r.usage, "record {}", l.lsn);
            }
            (l, r) => panic!("one log ends before the other: {l:?} / {r:?}"),
        }
    }
    assert_eq!(left.state_hash().unwrap(), right.state_hash().unwrap());
}
