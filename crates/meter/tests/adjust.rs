//! Taking events back and replacing their values, by the rule and by a policy.

mod fixture;

use counterfoil_core::{Code, Decimal12, Refusal};
use counterfoil_meter::{
    AdjustError, AdjustPolicy, Adjustment, DedupePolicy, Formula, MeterConfig, Position,
};
use fixture::{Fixture, at, decimal, meter};

const NOW: &str = "2025-03-15T12:00:00Z";

fn correct(f: &mut Fixture, value: &str, policy: AdjustPolicy) -> Result<(), AdjustError> {
    let adjustment = Adjustment::Correct(decimal(value));
    let block = f.meters.admit_adjustment("calls", "a", adjustment, policy, f.now)?;
    assert_eq!(block.corrected().collect::<Vec<_>>(), [("a", decimal(value))]);
    f.apply(Some(&block));
    Ok(())
}

#[test]
fn a_correction_is_there_from_its_position_on() {
    for (formula, quantities) in [
        (Formula::Sum, ["7", "12.5", "4", "2"]),
        (Formula::Last, ["5", "10.5", "2", "2"]),
        (Formula::Max, ["5", "10.5", "2", "2"]),
        (Formula::UniqueCount, ["2", "2", "1", "1"]),
    ] {
        let mut f = Fixture::with(formula, None, NOW);
        f.send("b", "2025-03-15T09:00:00Z", "2");
        f.send("a", "2025-03-15T10:00:00Z", "5");
        correct(&mut f, "10.5", AdjustPolicy::Day).unwrap();
        correct(&mut f, "2", AdjustPolicy::Day).unwrap();
        let block = f.meters.admit_cancel("calls", "a", f.now).unwrap();
        f.apply(Some(&block));
        let read = |cut| f.usage_at(Fixture::ALWAYS, Position(cut)).quantity;
        assert_eq!([2, 3, 4, 5].map(read), quantities.map(decimal), "{formula:?}");
    }
}

#[test]
fn a_repeat_of_a_corrected_event_is_compared_with_what_came_first() {
    let mut f = Fixture::with(Formula::Sum, None, NOW);
    f.send("a", NOW, "5");
    correct(&mut f, "6", AdjustPolicy::Day).unwrap();
    for (value, conflicts) in [("5", 0), ("6", 1)] {
        let again = f.send("a", NOW, value);
        assert_eq!((again.taken, again.duplicates, again.conflicts), (0, 1, conflicts));
    }
    assert_eq!(f.usage(Fixture::ALWAYS).quantity, decimal("6"));
    assert_eq!(f.event_values(Fixture::ALWAYS), [decimal("6")]);
}

#[test]
fn a_day_by_rule_and_longer_by_policy_while_the_identifier_is_remembered() {
    let (day, longer) = (AdjustPolicy::Day, AdjustPolicy::Within(2 * 86_400));
    let cases = [
        (86_400, day, true),
        (86_401, day, false),
        (2 * 86_400, longer, true),
        (2 * 86_400 + 1, longer, false),
        (35 * 86_400, AdjustPolicy::Remembered, true),
        (35 * 86_400 + 1, AdjustPolicy::Remembered, false),
    ];
    for (age, policy, possible) in cases {
        for adjustment in [Adjustment::Cancel, Adjustment::Correct(Decimal12::ONE)] {
            let mut f = Fixture::with(Formula::Sum, None, NOW);
            assert_eq!(f.meters.policy(), DedupePolicy::default());
            f.send("a", NOW, "5");
            let now = at(NOW).checked_add_seconds(age).unwrap();
            let block = f.meters.admit_adjustment("calls", "a", adjustment, policy, now);
            assert_eq!(block.is_ok(), possible, "{age} {policy:?} {block:?}");
        }
    }
}

#[test]
fn what_cannot_be_corrected_says_why() {
    let mut f = Fixture::with(Formula::Sum, None, NOW);
    f.meters.define(meter(2), MeterConfig::new("counted", Formula::Count)).unwrap();
    f.send("a", NOW, "5");
    let large = "1000000000000000";
    for (value, code) in
        [("5", Code::StateUnsupported), (large, Code::MeterEventValueTooManyDigits)]
    {
        let error = correct(&mut f, value, AdjustPolicy::Day).unwrap_err();
        assert_eq!(Refusal::from(error).code(), code, "{value}");
    }
    let mut batch = counterfoil_meter::EventBatch::new("counted");
    batch.push(Some("c"), Some("cus_1"), None, None).unwrap();
    f.admit(&batch);
    let one = Adjustment::Correct(Decimal12::ONE);
    let counted = f.meters.admit_adjustment("counted", "c", one, AdjustPolicy::Day, f.now);
    assert_eq!(counted, Err(AdjustError::NoValue { identifier: "c".into() }));
    let block = f.meters.admit_cancel("calls", "a", f.now).unwrap();
    f.apply(Some(&block));
    let error = correct(&mut f, "6", AdjustPolicy::Remembered).unwrap_err();
    assert!(matches!(error, AdjustError::Cancelled { .. }), "{error}");
}
