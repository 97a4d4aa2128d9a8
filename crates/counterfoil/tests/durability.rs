//! What was acknowledged is there after `kill -9`, and what was sent twice is there once.
//!
//! The test runs its own binary as a child that executes commands from several threads and says on
//! its output what was acknowledged. The parent kills it in the middle of that, opens the book, and
//! compares.

mod support;

use counterfoil::{
    CreateCustomer, CreateMeterEvent, Decimal12, Engine, EventBatch, Lsn, Options, Period, Request,
    Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, thread};
use support::{
    CALLS, SplitMix64, assert_sound, at, begin, customer, customer_id, gateway, mark, subscription,
    subscription_id,
};
use tempfile::TempDir;

/// Kills, by `COUNTERFOIL_RELIABILITY`.
fn cycles() -> u64 {
    match env::var("COUNTERFOIL_RELIABILITY").as_deref() {
        Err(_) | Ok("ci") => 50,
        Ok("full") => 200,
        Ok("long") => 10_000,
        Ok(other) => panic!("COUNTERFOIL_RELIABILITY is {other}: it may be ci, full or long"),
    }
}

/// Events that the child sends at once.
const BATCH: u64 = 10;
/// Where the child finds its book.
const BOOK: &str = "COUNTERFOIL_CHILD_BOOK";
/// Which generation of children it is, the first usage event and the first keyed command that
/// nobody acknowledged: `7 420 35`.
const FROM: &str = "COUNTERFOIL_CHILD_FROM";

/// The value of a usage event, by its number.
fn value(event: u64) -> u64 {
    event % 7 + 1
}

fn usage(first: u64) -> EventBatch {
    let mut batch = EventBatch::new(CALLS);
    for event in first..first + BATCH {
        let (id, value) = (format!("e{event}"), value(event).to_string());
        batch.push(Some(&id), Some("cus_usage"), None, Some(&value)).unwrap();
    }
    batch
}

/// A command under a key: its id is derived, so that doing it twice would show.
fn keyed(n: u64) -> Request {
    let create = CreateCustomer { name: Some(format!("keyed {n}")), ..CreateCustomer::default() };
    Request::from(create).idempotency_key(format!("key-{n}"))
}

fn open(dir: &Path) -> Engine {
    Engine::open(dir, Options::default()).unwrap()
}

// The child

/// Says that something is acknowledged, in one write.
fn acknowledge(what: &str) {
    let line = format!("\nack {what}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

#[test]
#[ignore = "runs until it is killed: started by the test below"]
fn child() {
    let (Ok(dir), Ok(from)) = (env::var(BOOK), env::var(FROM)) else { return };
    let numbers: Vec<u64> = from.split(' ').map(|number| number.parse().unwrap()).collect();
    let [generation, event, key] = numbers[..] else { panic!("{from}") };
    let book = &open(Path::new(&dir));
    // What the one before it may have done unheard is sent again first, within a day of the book's
    // time: so long a key is remembered (rule 1.7).
    book.execute(keyed(key)).unwrap();
    acknowledge(&format!("key {key}"));
    thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0.. {
                let id = format!("cus_{generation}_{n}");
                book.customers().create(customer(&id, "pm_flaky")).unwrap();
                acknowledge(&format!("customer {id}"));
                let sub = format!("sub_{generation}_{n}");
                let create = subscription(&sub, &id, "price_month");
                book.batch([Request::from(create)]).unwrap().remove(0).unwrap();
                acknowledge(&format!("subscription {sub} {id}"));
            }
        });
        scope.spawn(move || {
            for n in key + 1.. {
                book.submit(keyed(n)).unwrap().wait().unwrap();
                acknowledge(&format!("key {n}"));
            }
        });
        scope.spawn(move || {
            for first in (event..).step_by(BATCH as usize) {
                let ingested = book.meter_events().ingest(&usage(first)).unwrap();
                assert_eq!(ingested.taken + ingested.duplicates, BATCH);
                acknowledge(&format!("usage {first}"));
            }
        });
        scope.spawn(move || {
            let began = book.now().unwrap().unwrap();
            for hour in 1..=20 {
                let next = began.checked_add_seconds(hour * 3_600).unwrap();
                book.advance_to(next, &mut gateway).unwrap();
                let position = book.flush().unwrap();
                acknowledge(&format!("time {position}"));
            }
        });
    });
}

// The parent

/// What the children were told that it is on disk.
#[derive(Default)]
struct Acknowledged {
    customers: BTreeSet<String>,
    subscriptions: BTreeMap<String, String>,
    /// The first usage event that is not.
    next_event: u64,
    /// The first keyed command that is not.
    next_key: u64,
    position: u64,
    count: u64,
}

impl Acknowledged {
    fn take(&mut self, line: &str) {
        let mut words = line.split_whitespace().skip(1);
        let (kind, first) = (words.next().unwrap(), words.next().unwrap_or_default());
        match kind {
            "customer" => drop(self.customers.insert(first.to_owned())),
            "subscription" => {
                let customer = words.next().unwrap().to_owned();
                self.subscriptions.insert(first.to_owned(), customer);
            }
            "key" => {
                assert_eq!(first.parse(), Ok(self.next_key));
                self.next_key += 1;
            }
            "usage" => {
                assert_eq!(first.parse(), Ok(self.next_event));
                self.next_event += BATCH;
            }
            "time" => self.position = self.position.max(first.parse().unwrap()),
            other => panic!("{other}"),
        }
        self.count += 1;
    }

    /// Everything acknowledged is there, and nothing is there twice.
    fn check(&self, book: &Engine) {
        assert!(book.durable() >= Lsn(self.position), "{} < {}", book.durable(), self.position);
        let all = book.customers().list().unwrap();
        for id in &self.customers {
            assert!(all.iter().any(|customer| customer.id.as_str() == id), "{id} is lost");
        }
        for (sub, customer) in &self.subscriptions {
            let found = book.subscriptions().retrieve(&subscription_id(sub));
            assert_eq!(found.expect("the subscription is there").customer, customer_id(customer));
        }
        let names = all.iter().filter_map(|customer| customer.personal.name.as_deref());
        let mut keyed: Vec<u64> = names.map(|name| name[6..].parse().unwrap()).collect();
        keyed.sort_unstable();
        // One may be there that was written and not yet acknowledged; none twice, none left out.
        let last = self.next_key + u64::from(keyed.len() as u64 > self.next_key);
        assert_eq!(keyed, (0..last).collect::<Vec<_>>());
        let read = total(book);
        let sum = |end: u64| Decimal12::from_int((0..end).map(value).sum::<u64>() as i64);
        let (acked, in_flight) = (sum(self.next_event), sum(self.next_event + BATCH));
        // A batch is one record: it is there as a whole or not at all.
        assert!(read == acked || read == in_flight, "{read} is neither {acked} nor {in_flight}");
        assert_sound(book);
    }
}

fn total(book: &Engine) -> Decimal12 {
    let all = Period::new(Timestamp::MIN, Timestamp::MAX);
    let meter = "mtr_calls".parse().unwrap();
    book.meter_events().usage(&meter, &customer_id("cus_usage"), all).unwrap().quantity
}

/// Starts a child on a book.
fn start(dir: &Path, generation: u64, so_far: &Acknowledged) -> Child {
    let from = format!("{generation} {} {}", so_far.next_event, so_far.next_key);
    Command::new(env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--include-ignored", "--test-threads=1"])
        .env(BOOK, dir)
        .env(FROM, from)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Lets a child live for so many acknowledgements, kills it, and takes what it had said until then.
fn live_and_die(mut child: Child, lifetime: u64, acknowledged: &mut Acknowledged) {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut heard = 0;
    let mut line = String::new();
    loop {
        line.clear();
        let length = out.read_line(&mut line).unwrap();
        // A line without its end was cut off by the kill.
        if length == 0 || !line.ends_with('\n') {
            break;
        }
        if line.starts_with("ack ") {
            acknowledged.take(&line);
            heard += 1;
            if heard == lifetime {
                child.kill().unwrap();
            }
        }
    }
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "the child ended by itself");
    assert!(heard >= lifetime);
}

#[test]
fn r01_kills_lose_nothing_that_was_acknowledged() {
    let dir = TempDir::new().unwrap();
    let cycles = cycles();
    let mut random = SplitMix64(50);
    let mut acknowledged = Acknowledged::default();
    let book = open(dir.path());
    begin(&book);
    book.customers().create(customer("cus_usage", "pm_good")).unwrap();
    book.subscriptions().create(subscription("sub_usage", "cus_usage", "price_calls")).unwrap();
    drop(book);
    let mut cuts = 0;
    for generation in 0..cycles {
        let child = start(dir.path(), generation, &acknowledged);
        live_and_die(child, 1 + random.below(60), &mut acknowledged);
        let book = open(dir.path());
        cuts += u64::from(book.tail_cut().is_some());
        acknowledged.check(&book);
        // Opening it once more gives the same book.
        let before = mark(&book);
        drop(book);
        let again = open(dir.path());
        assert_eq!(mark(&again), before, "generation {generation}");
        assert_eq!(again.tail_cut(), None);
    }
    assert!(acknowledged.count > cycles * 10, "{}", acknowledged.count);
    assert!(!acknowledged.subscriptions.is_empty() && acknowledged.next_event > 0);
    println!(
        "R1: {cycles} kills of a process, {} acknowledgements: 0 lost, 0 phantom; {cuts} torn tails; \
         seed 50",
        acknowledged.count
    );

    // The client sends again what nobody acknowledged: all of it counts once.
    let book = open(dir.path());
    book.meter_events().ingest(&usage(acknowledged.next_event)).unwrap();
    book.execute(keyed(acknowledged.next_key)).unwrap();
    acknowledged.next_event += BATCH;
    acknowledged.next_key += 1;
    acknowledged.check(&book);
    let sum = (0..acknowledged.next_event).map(value).sum::<u64>();
    assert_eq!(total(&book), Decimal12::from_int(sum as i64));
    // One of long ago may be forgotten: the children's time passes, and the window is 35 days.
    let last = acknowledged.next_event - 1;
    let known = CreateMeterEvent::new(CALLS, &customer_id("cus_usage"), value(last));
    let known = known.identifier(format!("e{last}"));
    assert_eq!(book.meter_events().create(&known).unwrap().taken, 0);
    book.close().unwrap();
    drop(book);
    let verified = counterfoil::verify(dir.path(), &Options::default()).unwrap();
    assert_eq!(verified.findings, []);
    assert_eq!(verified.usage_events, acknowledged.next_event);
}

#[test]
fn what_nobody_waited_for_may_be_lost_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let book = open(dir.path());
    book.advance_to(at(support::START), &mut gateway).unwrap();
    book.customers().create(customer("cus_ada", "")).unwrap();
    drop(book.submit(customer("cus_bob", "")).unwrap());
    // No close and no flush: as after a crash.
    drop(book);
    let book = open(dir.path());
    let ids: Vec<_> = book.customers().list().unwrap().into_iter().map(|c| c.id).collect();
    assert_eq!(ids, [customer_id("cus_ada")]);
    assert_sound(&book);
}
