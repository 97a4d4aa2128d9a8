//! Due work that is decided before its turn, by one thread or several, while the call that asked for it
//! waits.

use crate::codec;
use crate::keys::Keys;
use crate::metering::Readings;
use counterfoil_billing::invoice::PaymentAttemptId;
use counterfoil_core::{Timestamp, limits};
use counterfoil_log::NewEvent;
use counterfoil_meter::{Aggregator, Position};
use counterfoil_model::{Ahead, DueClass, DueKey, State, Step, work_ahead};
use std::collections::{BTreeMap, VecDeque};
use std::panic::resume_unwind;
use std::thread;

/// Items that one thread decides at a time. The book is locked meanwhile, so they are not many.
const ITEMS_EACH: usize = 64;
/// For fewer than so many no further thread is started: that would take longer than to decide them.
const ITEMS_MIN_EACH: usize = 8;
/// More threads than that are never started, whatever was asked for.
const WORKERS_MAX: usize = 64;

/// What was decided ahead.
#[derive(Debug, Default)]
pub(crate) struct Lookahead {
    /// Threads that decide, the caller's own among them; without any, nothing is decided ahead.
    pub(crate) workers: usize,
    queue: VecDeque<Prepared>,
    /// What follows if the attempt that was opened last succeeds at once.
    success: Option<(PaymentAttemptId, Timestamp, Encoded)>,
    /// What the usage in all of it was read up to.
    position: Position,
    /// How many objects an item of each class created when one was done last.
    created_by: BTreeMap<DueClass, u64>,
    /// How many items were decided together last, and how many of those counted when it was their turn.
    asked: usize,
    counted: usize,
    /// How many items are decided in their turn before anything is decided ahead again.
    pause: usize,
    /// How many decisions counted in all.
    #[cfg(test)]
    hits: usize,
}

/// An item of due work.
#[derive(Debug)]
struct Prepared {
    key: DueKey,
    at: Timestamp,
    work: Encoded,
    success: Option<(PaymentAttemptId, Encoded)>,
}

/// A decision, and its events as they stand in the log.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) step: Step,
    pub(crate) entries: Vec<NewEvent>,
}

impl Prepared {
    /// None where an event cannot be encoded; whoever decides in turn says why.
    fn of(ahead: Ahead, place: Place<'_>) -> Option<Self> {
        let Ahead { key, at, work, success } = ahead;
        let second = success.as_ref().map(|(_, step)| step.events.as_slice());
        let events = (work.events.as_slice(), second.unwrap_or_default());
        let version = work.version();
        let (first, second) = codec::encode_ahead(place.state, version, events, place.keys)?;
        let success = success.map(|(attempt, step)| (attempt, Encoded { step, entries: second }));
        Some(Self { key, at, work: Encoded { step: work, entries: first }, success })
    }
}

/// What is decided ahead of, and as of.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) state: &'a State,
    pub(crate) meters: &'a Aggregator,
    pub(crate) keys: &'a Keys,
    /// The time of the decision that is to be made.
    pub(crate) at: Timestamp,
    /// Nothing later is looked at.
    pub(crate) until: Timestamp,
    /// Nor are more items.
    pub(crate) items_max: usize,
}

impl Lookahead {
    /// The decision on an item whose turn it is, if it was made ahead and nothing has happened since
    /// that it rests on. Decides more where none is left.
    pub(crate) fn take(&mut self, key: &DueKey, place: Place<'_>) -> Option<Encoded> {
        self.success = None;
        if self.workers == 0 {
            return None;
        }
        if place.meters.position() != self.position {
            self.queue.clear();
        }
        while self.queue.pop_front_if(|front| front.key < *key).is_some() {}
        // Something came that is due before what is left of it.
        if self.queue.front().is_some_and(|front| front.key != *key) {
            self.queue.clear();
        }
        if self.queue.is_empty() {
            self.decide(place);
        }
        let Prepared { at, work, success, .. } =
            self.queue.pop_front_if(|front| front.key == *key)?;
        if at != place.at || !place.state.bears(&work.step) {
            return None;
        }
        self.counted = self.counted.saturating_add(1);
        #[cfg(test)]
        {
            self.hits += 1;
        }
        self.success = success.map(|(attempt, step)| (attempt, at, step));
        Some(work)
    }

    /// The decision on the success of an attempt, as [`Self::take`].
    pub(crate) fn take_success(
        &mut self,
        attempt: &PaymentAttemptId,
        now: Timestamp,
        (state, read_up_to): (&State, Position),
    ) -> Option<Encoded> {
        let (_, _, step) = self.success.take().filter(|(own, at, step)| {
            let same = (own, *at, self.position) == (attempt, now, read_up_to);
            same && state.bears(&step.step)
        })?;
        #[cfg(test)]
        {
            self.hits += 1;
        }
        Some(step)
    }

    /// Takes in how many objects an item of due work created.
    pub(crate) fn learn(&mut self, class: DueClass, created: u64) {
        self.created_by.insert(class, created);
    }

    fn decide(&mut self, place: Place<'_>) {
        if self.pause > 0 {
            self.pause = self.pause.saturating_sub(1);
            return;
        }
        // Where most of it was in vain, more of it would be.
        let (asked, counted) = (std::mem::take(&mut self.asked), std::mem::take(&mut self.counted));
        if counted.saturating_mul(2) < asked {
            self.pause = asked.saturating_mul(4);
            return;
        }
        let workers = self.workers.min(WORKERS_MAX);
        let items_max = place.items_max.min(workers.saturating_mul(ITEMS_EACH));
        // The finalization of a draft that is made now would come between later ones.
        let next = place.state.next_due().map_or(place.at, |key| key.at);
        let undisturbed = limits::INVOICE_DRAFT_SECONDS.saturating_sub(1);
        let until = place.until.min(next.checked_add_seconds(undisturbed).unwrap_or(next));
        let keys = place.state.due_until(until, items_max);
        if keys.len() < 2 {
            return;
        }
        self.asked = keys.len();
        self.position = place.meters.position();
        self.queue = self.decide_all(place, &keys);
    }

    /// Decides items in as many threads as there are to be. Where the system gives none, what was its
    /// part is decided in its turn.
    fn decide_all(&self, place: Place<'_>, keys: &[DueKey]) -> VecDeque<Prepared> {
        let workers = self.workers.clamp(1, WORKERS_MAX);
        let each = keys.len().div_ceil(workers).max(ITEMS_MIN_EACH);
        let prepare = |keys: &[DueKey], created: u64| {
            let usage = Readings(place.meters);
            let ahead = work_ahead(place.state, &usage, place.at, keys, created);
            let prepared = ahead.into_iter().filter_map(|ahead| Prepared::of(ahead, place));
            prepared.collect::<VecDeque<_>>()
        };
        let mut created = place.state.created_count();
        let mut parts = keys.chunks(each).map(|keys| {
            let from = created;
            let objects = keys.iter().map(|key| self.expected(key));
            created = objects.fold(created, u64::saturating_add);
            (keys, from)
        });
        thread::scope(|scope| {
            let own = parts.next();
            let prepare = &prepare;
            let other = |(keys, from)| {
                let part = move || prepare(keys, from);
                thread::Builder::new().spawn_scoped(scope, part).ok()
            };
            let others: Vec<_> = parts.filter_map(other).collect();
            let mut all = own.map(|(keys, from)| prepare(keys, from)).unwrap_or_default();
            for other in others {
                match other.join() {
                    Ok(more) => all.extend(more),
                    Err(panic) => resume_unwind(panic),
                }
            }
            all
        })
    }

    /// How many objects an item is expected to create: as many as the last of its class; a renewal
    /// makes a draft.
    fn expected(&self, key: &DueKey) -> u64 {
        let usual = u64::from(key.class == DueClass::Rollover);
        self.created_by.get(&key.class).copied().unwrap_or(usual)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Attempt, Command, CreateCustomer, CreatePrice, CreateProduct, CreateSubscription, Currency,
        CustomerId, Engine, IntervalUnit, MemStorage, Options, Outcome, Output, ProductId,
        RecurringInput, Timestamp,
    };

    fn collect(attempt: &Attempt) -> Option<Outcome> {
        let declined =
            || Outcome::Failed(counterfoil_billing::invoice::DeclineCode::GenericDecline);
        Some(if attempt.customer.as_str().ends_with('7') { declined() } else { Outcome::Succeeded })
    }

    fn book(workers: usize, customers: usize) -> Engine {
        let book = Engine::on(MemStorage::new(), Options::default().workers(workers)).unwrap();
        let start = Timestamp::parse("2025-01-31T00:00:00Z").unwrap();
        book.advance_to(start, &mut collect).unwrap();
        let product = CreateProduct { id: Some(id("prod")), ..CreateProduct::new("Seat") };
        book.execute(product).unwrap();
        let mut price = CreatePrice::new(id::<ProductId>("prod"), Currency::USD);
        price.unit_amount = Some(2900);
        price.recurring = Some(RecurringInput::every(IntervalUnit::Month));
        let Output::Price(price) = book.execute(price).unwrap() else { panic!("no price") };
        for n in 0..customers {
            let customer: CustomerId = id(&format!("cus_{n}"));
            let create = CreateCustomer {
                id: Some(customer.clone()),
                payment_method: Some("pm".to_owned()),
                ..CreateCustomer::default()
            };
            book.execute(create).unwrap();
            let mut subscription = CreateSubscription::new(customer, [price.id.clone()]);
            subscription.trial_period_days = (n % 9 == 5).then_some(40);
            book.execute(Command::from(subscription)).unwrap();
        }
        book
    }

    fn id<I: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> I {
        text.parse().unwrap()
    }

    /// Much is decided ahead, what is not comes out the same, and the number of threads does not show.
    #[test]
    fn due_work_of_many_is_decided_ahead_and_the_log_is_that_of_one_thread() {
        let until = Timestamp::parse("2025-07-01T00:00:00Z").unwrap();
        let mut heads = Vec::new();
        let most = 1_500..2_739;
        for (workers, some) in
            [(0, 0..1), (1, most.clone()), (2, most.clone()), (3, most.clone()), (usize::MAX, most)]
        {
            let book = book(workers, 150);
            let worked = book.advance_to(until, &mut collect).unwrap().worked;
            let hits = book.read(|book| Ok(book.lookahead.hits)).unwrap();
            assert!(some.contains(&hits), "{hits} with {workers}, {worked} worked");
            heads.push(book.receipt().unwrap().head);
        }
        assert!(heads.iter().all(|head| *head == heads[0]));
    }
}
