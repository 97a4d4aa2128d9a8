//! Whatever anybody does in whatever order: every invariant holds after every step, a refusal
//! changes nothing, sending a command again under its key adds nothing, and the log replays to the
//! same book.

mod support;

use counterfoil::{Charge, Derivation, Engine, Error, InvoiceStatus, Options, Period};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use support::acts::{Sending, World, acts};
use support::{assert_same_log, assert_sound, mark};

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..<_>::default() })]

    #[test]
    fn invariants_hold_and_refusals_change_nothing(acts in acts()) {
        let mut world = World::new(Sending::Bare);
        for (n, act) in acts.0.iter().enumerate() {
            let (before, then) = (mark(&world.book), world.now());
            if let Err(error) = world.act(act) {
                prop_assert!(matches!(error, Error::Refused(_)), "{n}: {error}");
                let after = (mark(&world.book), world.now());
                prop_assert_eq!(after, (before, then), "{}: {}", n, error);
            }
            if let Err(violation) = world.book.check_invariants().unwrap() {
                prop_assert!(false, "after {n}: {violation}");
            }
            for customer in world.book.customers().list().unwrap() {
                prop_assert_eq!(customer.parked, None, "after {}", n);
            }
        }
        assert_usage_is_charged_once(&world.book);
        let replayed = Engine::on(world.storage.copy(), Options::default()).unwrap();
        assert_same_log(&world.book, &replayed);
    }

    #[test]
    fn sending_a_command_again_adds_nothing(acts in acts()) {
        let (mut once, mut twice) = (World::new(Sending::Keyed), World::new(Sending::Twice));
        for (n, act) in acts.0.iter().enumerate() {
            let answers = (once.act(act).err(), twice.act(act).err());
            let (left, right) = (format!("{:?}", answers.0), format!("{:?}", answers.1));
            prop_assert_eq!(left, right, "{}", n);
        }
        assert_same_log(&once.book, &twice.book);
        assert_sound(&twice.book);
        let replayed = Engine::on(twice.storage.copy(), Options::default()).unwrap();
        assert_same_log(&twice.book, &replayed);
    }
}

/// No second of an item's usage is charged twice, or waits to be (rule 6.7). The tiers of a price
/// share one reading of one period.
fn assert_usage_is_charged_once(book: &Engine) {
    let state = book.state().unwrap();
    let mut periods: BTreeMap<String, BTreeSet<(i64, i64)>> = BTreeMap::new();
    let mut note = |item: &dyn ToString, period: Period| {
        if !period.is_empty() {
            let seconds = (period.start.unix(), period.end.unix());
            periods.entry(item.to_string()).or_default().insert(seconds);
        }
    };
    for shard in state.shards() {
        for invoice in shard.invoices() {
            for charge in &invoice.charges {
                match charge {
                    Charge::Usage(usage) => note(&usage.subscription_item, usage.period),
                    Charge::Line(line) if invoice.status != InvoiceStatus::Void => {
                        if let (Derivation::Metered { .. }, Some(item)) =
                            (&line.derivation, &line.subscription_item)
                        {
                            note(item, line.period);
                        }
                    }
                    _ => {}
                }
            }
        }
        for item in shard.invoice_items() {
            if let (Some(Derivation::Metered { .. }), Some(of)) =
                (&item.derivation, &item.subscription_item)
            {
                note(of, item.period);
            }
        }
        for subscription in shard.subscriptions().into_iter().filter(|own| !own.is_ended()) {
            for closed in &subscription.closed_usage {
                note(&closed.charge.subscription_item, closed.charge.period);
            }
            for item in &subscription.items {
                let metered = item.quantity.is_none();
                if metered && !subscription.is_in_trial() {
                    note(&item.id, item.usage_period());
                }
            }
        }
    }
    for (item, periods) in periods {
        let mut until = i64::MIN;
        for (start, end) in periods {
            assert!(until <= start, "usage of {item} from {start} is charged twice");
            until = end;
        }
    }
}
