//! Equal histories are equal books: a hundred customers over three years, lived twice, replayed,
//! and lived again day by day.

mod support;

use counterfoil::{
    CancelSubscription, CollectionMethod, Command, CreateBalanceTransaction, CreateInvoice,
    CreateInvoiceItem, CreateMeterEventAdjustment, Currency, DeleteCustomer, Engine, EventBatch,
    EventTime, FinalizeInvoice, InvoiceStatus, ItemChange, ItemInput, MarkInvoiceUncollectible,
    MemStorage, Options, Patch, PayInvoice, PendingItems, ProrationBehavior, Request, Settings,
    SubscriptionStatus, Timestamp, UpdateCustomer, UpdateSubscription, VoidInvoice,
};
use std::collections::BTreeMap;
use support::{
    CALLS, SplitMix64, assert_same_log, assert_sound, begin, customer, customer_id, day, gateway,
    invoice_id, price_id, subscription, subscription_id,
};
use tempfile::TempDir;

const CUSTOMERS: u64 = 100;
const DAYS: i64 = 3 * 365;

/// What somebody does at a time.
enum Act {
    Command(Request),
    Usage(EventBatch),
    CancelUsage(CreateMeterEventAdjustment),
}

/// All that is done to a book, in order: nothing in it depends on what the book answers.
struct Script(Vec<(Timestamp, Act)>);

impl Script {
    fn new(seed: u64) -> Self {
        let mut script = Self(Vec::new());
        for n in 0..CUSTOMERS {
            script.customer(n, &mut SplitMix64(seed ^ (n << 32)));
        }
        script.usage(&mut SplitMix64(!seed));
        script.0.sort_by_key(|(at, _)| *at);
        script
    }

    fn at(&mut self, at: Timestamp, command: impl Into<Command>) {
        self.0.push((at, Act::Command(Request::from(command))));
    }

    /// The life of a customer, by its number.
    fn customer(&mut self, n: u64, random: &mut SplitMix64) {
        let cus = format!("cus_{n}");
        let joins = moment(random, 0, 90);
        let card = match n % 10 {
            0 => "",
            1 => "pm_bad",
            2..=4 => "pm_flaky",
            _ => "pm_good",
        };
        // One in ten of the first cards is good, and goes bad later.
        self.at(joins, customer(&cus, if n % 20 == 1 { "pm_good" } else { card }));
        if n % 20 == 1 {
            let mut update = UpdateCustomer::new(customer_id(&cus));
            update.payment_method = Patch::Set(card.to_owned());
            self.at(later(random, joins, 60), update);
        }
        if n.is_multiple_of(7) {
            self.balance(joins, &cus, -7_500);
            self.balance(later(random, joins, 700), &cus, random.below_i64(9_000) - 4_000);
        }
        self.subscription(n, joins, random);
        if n.is_multiple_of(4) {
            self.one_off(n, random);
        }
        if n == CUSTOMERS - 1 {
            self.at(moment(random, 800, 100), DeleteCustomer { id: customer_id(&cus) });
        }
    }

    fn balance(&mut self, at: Timestamp, customer: &str, amount: i64) {
        let customer = customer_id(customer);
        let (description, metadata, currency) = (None, None, Currency::USD);
        let change = CreateBalanceTransaction { customer, amount, currency, description, metadata };
        self.at(at, change);
    }

    fn subscription(&mut self, n: u64, joins: Timestamp, random: &mut SplitMix64) {
        let (cus, sub) = (format!("cus_{n}"), format!("sub_{n}"));
        let (prices, weekly): (&[&str], bool) = match n % 6 {
            0 => (&["price_month"], false),
            1 => (&["price_year"], false),
            2 if n.is_multiple_of(4) => (&["price_week"], true),
            2 | 3 => (&["price_month", "price_year"], false),
            4 => (&["price_month", "price_calls"], false),
            _ => (&["price_calls"], false),
        };
        let mut create = subscription(&sub, &cus, prices[0]);
        create.items = prices.iter().map(|price| ItemInput::from(price_id(price))).collect();
        for (item, input) in create.items.iter_mut().enumerate() {
            input.id = format!("si_{n}_{item}").parse().ok();
        }
        if n % 6 == 5 || n.is_multiple_of(8) {
            create.trial_period_days = Some(14);
        }
        if n % 5 == 3 {
            create.collection_method = CollectionMethod::SendInvoice;
            create.days_until_due = Some(14);
        }
        self.0.push((joins, Act::Command(Request::from(create).idempotency_key(sub.as_str()))));
        if prices[0] != "price_calls" {
            for _ in 0..3 {
                let mut seats = UpdateSubscription::new(subscription_id(&sub));
                seats.proration_behavior = Some(ProrationBehavior::None);
                seats.items = vec![ItemChange {
                    id: format!("si_{n}_0").parse().ok(),
                    quantity: Some(1 + random.below_i64(30)),
                    ..ItemChange::default()
                }];
                self.at(moment(random, 95, DAYS - 95), seats);
            }
        }
        match n % 9 {
            4 => {
                let mut end = UpdateSubscription::new(subscription_id(&sub));
                end.cancel_at_period_end = Some(true);
                self.at(moment(random, 200, 700), end);
            }
            5 => {
                let (id, invoice_now) = (subscription_id(&sub), random.below(2) == 0);
                let cancel = CancelSubscription { id, invoice_now, prorate: false };
                self.at(moment(random, 200, 700), cancel);
            }
            _ if weekly => {
                let cancel = subscription_id(&sub);
                let cancel = CancelSubscription { id: cancel, invoice_now: true, prorate: false };
                self.at(moment(random, 400, 100), cancel);
            }
            _ => {}
        }
    }

    /// An item of work, an invoice for it, and what becomes of that.
    fn one_off(&mut self, n: u64, random: &mut SplitMix64) {
        let customer = customer_id(&format!("cus_{n}"));
        let at = moment(random, 95, 800);
        let amount = 500 + random.below_i64(100_000);
        let item = CreateInvoiceItem::amount(customer.clone(), amount);
        self.at(at, item);
        let id = invoice_id(&format!("in_work_{n}"));
        let mut draft = CreateInvoice::new(customer);
        draft.id = Some(id.clone());
        draft.pending_invoice_items_behavior = PendingItems::Include;
        draft.auto_advance = n.is_multiple_of(8);
        self.at(at, draft);
        self.at(at, FinalizeInvoice { id: id.clone(), auto_advance: None });
        let then = later(random, at, 40);
        match random.below(4) {
            0 => self.at(then, VoidInvoice { id }),
            1 => self.at(then, MarkInvoiceUncollectible { id }),
            2 => self.at(
                then,
                PayInvoice { id, payment_method: None, paid_out_of_band: true, forgive: false },
            ),
            _ => self.at(
                then,
                PayInvoice { id, payment_method: None, paid_out_of_band: false, forgive: false },
            ),
        }
    }

    /// Usage once a week: late, twice, and sometimes not meant.
    fn usage(&mut self, random: &mut SplitMix64) {
        let mut sent: Vec<(u64, String, EventTime)> = Vec::new();
        for week in 14..DAYS / 7 {
            let at = moment(random, week * 7, 7);
            let mut batch = EventBatch::new(CALLS);
            for n in (0..CUSTOMERS).filter(|n| n % 6 >= 4) {
                for k in 0..random.below(4) {
                    let late = random.below_i64(20 * 86_400);
                    let time = EventTime::from_timestamp(at.checked_add_seconds(-late).unwrap());
                    sent.push((n, format!("e_{n}_{week}_{k}"), time.unwrap()));
                }
                if random.below(3) == 0 && !sent.is_empty() {
                    // Sent again, in another batch as a rule.
                    let again = usize::try_from(random.below(sent.len() as u64)).unwrap();
                    sent.push(sent[again].clone());
                }
            }
            for (n, identifier, time) in sent.iter().rev().take(60) {
                let (customer, value) = (format!("cus_{n}"), (identifier.len() * 37).to_string());
                batch.push(Some(identifier), Some(&customer), Some(*time), Some(&value)).unwrap();
            }
            if let Some((_, identifier, _)) = sent.last().filter(|_| week % 3 == 0) {
                let cancel = CreateMeterEventAdjustment::cancel(CALLS, identifier.as_str());
                self.0.push((at.checked_add_seconds(3_000).unwrap(), Act::CancelUsage(cancel)));
            }
            self.0.push((at, Act::Usage(batch)));
        }
    }
}

/// A moment within so many days after a day.
fn moment(random: &mut SplitMix64, from_day: i64, days: i64) -> Timestamp {
    day(from_day).checked_add_seconds(random.below_i64(days * 86_400)).unwrap()
}

fn later(random: &mut SplitMix64, from: Timestamp, days: i64) -> Timestamp {
    from.checked_add_seconds(random.below_i64(days * 86_400)).unwrap()
}

/// How a book gets from one act to the next.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    /// At once.
    Leaping,
    /// With a stop at every midnight, where every invariant is looked at every other week.
    Daily,
}

/// Lives a script and returns what every act came to.
fn live(book: &Engine, script: &Script, pace: Pace) -> Vec<String> {
    let mut answers = Vec::new();
    let mut midnights = (1..=DAYS).map(day).peekable();
    let mut walk = |to: Timestamp| {
        while let Some(midnight) = midnights.next_if(|midnight| *midnight <= to) {
            if pace == Pace::Daily {
                book.advance_to(midnight, &mut gateway).unwrap();
                if midnight.day_number() % 14 == 0 {
                    assert_sound(book);
                }
            }
        }
        book.advance_to(to, &mut gateway).unwrap();
    };
    for (at, act) in &script.0 {
        walk(*at);
        answers.push(match act {
            Act::Command(request) => match book.submit(request.clone()) {
                Ok(ticket) => format!("{}: {}", request.command.operation(), ticket.position()),
                Err(error) => format!("{}: {error}", request.command.operation()),
            },
            Act::Usage(batch) => format!("{:?}", book.meter_events().ingest(batch).unwrap()),
            Act::CancelUsage(cancel) => format!("{:?}", book.meter_events().adjust(cancel).err()),
        });
    }
    walk(day(DAYS));
    answers
}

#[test]
fn a_hundred_customers_over_three_years() {
    let dir = TempDir::new().unwrap();
    let options =
        || Options::default().settings(Settings { name: "W".into(), ..Settings::default() });
    let script = Script::new(0x5EED);
    let lived = Engine::open(dir.path(), options()).unwrap();
    begin(&lived);
    let answers = live(&lived, &script, Pace::Leaping);
    let hash = lived.state_hash().unwrap();
    assert_sound(&lived);
    assert_world_is_varied(&lived, &answers);

    // Run again from the start, day by day: the same answers, log and hash.
    let daily = Engine::on(MemStorage::new(), options()).unwrap();
    begin(&daily);
    assert_eq!(live(&daily, &Script::new(0x5EED), Pace::Daily), answers);
    assert_same_log(&lived, &daily);

    // And again, with due work decided in its turn, and by several threads before.
    for workers in [0, 2, 5] {
        let ahead = Engine::on(MemStorage::new(), options().workers(workers)).unwrap();
        begin(&ahead);
        assert_eq!(live(&ahead, &Script::new(0x5EED), Pace::Leaping), answers);
        assert_same_log(&lived, &ahead);
    }

    // Replayed from its log on disk; everything in it looked at record by record.
    lived.close().unwrap();
    drop(lived);
    let verified = counterfoil::verify(dir.path(), &options()).unwrap();
    assert_eq!(verified.findings, []);
    assert_eq!(verified.state_hash, hash);
    assert!(verified.lines_read_again > 500, "{verified:?}");
    let replayed = Engine::open(dir.path(), options()).unwrap();
    assert_eq!(replayed.state_hash().unwrap(), hash);
    assert_eq!(replayed.event_count().unwrap(), daily.event_count().unwrap());
}

/// A world in which nothing happens would prove nothing.
fn assert_world_is_varied(book: &Engine, answers: &[String]) {
    let state = book.state().unwrap();
    let (mut statuses, mut subscriptions) = (BTreeMap::new(), BTreeMap::new());
    let mut attempts = 0;
    for shard in state.shards() {
        assert_eq!(shard.customer().parked, None);
        for invoice in shard.invoices() {
            *statuses.entry(invoice.status.to_string()).or_insert(0) += 1;
            attempts += invoice.attempts_made;
        }
        for subscription in shard.subscriptions() {
            *subscriptions.entry(subscription.status.to_string()).or_insert(0) += 1;
        }
    }
    let seen = format!("{statuses:?} {subscriptions:?} {attempts} {}", book.durable());
    for status in [
        InvoiceStatus::Open,
        InvoiceStatus::Paid,
        InvoiceStatus::Void,
        InvoiceStatus::Uncollectible,
    ] {
        assert!(statuses.contains_key(&status.to_string()), "{seen}");
    }
    for status in [
        SubscriptionStatus::Active,
        SubscriptionStatus::PastDue,
        SubscriptionStatus::Canceled,
        SubscriptionStatus::IncompleteExpired,
    ] {
        assert!(subscriptions.contains_key(&status.to_string()), "{seen}");
    }
    assert!(statuses.values().sum::<i32>() > 2_000 && attempts > 1_500, "{seen}");
    assert!(book.durable().0 > 8_000, "{seen}");
    let refused = answers.iter().filter(|answer| answer.contains(": subscription ")).count();
    assert!(refused * 4 < answers.len(), "{refused} of {} acts were refused", answers.len());
    let duplicates =
        answers.iter().filter(|a| a.contains("duplicates") && !a.contains("duplicates: 0"));
    assert!(duplicates.count() > 50);
}

/// Twenty customers with a subscription each, of several intervals and with several cards.
fn twenty(book: &Engine) {
    for n in 0..20 {
        let card = ["pm_good", "pm_flaky", "pm_bad", "pm_good"][n % 4];
        let price = ["price_month", "price_year", "price_week", "price_calls"][n / 4 % 4];
        let (cus, sub) = (format!("cus_{n}"), format!("sub_{n}"));
        book.customers().create(customer(&cus, card)).unwrap();
        let mut create = subscription(&sub, &cus, price);
        if price == "price_week" {
            create.trial_period_days = Some(n as u32);
            create.cancel_at_period_end = n % 2 == 0;
        }
        book.subscriptions().create(create).unwrap();
    }
}

#[test]
fn one_big_advance_is_many_daily_ones() {
    let (big, daily) = (support::book(), support::book());
    twenty(&big);
    twenty(&daily);
    let ahead = Engine::on(MemStorage::new(), Options::default().workers(3)).unwrap();
    begin(&ahead);
    twenty(&ahead);
    ahead.advance_to(day(DAYS), &mut gateway).unwrap();
    let in_turn = Engine::on(MemStorage::new(), Options::default().workers(0)).unwrap();
    begin(&in_turn);
    twenty(&in_turn);
    in_turn.advance_to(day(DAYS), &mut gateway).unwrap();
    let once = big.advance_to(day(DAYS), &mut gateway).unwrap();
    assert_same_log(&big, &ahead);
    assert_same_log(&big, &in_turn);
    let mut worked = 0;
    for n in 1..=DAYS {
        worked += daily.advance_to(day(n), &mut gateway).unwrap().worked;
    }
    assert!(worked > 1_000, "{worked}");
    assert_eq!(worked, once.worked);
    assert_same_log(&big, &daily);
    assert_sound(&big);
}
