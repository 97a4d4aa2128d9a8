//! Random things that anybody may do with a book.

use super::changes::{Change, changes};
use super::{
    CALLS, begin, customer, customer_id, invoice_id, mark, price_id, subscription, subscription_id,
};
use counterfoil::{
    ActivateAlert, AlertId, ArchiveAlert, Attempt, CancelSubscription, CollectionMethod, Command,
    CreateAlert, CreateBalanceTransaction, CreateInvoice, CreateInvoiceItem, CreateMeterEvent,
    CreateMeterEventAdjustment, Currency, DeactivateAlert, DeactivateMeter, Decimal12, DeclineCode,
    DeleteCustomer, DeleteInvoice, DeleteInvoiceItem, Engine, Error, EventTime, FailPaymentAttempt,
    FinalizeInvoice, InvoiceId, ItemChange, MarkInvoiceUncollectible, MemStorage, Options, Outcome,
    Patch, PayInvoice, PaymentAttemptId, PendingItems, ProrationBehavior, ReactivateMeter, Request,
    SendInvoice, SucceedPaymentAttempt, Timestamp, UpdateCustomer, UpdateInvoiceItem,
    UpdateSubscription, VoidInvoice,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt;

/// The alphabet is small, so that commands meet.
const CUSTOMERS: u8 = 3;
const SUBSCRIPTIONS: u8 = 3;
const INVOICES: u8 = 2;
const ITEMS: u8 = 2;

const CARDS: [&str; 4] = ["", "pm_good", "pm_bad", "pm_flaky"];
const PLANS: [&[&str]; 6] = [
    &["price_week"],
    &["price_month"],
    &["price_month", "price_year"],
    &["price_month", "price_calls"],
    &["price_calls"],
    &["price_week", "price_year"],
];

/// Something that somebody tries.
#[derive(Debug, Clone)]
pub enum Act {
    Customer { cus: u8, card: usize, balance: i64 },
    Card { cus: u8, card: usize },
    Credit { cus: u8, amount: i64 },
    DeleteCustomer { cus: u8 },
    Subscribe { sub: u8, cus: u8, plan: usize, trial_days: u32, sent: bool, anchor_days: i64 },
    Seats { sub: u8, quantity: i64 },
    SwapPlan { sub: u8, plan: usize },
    CancelAtEnd { sub: u8, yes: bool },
    Cancel { sub: u8, invoice_now: bool },
    Change(Change),
    Item { item: u8, cus: u8, sub: Option<u8>, invoice: Option<u8>, amount: i64 },
    ChangeItem { item: u8, amount: i64 },
    DeleteItem { item: u8 },
    Invoice { invoice: u8, cus: u8, include: bool, auto: bool, sent: bool },
    OnInvoice { which: Which, verb: Verb },
    Resolve { nth: usize, paid: bool },
    Usage { event: u8, cus: u8, value: i64, age_hours: i64 },
    CancelUsage { event: u8 },
    CorrectUsage { event: u8, value: i64, late: bool },
    Meter { active: bool },
    Alert { alert: u8, cus: Option<u8>, gte: i64 },
    OnAlert { alert: u8, verb: AlertVerb },
    Advance { hours: i64, gateway: Gateway },
    Tick { hours: i64, budget: usize },
}

/// An invoice: one made by hand, or the latest of a subscription.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    ByHand(u8),
    LatestOf(u8),
}

#[derive(Debug, Clone, Copy)]
pub enum Verb {
    Finalize,
    Send,
    Pay,
    PaidElsewhere,
    Void,
    Uncollectible,
    Delete,
}

#[derive(Debug, Clone, Copy)]
pub enum AlertVerb {
    Activate,
    Deactivate,
    Archive,
}

#[derive(Debug, Clone, Copy)]
pub enum Gateway {
    ByCard,
    Declines,
    Silent,
}

impl Gateway {
    fn outcome(self, attempt: &Attempt) -> Option<Outcome> {
        match self {
            Self::ByCard => super::gateway(attempt),
            Self::Declines => Some(Outcome::Failed(DeclineCode::GenericDecline)),
            Self::Silent => None,
        }
    }
}

/// What is tried, one thing a line.
#[derive(Clone)]
pub struct Acts(pub Vec<Act>);

impl fmt::Debug for Acts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(n, act)| write!(f, "\n    {n:2} {act:?}"))
    }
}

pub fn acts() -> impl Strategy<Value = Acts> {
    let (cus, sub) = (|| 0..CUSTOMERS, || 0..SUBSCRIPTIONS);
    let card = || 0..CARDS.len();
    let amount = || prop_oneof![Just(0), Just(20), -6_000i64..6_000, Just(2_900)];
    let which = prop_oneof![
        (0..INVOICES).prop_map(Which::ByHand),
        (0..SUBSCRIPTIONS).prop_map(Which::LatestOf),
    ];
    let verb = prop_oneof![
        4 => Just(Verb::Finalize),
        1 => Just(Verb::Send),
        4 => Just(Verb::Pay),
        1 => Just(Verb::PaidElsewhere),
        2 => Just(Verb::Void),
        2 => Just(Verb::Uncollectible),
        1 => Just(Verb::Delete),
    ];
    let hours = || prop_oneof![Just(0i64), Just(1), 1i64..72, 100i64..1_000, Just(-1)];
    let gateway = prop_oneof![
        2 => Just(Gateway::ByCard),
        1 => Just(Gateway::Declines),
        1 => Just(Gateway::Silent),
    ];
    let alert_verb = prop_oneof![
        2 => Just(AlertVerb::Activate),
        1 => Just(AlertVerb::Deactivate),
        1 => Just(AlertVerb::Archive),
    ];
    let trial_days = prop_oneof![3 => Just(0u32), 1 => 1u32..40, 1 => Just(731)];
    let anchor_days = prop_oneof![4 => Just(0i64), 1 => -1i64..35];
    let act = prop_oneof![
        3 => (cus(), card(), amount())
            .prop_map(|(cus, card, balance)| Act::Customer { cus, card, balance }),
        2 => (cus(), card()).prop_map(|(cus, card)| Act::Card { cus, card }),
        2 => (cus(), amount()).prop_map(|(cus, amount)| Act::Credit { cus, amount }),
        1 => (1..CUSTOMERS).prop_map(|cus| Act::DeleteCustomer { cus }),
        6 => (sub(), cus(), 0..PLANS.len(), trial_days, any::<bool>(), anchor_days).prop_map(
            |(sub, cus, plan, trial_days, sent, anchor_days)| {
                Act::Subscribe { sub, cus, plan, trial_days, sent, anchor_days }
            }
        ),
        2 => (sub(), -1i64..50).prop_map(|(sub, quantity)| Act::Seats { sub, quantity }),
        1 => (sub(), 0..PLANS.len()).prop_map(|(sub, plan)| Act::SwapPlan { sub, plan }),
        2 => (sub(), any::<bool>()).prop_map(|(sub, yes)| Act::CancelAtEnd { sub, yes }),
        1 => (sub(), any::<bool>())
            .prop_map(|(sub, invoice_now)| Act::Cancel { sub, invoice_now }),
        8 => changes(SUBSCRIPTIONS, CUSTOMERS).prop_map(Act::Change),
        4 => (0..ITEMS, cus(), option(sub()), option(0..INVOICES), amount()).prop_map(
            |(item, cus, sub, invoice, amount)| Act::Item { item, cus, sub, invoice, amount }
        ),
        1 => (0..ITEMS, amount()).prop_map(|(item, amount)| Act::ChangeItem { item, amount }),
        1 => (0..ITEMS).prop_map(|item| Act::DeleteItem { item }),
        3 => (0..INVOICES, cus(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(invoice, cus, include, auto, sent)| Act::Invoice { invoice, cus, include, auto, sent }
        ),
        8 => (which, verb).prop_map(|(which, verb)| Act::OnInvoice { which, verb }),
        4 => (0usize..2, any::<bool>()).prop_map(|(nth, paid)| Act::Resolve { nth, paid }),
        4 => (0u8..6, cus(), -5i64..900, -1i64..900)
            .prop_map(|(event, cus, value, age_hours)| Act::Usage { event, cus, value, age_hours }),
        1 => (0u8..6).prop_map(|event| Act::CancelUsage { event }),
        1 => (0u8..6, -5i64..900, any::<bool>())
            .prop_map(|(event, value, late)| Act::CorrectUsage { event, value, late }),
        1 => any::<bool>().prop_map(|active| Act::Meter { active }),
        2 => (0u8..3, option(cus()), -1i64..900)
            .prop_map(|(alert, cus, gte)| Act::Alert { alert, cus, gte }),
        1 => (0u8..3, alert_verb).prop_map(|(alert, verb)| Act::OnAlert { alert, verb }),
        9 => (hours(), gateway).prop_map(|(hours, gateway)| Act::Advance { hours, gateway }),
        3 => (hours(), 0usize..4).prop_map(|(hours, budget)| Act::Tick { hours, budget }),
    ];
    (beginning(), vec(act, 1..40)).prop_map(|(first, then)| Acts([first, then].concat()))
}

/// Two customers with a subscription each: without them most of the rest is refused.
fn beginning() -> impl Strategy<Value = Vec<Act>> {
    let one = |n| {
        let parts = (0..CARDS.len(), -3_000i64..3_000, 0..PLANS.len(), 0u32..20, any::<bool>());
        parts.prop_map(move |(card, balance, plan, trial_days, sent)| {
            let (cus, sub, anchor_days) = (n, n, 0);
            let subscribe = Act::Subscribe { sub, cus, plan, trial_days, sent, anchor_days };
            vec![Act::Customer { cus, card, balance }, subscribe]
        })
    };
    (one(0), one(1)).prop_map(|(left, right)| [left, right].concat())
}

fn option<T: fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    proptest::option::weighted(0.3, value)
}

fn cus(n: u8) -> String {
    format!("cus_{n}")
}

fn sub(n: u8) -> String {
    format!("sub_{n}")
}

fn alert_id(n: u8) -> AlertId {
    format!("alrt_{n}").parse().unwrap()
}

/// How a command is sent.
#[derive(Clone, Copy, PartialEq)]
pub enum Sending {
    /// Without a key.
    Bare,
    /// Under a key of its own.
    Keyed,
    /// Twice under a key of its own.
    Twice,
}

pub struct World {
    pub book: Engine,
    pub storage: MemStorage,
    sending: Sending,
    /// How many commands were sent.
    sent: usize,
}

impl World {
    pub fn new(sending: Sending) -> Self {
        let storage = MemStorage::new();
        let book = Engine::on(storage.clone(), Options::default()).unwrap();
        begin(&book);
        Self { book, storage, sending, sent: 0 }
    }

    /// Opens the book again, as after a crash.
    pub fn reopen_with(&mut self, options: Options) {
        self.book = Engine::in_memory();
        self.book = Engine::on(self.storage.clone(), options).unwrap();
    }

    /// Does one thing, and says what was wrong with it.
    pub fn act(&mut self, act: &Act) -> Result<(), Error> {
        let hence = |hours: &i64| self.now().checked_add_seconds(hours * 3_600).unwrap();
        match act {
            Act::Advance { hours, gateway } => {
                let mut source = |attempt: &Attempt| gateway.outcome(attempt);
                self.book.advance_to(hence(hours), &mut source).map(drop)
            }
            Act::Tick { hours, budget } => self.book.tick(hence(hours), *budget).map(drop),
            Act::Usage { event, cus: customer, value, age_hours } => {
                let id = customer_id(&cus(*customer));
                let time = EventTime::from_timestamp(hence(&-age_hours)).unwrap();
                let event =
                    CreateMeterEvent::new(CALLS, &id, value).identifier(format!("e{event}"));
                self.book.meter_events().create(&event.at(time)).map(drop)
            }
            Act::CancelUsage { event } => {
                let cancel = CreateMeterEventAdjustment::cancel(CALLS, format!("e{event}"));
                self.book.meter_events().adjust(&cancel).map(drop)
            }
            Act::CorrectUsage { event, value, late } => {
                let value = Decimal12::from(*value);
                let mut correct =
                    CreateMeterEventAdjustment::correct(CALLS, format!("e{event}"), value);
                if *late {
                    correct = correct.while_remembered();
                }
                self.book.meter_events().adjust(&correct).map(drop)
            }
            other => match self.command(other) {
                Some(command) => self.send(command),
                None => Ok(()),
            },
        }
    }

    pub fn now(&self) -> Timestamp {
        self.book.now().unwrap().unwrap()
    }

    fn send(&mut self, command: Command) -> Result<(), Error> {
        self.sent += 1;
        if self.sending == Sending::Bare {
            return self.book.execute(command).map(drop);
        }
        let request = Request::from(command).idempotency_key(format!("key-{}", self.sent));
        let first = self.book.execute(request.clone());
        if self.sending == Sending::Keyed {
            return first.map(drop);
        }
        let before = mark(&self.book);
        let second = self.book.execute(request);
        assert_eq!(format!("{first:?}"), format!("{second:?}"));
        assert_eq!(mark(&self.book), before, "a command that was sent again changed something");
        first.map(drop)
    }

    /// The command of an act; none where it is about something that is not there to be named.
    fn command(&self, act: &Act) -> Option<Command> {
        Some(match act {
            Act::Customer { cus: id, card, balance } => {
                let mut create = customer(&cus(*id), CARDS[*card]);
                create.balance = Some(*balance).filter(|balance| *balance != 0);
                create.into()
            }
            Act::Card { cus: id, card } => {
                let mut update = UpdateCustomer::new(customer_id(&cus(*id)));
                update.payment_method = match CARDS[*card] {
                    "" => Patch::Clear,
                    card => Patch::Set(card.to_owned()),
                };
                update.into()
            }
            Act::Credit { cus: id, amount } => CreateBalanceTransaction {
                customer: customer_id(&cus(*id)),
                amount: *amount,
                currency: Currency::USD,
                description: None,
                metadata: None,
            }
            .into(),
            Act::DeleteCustomer { cus: id } => DeleteCustomer { id: customer_id(&cus(*id)) }.into(),
            Act::Meter { active: true } => {
                ReactivateMeter { id: "mtr_calls".parse().unwrap() }.into()
            }
            Act::Meter { active: false } => {
                DeactivateMeter { id: "mtr_calls".parse().unwrap() }.into()
            }
            Act::Alert { alert, cus: customer, gte } => {
                let mut create =
                    CreateAlert::new("much", "mtr_calls".parse().unwrap(), Decimal12::from(*gte));
                create.id = Some(alert_id(*alert));
                match customer {
                    Some(customer) => create.of_customer(customer_id(&cus(*customer))).into(),
                    None => create.into(),
                }
            }
            Act::OnAlert { alert, verb } => {
                let id = alert_id(*alert);
                match verb {
                    AlertVerb::Activate => ActivateAlert { id }.into(),
                    AlertVerb::Deactivate => DeactivateAlert { id }.into(),
                    AlertVerb::Archive => ArchiveAlert { id }.into(),
                }
            }
            Act::Resolve { nth, paid } => self.outcome(*nth, *paid)?,
            Act::Change(change) => change.command(&self.book, self.now()),
            Act::OnInvoice { which, verb } => on_invoice(self.invoice(*which)?, *verb),
            act => self.of_subscription(act).unwrap_or_else(|| of_item(act)),
        })
    }

    fn of_subscription(&self, act: &Act) -> Option<Command> {
        Some(match act {
            Act::Subscribe { sub: id, cus: customer, plan, trial_days, sent, anchor_days } => {
                let [first, rest @ ..] = PLANS[*plan] else { return None };
                let mut create = subscription(&sub(*id), &cus(*customer), first);
                create.items.extend(rest.iter().map(|price| price_id(price).into()));
                create.trial_period_days = Some(*trial_days).filter(|days| *days > 0);
                create.billing_cycle_anchor = Some(*anchor_days)
                    .filter(|days| *days != 0)
                    .and_then(|days| self.now().checked_add_days(days).ok());
                // Prorations of the first period are not built.
                create.proration_behavior =
                    create.billing_cycle_anchor.map(|_| ProrationBehavior::None);
                if *sent {
                    create.collection_method = CollectionMethod::SendInvoice;
                    create.days_until_due = Some(7);
                }
                create.into()
            }
            Act::Seats { sub: id, quantity } => {
                let item = self.first_item(*id);
                let quantity = Some(*quantity);
                changed(*id, vec![ItemChange { id: item, quantity, ..ItemChange::default() }])
            }
            Act::SwapPlan { sub: id, plan } => {
                let gone = ItemChange { deleted: true, ..ItemChange::default() };
                let gone = ItemChange { id: self.first_item(*id), ..gone };
                let prices = PLANS[*plan].iter().map(|price| Some(price_id(price)));
                let added = prices.map(|price| ItemChange { price, ..ItemChange::default() });
                changed(*id, std::iter::once(gone).chain(added).collect())
            }
            Act::CancelAtEnd { sub: id, yes } => {
                let mut update = UpdateSubscription::new(subscription_id(&sub(*id)));
                update.cancel_at_period_end = Some(*yes);
                update.into()
            }
            Act::Cancel { sub: id, invoice_now } => CancelSubscription {
                id: subscription_id(&sub(*id)),
                invoice_now: *invoice_now,
                prorate: false,
            }
            .into(),
            _ => return None,
        })
    }

    fn first_item(&self, id: u8) -> Option<counterfoil::SubscriptionItemId> {
        let found = self.book.subscriptions().retrieve(&subscription_id(&sub(id))).ok()?;
        Some(found.items.first()?.id.clone())
    }

    fn invoice(&self, which: Which) -> Option<InvoiceId> {
        match which {
            Which::ByHand(n) => Some(invoice_id(&format!("in_hand_{n}"))),
            Which::LatestOf(n) => {
                let found = self.book.subscriptions().retrieve(&subscription_id(&sub(n))).ok()?;
                found.latest_invoice
            }
        }
    }

    fn outcome(&self, nth: usize, paid: bool) -> Option<Command> {
        let open = self.book.payment_attempts().open().unwrap();
        let id = match open.get(nth) {
            Some(attempt) => attempt.id.clone(),
            None => PaymentAttemptId::new("pa_none").unwrap(),
        };
        Some(if paid {
            SucceedPaymentAttempt { id, amount: None }.into()
        } else {
            FailPaymentAttempt { id, code: Some("insufficient_funds".into()) }.into()
        })
    }
}

fn changed(id: u8, items: Vec<ItemChange>) -> Command {
    let mut update = UpdateSubscription::new(subscription_id(&sub(id)));
    update.proration_behavior = Some(ProrationBehavior::None);
    update.items = items;
    update.into()
}

fn of_item(act: &Act) -> Command {
    let item_id = |n: &u8| format!("ii_{n}").parse().unwrap();
    match act {
        Act::Item { item, cus: customer, sub: of, invoice, amount } => CreateInvoiceItem {
            id: Some(item_id(item)),
            invoice: invoice.map(|n| invoice_id(&format!("in_hand_{n}"))),
            subscription: of.map(|n| subscription_id(&sub(n))),
            ..CreateInvoiceItem::amount(customer_id(&cus(*customer)), *amount)
        }
        .into(),
        Act::ChangeItem { item, amount } => {
            let amount = Some(*amount);
            UpdateInvoiceItem { amount, ..UpdateInvoiceItem::new(item_id(item)) }.into()
        }
        Act::DeleteItem { item } => DeleteInvoiceItem { id: item_id(item) }.into(),
        Act::Invoice { invoice, cus: customer, include, auto, sent } => {
            let mut create = CreateInvoice::new(customer_id(&cus(*customer)));
            create.id = Some(invoice_id(&format!("in_hand_{invoice}")));
            create.auto_advance = *auto;
            if *include {
                create.pending_invoice_items_behavior = PendingItems::Include;
            }
            if *sent {
                create.collection_method = CollectionMethod::SendInvoice;
                create.days_until_due = Some(3);
            }
            create.into()
        }
        other => unreachable!("{other:?} is no command"),
    }
}

fn on_invoice(id: InvoiceId, verb: Verb) -> Command {
    let pay = |id, paid_out_of_band| PayInvoice {
        id,
        payment_method: None,
        paid_out_of_band,
        forgive: false,
    };
    match verb {
        Verb::Finalize => FinalizeInvoice { id, auto_advance: None }.into(),
        Verb::Send => SendInvoice { id }.into(),
        Verb::Pay => pay(id, false).into(),
        Verb::PaidElsewhere => pay(id, true).into(),
        Verb::Void => VoidInvoice { id }.into(),
        Verb::Uncollectible => MarkInvoiceUncollectible { id }.into(),
        Verb::Delete => DeleteInvoice { id }.into(),
    }
}
