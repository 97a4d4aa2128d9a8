//! Whatever anybody does in whatever order: every invariant holds after every step, a refusal
//! changes nothing, sending a command again under its key adds nothing, and the log replays to the
//! same book.

mod support;

use counterfoil::{Engine, Error, Options};
use proptest::prelude::*;
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
