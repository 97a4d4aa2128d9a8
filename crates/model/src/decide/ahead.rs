//! Deciding due work before its turn.
//!
//! Customers do not depend on each other, so the due work of many of them can be decided side by side
//! on the state as it is, and applied in turn. What a decision rests on is kept beside it: what had
//! happened to its customer, how many objects there were, which catalog, what had been redeemed. Where
//! any of that is another when the turn comes, the decision counts for nothing and is made again. So
//! it does not show in a log whether due work was decided ahead.

use super::{Context, Tx};
use crate::answer::Target;
use crate::due::{DueKey, DueTarget};
use crate::{Event, State, UsageSource};
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::{Outcome, PaymentAttemptId};
use counterfoil_core::Timestamp;

/// One item of due work, decided before its turn.
#[derive(Debug, Clone)]
pub struct Ahead {
    /// The work.
    pub key: DueKey,
    /// The time of the decision: when the work falls due, or later.
    pub at: Timestamp,
    /// What doing it comes to.
    pub work: Step,
    /// What follows if the attempt to collect that it opens succeeds at once.
    pub success: Option<(PaymentAttemptId, Step)>,
}

/// A decision that waits for its turn, and what it rests on.
#[derive(Debug, Clone)]
pub struct Step {
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The object that the decision is about.
    pub target: Target,
    rests_on: Basis,
}

impl Step {
    /// How many events had happened to the customer that it is about.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.rests_on.version
    }
}

/// What a decision about one customer rests on, beside the usage that it read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Basis {
    customer: CustomerId,
    version: u64,
    created: u64,
    redeemed: u64,
    catalog_version: u64,
    book_version: u64,
}

impl State {
    /// The work that is due first, up to an instant and so many items of it.
    #[must_use]
    pub fn due_until(&self, until: Timestamp, items_max: usize) -> Vec<DueKey> {
        self.due.iter().take_while(|key| key.at <= until).take(items_max).collect()
    }

    /// How many objects were created so far.
    #[must_use]
    pub fn created_count(&self) -> u64 {
        self.created
    }

    /// Whether a decision that was made ahead is the one that would be made now. Whether it still is
    /// its turn, and whether usage has come since, is another question.
    #[must_use]
    pub fn bears(&self, step: &Step) -> bool {
        self.basis(&step.rests_on.customer).as_ref() == Some(&step.rests_on)
    }

    fn basis(&self, customer: &CustomerId) -> Option<Basis> {
        Some(Basis {
            version: self.shards.version(customer)?,
            customer: customer.clone(),
            created: self.created,
            redeemed: self.redeemed,
            catalog_version: self.catalog_version,
            book_version: self.book_version,
        })
    }

    /// Makes a fork what it was a fork of, after due work and outcomes were decided in it. What only
    /// commands change is not looked at.
    fn return_to(&mut self, base: &Self) {
        let Self {
            settings: _,
            now,
            products,
            prices,
            meters,
            alerts,
            coupons,
            promotion_codes,
            tax_rates,
            thresholds,
            redeemed,
            shards,
            owners,
            due,
            journal: _,
            journal_fault: _,
            unposted: _,
            created,
            transacted,
            book_version,
            catalog_version,
            events,
            key_slots: _,
            erased_slots: _,
            keys: _,
            key_times: _,
            shelf: _,
            closing,
        } = self;
        *now = base.now;
        closing.clone_from(&base.closing);
        products.return_to(&base.products);
        prices.return_to(&base.prices);
        meters.return_to(&base.meters);
        alerts.return_to(&base.alerts);
        coupons.return_to(&base.coupons);
        promotion_codes.return_to(&base.promotion_codes);
        tax_rates.return_to(&base.tax_rates);
        if thresholds.size() != base.thresholds.size() {
            thresholds.clone_from(&base.thresholds);
        }
        shards.return_to(&base.shards);
        owners.return_to(&base.owners);
        due.return_to(&base.due);
        (*redeemed, *created, *transacted) = (base.redeemed, base.created, base.transacted);
        (*book_version, *catalog_version) = (base.book_version, base.catalog_version);
        *events = base.events;
    }

    fn customer_of_due(&self, key: &DueKey) -> Option<CustomerId> {
        let owners = &self.owners;
        match &key.target {
            DueTarget::Subscription(id) => owners.subscriptions.get(id).map(|id| id.into_owned()),
            DueTarget::Invoice(id) => owners.invoices.get(id).map(|id| id.into_owned()),
            DueTarget::SubscriptionSchedule(id) => owners.schedules.get(id).cloned(),
            DueTarget::Quote(id) => owners.quotes.get(id).cloned(),
        }
    }
}

/// Decides items of due work ahead, each as if those before it in `keys`, and `created` objects, had
/// been there: by how many the count is off is seen when the turn comes. `clock` is the time of the
/// book. An item that comes to nothing, or to what cannot be, is left out.
#[must_use]
pub fn work_ahead(
    state: &State,
    usage: &dyn UsageSource,
    clock: Timestamp,
    keys: &[DueKey],
    mut created: u64,
) -> Vec<Ahead> {
    let mut ahead = Vec::with_capacity(keys.len());
    // One fork for all of them: what an item changed in it is taken back before that of another
    // customer.
    let mut fork = State { unposted: true, ..state.clone() };
    let mut latest: Option<CustomerId> = None;
    for key in keys {
        let at = clock.max(key.at);
        let context = Context { at, usage, key_slot: state.key_slots() };
        let mut tx = Tx::on(fork, &context);
        tx.bring_near(key);
        let customer = tx.state.customer_of_due(key);
        if customer.is_none() || customer != latest {
            tx.state.return_to(state);
            tx.state.created = created;
            tx.bring_near(key);
        }
        let decided = customer.as_ref().and_then(|customer| tx.ahead(key, customer));
        latest = None;
        if let Some((decided, goes_on)) = decided {
            created = tx.state.created;
            ahead.push(decided);
            latest = customer.filter(|_| goes_on);
        }
        fork = tx.finish().1;
    }
    ahead
}

impl Tx<'_> {
    /// One item of a customer's, and whether another one can be decided after it.
    fn ahead(&mut self, key: &DueKey, customer: &CustomerId) -> Option<(Ahead, bool)> {
        let rests_on = self.state.basis(customer)?;
        let target = self.work_on(key).ok()?;
        let work = Step { events: self.take_events(), target, rests_on };
        let created = self.state.created;
        let attempt = work.events.iter().find_map(Event::opens_attempt);
        let success = attempt.and_then(|attempt| self.success_ahead(attempt, customer));
        // What was tried in vain is left in the fork.
        let goes_on = attempt.is_none() || success.is_some();
        if !goes_on {
            self.state.created = created;
        }
        let success = attempt.cloned().zip(success);
        Some((Ahead { key: key.clone(), at: self.at(), work, success }, goes_on))
    }

    /// What follows if an attempt succeeds. Where an outcome sets off more than its own decision, it is
    /// not decided ahead.
    fn success_ahead(&mut self, attempt: &PaymentAttemptId, customer: &CustomerId) -> Option<Step> {
        let next = self.state.next_due_of(customer);
        if self.state.corrects_late_usage() || next.is_some_and(|next| next.at <= self.at()) {
            return None;
        }
        let rests_on = self.state.basis(customer)?;
        let target = self.resolve_attempt(attempt, &Outcome::Succeeded).ok()?;
        self.check_possible().ok()?;
        Some(Step { events: self.take_events(), target, rests_on })
    }
}
