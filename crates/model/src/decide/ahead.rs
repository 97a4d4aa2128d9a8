//! Deciding due work before its turn.
//!
//! Customers do not depend on each other, so the due work of many of them can be decided side by side
//! on the state as it is, and applied in turn. What a decision rests on is kept beside it: the object
//! of which customer, how many objects there were, which catalog,
//! what had been redeemed. Where any of that is another when the
//! turn comes, the decision counts for nothing and is made again. So it does not show in a log whether
//! due work was decided ahead.

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
    // One fork for all of them: what each changes in it is taken back before the next.
    let mut fork = State { unposted: true, ..state.clone() };
    for key in keys {
        let at = clock.max(key.at);
        let context = Context { at, usage, key_slot: state.key_slots() };
        fork.created = created;
        let decided;
        (decided, fork) = one_ahead(fork, &context, key);
        if let Some(decided) = decided {
            created = fork.created;
            ahead.push(decided);
        }
        fork.return_to(state);
    }
    ahead
}

/// One item, and the fork in which it was decided.
fn one_ahead(fork: State, context: &Context<'_>, key: &DueKey) -> (Option<Ahead>, State) {
    let mut tx = Tx::on(fork, context);
    tx.bring_near(key);
    let customer = tx.state.customer_of_due(key);
    let rests_on = customer.and_then(|customer| tx.state.basis(&customer));
    let Some((rests_on, target)) = rests_on.zip(tx.work_on(key).ok()) else {
        return (None, tx.finish().1);
    };
    let events = tx.take_events();
    let success = tx.success_ahead(&events, &rests_on.customer);
    let work = Step { events, target, rests_on };
    (Some(Ahead { key: key.clone(), at: context.at, work, success }), tx.finish().1)
}

impl Tx<'_> {
    /// What follows if the attempt that due work opened succeeds. Where an outcome sets off more than
    /// its own decision, it is not decided ahead.
    fn success_ahead(
        &mut self,
        events: &[Event],
        customer: &CustomerId,
    ) -> Option<(PaymentAttemptId, Step)> {
        let attempt = events.iter().find_map(Event::opens_attempt)?.clone();
        let next = self.state.next_due_of(customer);
        if self.state.corrects_late_usage() || next.is_some_and(|next| next.at <= self.at()) {
            return None;
        }
        let (created, rests_on) = (self.state.created, self.state.basis(customer)?);
        let target = self.resolve_attempt(&attempt, &Outcome::Succeeded).ok();
        let Some(target) = target.filter(|_| self.check_possible().is_ok()) else {
            self.state.created = created;
            return None;
        };
        Some((attempt, Step { events: self.take_events(), target, rests_on }))
    }
}
