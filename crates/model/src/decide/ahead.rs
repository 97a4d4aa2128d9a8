//! Deciding due work before its turn.
//!
//! Customers do not depend on each other, so the due work of many of them can be decided side by side
//! on the state as it is, and applied in turn. What a decision rests on is kept beside it: the object
//! of which customer, how many objects there were, which catalog,
//! what had been redeemed. Where any of that is another when the
//! turn comes, the decision counts for nothing and is made again. So it does not show in a log whether
//! due work was decided ahead.

use super::{Context, Decision, Tx, work};
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
            version: self.shards.get(customer)?.version,
            customer: customer.clone(),
            created: self.created,
            redeemed: self.redeemed,
            catalog_version: self.catalog_version,
            book_version: self.book_version,
        })
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
/// book. An item that comes to nothing is left out.
#[must_use]
pub fn work_ahead(
    state: &State,
    usage: &dyn UsageSource,
    clock: Timestamp,
    keys: &[DueKey],
    created: u64,
) -> Vec<Ahead> {
    let mut base = state.clone();
    base.created = created;
    let mut ahead = Vec::with_capacity(keys.len());
    for key in keys {
        let at = clock.max(key.at);
        let context = Context { at, usage, key_slot: base.key_slots() };
        if let Some((decided, after)) = one_ahead(&base, &context, key) {
            base.created = after;
            ahead.push(decided);
        }
    }
    ahead
}

/// One item, and how many objects there are after it.
fn one_ahead(base: &State, context: &Context<'_>, key: &DueKey) -> Option<(Ahead, u64)> {
    let customer = base.customer_of_due(key)?;
    let rests_on = base.basis(&customer)?;
    let Decision { events, mut state, target } = work(base, context, key)?;
    // Where an outcome sets off more than its own decision, it is not decided ahead.
    let attempt = events.iter().find_map(Event::opens_attempt).filter(|_| {
        !state.corrects_late_usage()
            && state.next_due_of(&customer).is_none_or(|next| next.at > context.at)
    });
    let attempt = attempt.cloned();
    let mut created = state.created;
    let success = attempt.and_then(|attempt| {
        let rests_on = state.basis(&customer)?;
        let mut tx = Tx::on(std::mem::take(&mut state), context);
        let target = tx.resolve_attempt(&attempt, &Outcome::Succeeded).ok()?;
        tx.check_possible().ok()?;
        let (events, after) = tx.finish();
        created = after.created;
        Some((attempt, Step { events, target, rests_on }))
    });
    let work = Step { events, target, rests_on };
    Some((Ahead { key: key.clone(), at: context.at, work, success }, created))
}
