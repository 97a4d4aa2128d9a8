//! Random changes of subscriptions in the middle of their periods.

use super::{customer_id, price_id, subscription, subscription_id};
use counterfoil::{
    AnchorChange, BillingModeInput, BillingModeKind, CancelAt, CancelSubscription, Command, Engine,
    ItemChange, MigrateSubscription, Patch, ProrationBehavior, SubscriptionId, SubscriptionItemId,
    Timestamp, TrialEnd, UpdateSubscription,
};
use proptest::prelude::*;

const BEHAVIORS: [Option<ProrationBehavior>; 4] = [
    None,
    Some(ProrationBehavior::CreateProrations),
    Some(ProrationBehavior::AlwaysInvoice),
    Some(ProrationBehavior::None),
];
const PRICES: [&str; 4] = ["price_week", "price_month", "price_year", "price_calls"];

/// A change of a subscription, or a beginning that is not a plain one.
#[derive(Debug, Clone)]
pub struct Change {
    pub sub: u8,
    pub what: What,
    pub behavior: usize,
    /// How many hours ago time is divided; now where none.
    pub divided: Option<i64>,
}

#[derive(Debug, Clone)]
pub enum What {
    Begin { cus: u8, price: usize, classic: bool, backdated_days: i64, ends_days: Option<i64> },
    Seats(i64),
    Price(usize),
    Add(usize),
    Remove,
    Anchor,
    Trial { hours: Option<i64> },
    CancelAt { hours: Option<i64> },
    Cancel { invoice_now: bool },
    Migrate,
}

pub fn changes(subscriptions: u8, customers: u8) -> impl Strategy<Value = Change> {
    let option = |hours: std::ops::Range<i64>| proptest::option::weighted(0.7, hours);
    let begin = (0..customers, 0..PRICES.len(), any::<bool>(), -1i64..90, option(-1..90));
    let what = prop_oneof![
        3 => begin.prop_map(|(cus, price, classic, backdated_days, ends_days)| {
            What::Begin { cus, price, classic, backdated_days, ends_days }
        }),
        4 => (-1i64..50).prop_map(What::Seats),
        5 => (0..PRICES.len()).prop_map(What::Price),
        3 => (0..PRICES.len()).prop_map(What::Add),
        2 => Just(What::Remove),
        1 => Just(What::Anchor),
        1 => option(-1..900).prop_map(|hours| What::Trial { hours }),
        2 => option(-1..1_500).prop_map(|hours| What::CancelAt { hours }),
        1 => any::<bool>().prop_map(|invoice_now| What::Cancel { invoice_now }),
        1 => Just(What::Migrate),
    ];
    let divided = proptest::option::weighted(0.2, -100i64..300);
    (0..subscriptions, what, 0..BEHAVIORS.len(), divided)
        .prop_map(|(sub, what, behavior, divided)| Change { sub, what, behavior, divided })
}

impl Change {
    /// The command, as the book stands.
    pub fn command(&self, book: &Engine, now: Timestamp) -> Command {
        let hence = |hours: i64| now.checked_add_seconds(hours * 3_600).unwrap();
        let id = subscription_id(&format!("sub_{}", self.sub));
        let mut update = UpdateSubscription::new(id.clone());
        update.proration_behavior = BEHAVIORS[self.behavior];
        update.proration_date = self.divided.map(|hours| hence(-hours));
        match &self.what {
            What::Begin { .. } => return self.begin(now),
            What::Cancel { invoice_now } => {
                let invoice_now = *invoice_now;
                return CancelSubscription { id, invoice_now, prorate: true }.into();
            }
            What::Migrate => {
                let billing_mode =
                    BillingModeInput { kind: BillingModeKind::Flexible, flexible: None };
                return MigrateSubscription { id, billing_mode }.into();
            }
            What::Anchor => update.billing_cycle_anchor = Some(AnchorChange::Now),
            What::Trial { hours } => {
                update.trial_end =
                    Some(hours.map_or(TrialEnd::Now, |hours| TrialEnd::At(hence(hours))));
            }
            What::CancelAt { hours: None } => update.cancel_at = Patch::Clear,
            What::CancelAt { hours: Some(hours) } => {
                update.cancel_at = Patch::Set(CancelAt::At(hence(*hours)));
            }
            What::Seats(quantity) => {
                let quantity = Some(*quantity);
                update.items = of_first(book, &id, |item| item.quantity = quantity);
            }
            What::Price(price) => {
                let price = Some(price_id(PRICES[*price]));
                update.items = of_first(book, &id, |item| item.price = price);
            }
            What::Remove => update.items = of_first(book, &id, |item| item.deleted = true),
            What::Add(price) => {
                let price = Some(price_id(PRICES[*price]));
                update.items = vec![ItemChange { price, ..ItemChange::default() }];
            }
        }
        update.into()
    }

    fn begin(&self, now: Timestamp) -> Command {
        let What::Begin { cus, price, classic, backdated_days, ends_days } = self.what else {
            unreachable!("{self:?} begins nothing");
        };
        let (sub, cus) = (format!("sub_{}", self.sub), format!("cus_{cus}"));
        let mut create = subscription(&sub, customer_id(&cus).as_str(), PRICES[price]);
        create.proration_behavior = BEHAVIORS[self.behavior];
        if classic {
            let kind = BillingModeKind::Classic;
            create.billing_mode = Some(BillingModeInput { kind, flexible: None });
        }
        if backdated_days != 0 {
            create.backdate_start_date = now.checked_add_days(-backdated_days).ok();
        }
        create.cancel_at = ends_days.map(|days| CancelAt::At(now.checked_add_days(days).unwrap()));
        create.into()
    }
}

fn of_first(
    book: &Engine,
    id: &SubscriptionId,
    change: impl FnOnce(&mut ItemChange),
) -> Vec<ItemChange> {
    let found = book.subscriptions().retrieve(id).ok();
    let first = found.and_then(|found| Some(found.items.first()?.id.clone()));
    let id: Option<SubscriptionItemId> = first.or_else(|| "si_none".parse().ok());
    let mut item = ItemChange { id, ..ItemChange::default() };
    change(&mut item);
    vec![item]
}
