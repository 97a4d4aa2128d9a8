//! Alerts (rule 12.7): worked cases, and random histories compared with a plain list.

mod fixture;

use counterfoil_core::{Decimal12, EventTime, Id, kind};
use counterfoil_meter::{
    AdjustPolicy, Adjustment, AdmitContext, Aggregator, AlertError, AlertStatus, AlertTriggered,
    Anyone, Block, CustomerIds, DedupePolicy, EventBatch, EventColumns, EventNames,
    EventTimeWindow, Formula, Identifiers, MeterConfig, Outcome, Position, UsageThreshold, Values,
};
use fixture::{Fixture, at, decimal, known, meter};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const NOW: &str = "2025-03-15T12:00:00Z";
const SECOND: i64 = 1_000_000_000;

fn alert(n: u64) -> Id<kind::Alert> {
    Id::derived(n)
}

fn threshold(gte: &str, customer: Option<&str>) -> UsageThreshold {
    UsageThreshold { meter: meter(1), gte: decimal(gte), customer: customer.map(str::to_owned) }
}

fn canonical(meters: &Aggregator) -> Vec<u8> {
    let mut bytes = Vec::new();
    meters.canonical(&mut |piece| bytes.extend_from_slice(piece));
    bytes
}

/// Sends events to `calls` by one call: identifier, customer, value.
fn send(meters: &mut Aggregator, rows: &[(&str, &str, &str)]) -> Vec<(u64, String, String)> {
    let mut batch = EventBatch::new("calls");
    for &(identifier, customer, value) in rows {
        batch.push(Some(identifier), Some(customer), None, Some(value)).unwrap();
    }
    let position = Position(meters.position().0 + 1);
    let ctx = AdmitContext::new(at(NOW), &known);
    short(&meters.take(position, batch.columns(), &ctx).alerts)
}

/// The number of the alert, whose, and how much.
fn short(alerts: &[AlertTriggered]) -> Vec<(u64, String, String)> {
    let number = |own: &AlertTriggered| (1..9).find(|&n| alert(n) == own.alert).unwrap();
    alerts.iter().map(|own| (number(own), own.customer.clone(), own.value.to_string())).collect()
}

fn went_off(rows: &[(u64, &str, &str)]) -> Vec<(u64, String, String)> {
    rows.iter().map(|&(n, customer, value)| (n, customer.to_owned(), value.to_owned())).collect()
}

fn with(formula: Formula, thresholds: &[UsageThreshold]) -> Aggregator {
    let mut meters = Fixture::with(formula, None, NOW).meters;
    for (n, threshold) in (1..).zip(thresholds) {
        meters.define_alert(alert(n), threshold).unwrap();
    }
    meters
}

#[test]
fn each_customer_sets_it_off_once_where_usage_reaches_the_threshold() {
    let mut meters = with(Formula::Sum, &[threshold("10", None)]);
    assert_eq!(send(&mut meters, &[("a", "cus_1", "9.999999999999")]), []);
    let off = send(&mut meters, &[("b", "cus_1", "0.000000000001"), ("c", "cus_2", "9")]);
    assert_eq!(off, went_off(&[(1, "cus_1", "10")]));
    let off = send(&mut meters, &[("d", "cus_1", "100"), ("e", "cus_2", "2")]);
    assert_eq!(off, went_off(&[(1, "cus_2", "11")]));
    let listed = meters.triggered(&alert(1));
    assert_eq!(short(&listed), went_off(&[(1, "cus_1", "10"), (1, "cus_2", "11")]));
    let places: Vec<_> = listed.iter().map(|own| (own.meter.clone(), own.position)).collect();
    assert_eq!(places, [(meter(1), Position(2)), (meter(1), Position(3))]);
}

#[test]
fn usage_is_compared_once_after_each_call() {
    let mut meters = with(Formula::Sum, &[threshold("10", None)]);
    // Above the threshold on the way, and below it at the end.
    assert_eq!(send(&mut meters, &[("a", "cus_1", "20"), ("b", "cus_1", "-15")]), []);
    let off = send(&mut meters, &[("c", "cus_1", "6"), ("d", "cus_1", "7")]);
    assert_eq!(off, went_off(&[(1, "cus_1", "18")]));
}

#[test]
fn what_is_refused_or_repeated_counts_nothing() {
    let mut meters = with(Formula::Sum, &[threshold("10", None)]);
    assert_eq!(send(&mut meters, &[("a", "cus_1", "6"), ("a", "cus_1", "6")]), []);
    assert_eq!(send(&mut meters, &[("a", "cus_1", "6"), ("b", "cus_9", "6")]), []);
    assert_eq!(send(&mut meters, &[("c", "cus_1", "six"), ("a", "cus_1", "7")]), []);
    assert_eq!(send(&mut meters, &[("d", "cus_1", "4")]), went_off(&[(1, "cus_1", "10")]));
}

#[test]
fn it_counts_what_was_received_since_it_was_defined() {
    let mut f = Fixture::with(Formula::Sum, None, NOW);
    f.send_now("a", "8");
    f.meters.define_alert(alert(1), &threshold("10", None)).unwrap();
    // However long ago it happened.
    assert_eq!(f.meters.triggered(&alert(1)), []);
    f.send("b", "2025-03-01T00:00:00Z", "9");
    assert_eq!(f.meters.triggered(&alert(1)), []);
    f.send("c", "2025-03-02T00:00:00Z", "1");
    assert_eq!(short(&f.meters.triggered(&alert(1))), went_off(&[(1, "cus_1", "10")]));
}

#[test]
fn one_customer_or_each() {
    let rules = [threshold("5", Some("cus_2")), threshold("7", None), threshold("5", None)];
    let mut meters = with(Formula::Sum, &rules);
    let off = send(&mut meters, &[("a", "cus_1", "6"), ("b", "cus_2", "7"), ("c", "cus_3", "4")]);
    let expected = [(1, "cus_2", "7"), (2, "cus_2", "7"), (3, "cus_1", "6"), (3, "cus_2", "7")];
    assert_eq!(off, went_off(&expected));
}

#[test]
fn activating_arms_it_again_and_archiving_is_for_ever() {
    let mut meters = with(Formula::Sum, &[threshold("10", None)]);
    let once = |value| went_off(&[(1, "cus_1", value)]);
    assert_eq!(send(&mut meters, &[("a", "cus_1", "10")]), once("10"));
    meters.deactivate_alert(&alert(1)).unwrap();
    assert_eq!(send(&mut meters, &[("b", "cus_1", "1"), ("c", "cus_2", "12")]), []);
    // It counted meanwhile; who is at the threshold sets it off with the next event.
    meters.activate_alert(&alert(1)).unwrap();
    assert_eq!(meters.triggered(&alert(1)), []);
    assert_eq!(send(&mut meters, &[("d", "cus_1", "1")]), once("12"));
    assert_eq!(send(&mut meters, &[("e", "cus_1", "1")]), []);
    meters.activate_alert(&alert(1)).unwrap();
    assert_eq!(send(&mut meters, &[("f", "cus_1", "1")]), once("14"));
    assert_eq!(send(&mut meters, &[("g", "cus_2", "0")]), went_off(&[(1, "cus_2", "12")]));
    meters.archive_alert(&alert(1)).unwrap();
    assert_eq!(meters.alert_status(&alert(1)), Some(AlertStatus::Archived));
    let archived = Err(AlertError::Archived { alert: alert(1) });
    assert_eq!(meters.activate_alert(&alert(1)), archived);
    assert_eq!(meters.deactivate_alert(&alert(1)), archived);
    assert_eq!(meters.archive_alert(&alert(1)), archived);
    assert_eq!(send(&mut meters, &[("h", "cus_3", "99")]), []);
    // What it went off for stays to be seen.
    assert_eq!(meters.triggered(&alert(1)).len(), 2);
    let all: Vec<_> = meters.alerts().collect();
    assert_eq!(all, [(&alert(1), threshold("10", None), AlertStatus::Archived)]);
}

#[test]
fn adjustments_are_compared_too_and_take_nothing_back() {
    let cases = [
        // The formula; the value to correct `b` to, or none to cancel it; what goes off.
        (Formula::Sum, Some("8"), Some("13")),
        (Formula::Sum, None, Some("12")),
        (Formula::Count, None, None),
        (Formula::Max, Some("10.5"), Some("10.5")),
        (Formula::Max, None, None),
        (Formula::Last, Some("11"), None),
        (Formula::Average, None, None),
        (Formula::Average, Some("30"), Some("11.666666666667")),
        (Formula::Min, None, None),
    ];
    for (formula, value, usage) in cases {
        let mut f = Fixture::with(formula, None, NOW);
        f.meters.define_alert(alert(1), &threshold("10", None)).unwrap();
        f.send("a", "2025-03-15T09:00:00Z", "5");
        f.send("b", "2025-03-15T10:00:00Z", "-7");
        f.send("c", "2025-03-15T11:00:00Z", "0");
        let value = value.map_or(Adjustment::Cancel, |value| Adjustment::Correct(decimal(value)));
        if formula == Formula::Sum && value == Adjustment::Cancel {
            f.send("d", "2025-03-15T11:00:00Z", "7");
        }
        let policy = AdjustPolicy::Day;
        let block = f.meters.admit_adjustment("calls", "b", value, policy, f.now);
        let position = Position(f.meters.position().0 + 1);
        let off = f.meters.apply(position, &block.unwrap());
        let expected: Vec<_> = usage.iter().map(|usage| (1, "cus_1", *usage)).collect();
        assert_eq!(short(&off), went_off(&expected), "{formula:?} {value:?}");
        // Taken back later, it stays as it was noticed.
        let block = f.meters.admit_cancel("calls", "a", f.now).unwrap();
        assert_eq!(f.meters.apply(Position(position.0 + 1), &block), []);
        assert_eq!(short(&f.meters.triggered(&alert(1))), went_off(&expected));
    }
}

#[test]
fn an_adjusted_event_that_came_before_the_alert_is_none_of_it() {
    let mut f = Fixture::with(Formula::Sum, None, NOW);
    f.send_now("a", "8");
    f.meters.define_alert(alert(1), &threshold("10", None)).unwrap();
    f.send_now("b", "9");
    for (identifier, value, count) in [("a", "1000", 0), ("b", "9.5", 0), ("b", "10", 1)] {
        let adjustment = Adjustment::Correct(decimal(value));
        let policy = AdjustPolicy::Day;
        let block = f.meters.admit_adjustment("calls", identifier, adjustment, policy, f.now);
        f.apply(Some(&block.unwrap()));
        assert_eq!(f.meters.triggered(&alert(1)).len(), count, "{identifier} {value}");
    }
}

#[test]
fn what_cannot_be_an_alert_is_refused() {
    let mut meters = with(Formula::Sum, &[threshold("10", None)]);
    let before = canonical(&meters);
    let unknown = UsageThreshold { meter: meter(9), ..threshold("1", None) };
    for (n, threshold, error) in [
        (1, threshold("1", None), AlertError::AlreadyDefined { alert: alert(1) }),
        (2, unknown, AlertError::UnknownMeter { meter: meter(9) }),
        (2, threshold("0", None), AlertError::NotPositive { gte: decimal("0") }),
        (2, threshold("-1", None), AlertError::NotPositive { gte: decimal("-1") }),
    ] {
        assert_eq!(meters.define_alert(alert(n), &threshold), Err(error));
    }
    let unknown = AlertError::Unknown { alert: alert(2) };
    assert_eq!(meters.activate_alert(&alert(2)), Err(unknown));
    assert_eq!(canonical(&meters), before);
    let mut weighted = Fixture::with(Formula::WeightedSum, None, NOW).meters;
    let refused = weighted.define_alert(alert(1), &threshold("1", None));
    assert_eq!(refused, Err(AlertError::Formula));
}

#[test]
fn a_meter_has_so_many_on_each_customer_and_as_many_on_one() {
    let mut meters = Fixture::with(Formula::Sum, None, NOW).meters;
    let mut n = 0;
    for customer in [None, Some("cus_1"), Some("cus_2")] {
        for _ in 0..25 {
            n += 1;
            meters.define_alert(alert(n), &threshold("1", customer)).unwrap();
        }
        let full = meters.define_alert(alert(999), &threshold("1", customer));
        assert_eq!(full, Err(AlertError::TooMany { max: 25 }));
    }
    meters.archive_alert(&alert(1)).unwrap();
    meters.define_alert(alert(999), &threshold("1", None)).unwrap();
}

/// A batch of numbers: many customers, several windows of the way in.
#[derive(Default)]
struct Numbers {
    codes: Vec<u16>,
    identifiers: Vec<u128>,
    customers: Vec<u64>,
    units: Vec<i64>,
}

impl Numbers {
    fn made(rows: u64, from: u64) -> Self {
        let mut made = Self::default();
        for row in from..from + rows {
            let word = row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
            made.codes.push((word % 2) as u16);
            // As random ones are spread: without a key of its own a meter finds counted ones slowly.
            let spread = row.wrapping_mul(0xff51_afd7_ed55_8ccd);
            made.identifiers.push(u128::from(spread) << 64 | u128::from(word << 16 ^ spread));
            made.customers.push(word / 2 % 700);
            made.units.push((word / 2_000 % 1_000_000) as i64 - 100_000);
        }
        made
    }

    fn columns(&self) -> EventColumns<'_> {
        EventColumns::of(
            EventNames::Coded { names: &["calls", "tokens"], codes: &self.codes },
            Identifiers::Numbers(&self.identifiers),
            CustomerIds::Numbers(&self.customers),
            None,
            Values::Units { units: &self.units, digits: 6 },
        )
        .unwrap()
    }
}

#[test]
fn any_number_of_threads_and_either_way_in_set_the_same_off() {
    let mut runs = Vec::new();
    for (threads, at_once) in [(1, true), (3, true), (8, true), (1, false), (2, false)] {
        let mut meters = Aggregator::default().threads(threads);
        meters.define(meter(1), MeterConfig::new("calls", Formula::Sum)).unwrap();
        meters.define(meter(2), MeterConfig::new("tokens", Formula::Count)).unwrap();
        let on = |meter, gte, customer: Option<&str>| UsageThreshold {
            meter,
            gte: decimal(gte),
            customer: customer.map(str::to_owned),
        };
        for (n, threshold) in [
            (1, on(meter(1), "5", None)),
            (2, on(meter(1), "9.5", None)),
            (3, on(meter(2), "20", Some("17"))),
            (4, on(meter(2), "19", None)),
        ] {
            meters.define_alert(alert(n), &threshold).unwrap();
        }
        let mut off = Vec::new();
        for (position, rows) in [(1, 3_000), (2, 5_000), (3, 9_000), (4, 8_000)] {
            let numbers = Numbers::made(rows, position * 100_000);
            let ctx = AdmitContext::new(at(NOW), &Anyone);
            let position = Position(position);
            if at_once {
                off.extend(meters.take(position, numbers.columns(), &ctx).alerts);
            } else {
                let block = meters.admit(numbers.columns(), &ctx).block.unwrap();
                let block = Block::decode(&block.encode().unwrap()).unwrap();
                off.extend(meters.apply(position, &block));
            }
        }
        runs.push((off, canonical(&meters)));
    }
    // Hundreds: all customers that come to 5, many to 9.5, and the counts.
    assert!(runs[0].0.len() > 800, "{}", runs[0].0.len());
    for run in &runs[1..] {
        assert!(*run == runs[0]);
    }
}

// Random histories.

#[derive(Debug, Clone)]
enum Action {
    Send(Vec<Row>),
    Adjust(u8, Option<i64>),
    Define(u8, i64, Option<u8>),
    Activate(u8),
    Deactivate(u8),
    Archive(u8),
    /// Go on from a checkpoint.
    Restore,
}

#[derive(Debug, Clone)]
struct Row {
    identifier: u8,
    customer: u8,
    /// Seconds before now.
    age: i64,
    value: i64,
    dimension: u8,
}

fn row() -> impl Strategy<Value = Row> {
    (0..40_u8, 1..=3_u8, prop_oneof![0..4_i64, 0..200_000_i64], -3..12_i64, 0..2_u8).prop_map(
        |(identifier, customer, age, value, dimension)| Row {
            identifier,
            customer,
            age,
            value,
            dimension,
        },
    )
}

fn action() -> impl Strategy<Value = Action> {
    let number = 1..5_u8;
    prop_oneof![
        6 => prop::collection::vec(row(), 1..6).prop_map(Action::Send),
        4 => (0..40_u8, prop::option::of(-5..30_i64))
            .prop_map(|(identifier, value)| Action::Adjust(identifier, value)),
        3 => (number.clone(), 1..25_i64, prop::option::of(1..=3_u8))
            .prop_map(|(n, gte, customer)| Action::Define(n, gte, customer)),
        1 => number.clone().prop_map(Action::Activate),
        1 => number.clone().prop_map(Action::Deactivate),
        1 => number.prop_map(Action::Archive),
        1 => Just(Action::Restore),
    ]
}

struct Kept {
    row: Row,
    block: usize,
    value: i64,
    live: bool,
}

struct Watch {
    gte: i64,
    customer: Option<u8>,
    since: usize,
    status: AlertStatus,
    fired: BTreeMap<u8, (i128, u64)>,
}

/// Rules 12.1 and 12.7 in the most obvious way.
struct Oracle {
    formula: Formula,
    window: Option<EventTimeWindow>,
    kept: Vec<Kept>,
    blocks: usize,
    alerts: BTreeMap<u8, Watch>,
}

impl Oracle {
    fn usage(&self, customer: u8, since: usize) -> i128 {
        let live: Vec<&Kept> = self
            .kept
            .iter()
            .filter(|kept| kept.live && kept.row.customer == customer && kept.block >= since)
            .collect();
        let group = |kept: &Kept| {
            let time = at(NOW).unix() - kept.row.age;
            let window = self.window.map(|window| match window {
                EventTimeWindow::Hour => time.div_euclid(3_600),
                EventTimeWindow::Day => time.div_euclid(86_400),
            });
            (kept.row.dimension, window)
        };
        let counts = |(place, kept): &(usize, &&Kept)| {
            self.window.is_none()
                || !live[place + 1..].iter().any(|later| group(later) == group(kept))
        };
        let counted: Vec<&&Kept> =
            live.iter().enumerate().filter(counts).map(|(_, kept)| kept).collect();
        let values = || counted.iter().map(|kept| i128::from(kept.value) * Decimal12::SCALE);
        let whole = |count: usize| count as i128 * Decimal12::SCALE;
        match self.formula {
            Formula::Sum => values().sum(),
            Formula::Count => whole(counted.len()),
            Formula::Max => values().max().unwrap_or(0),
            Formula::Min => values().min().unwrap_or(0),
            Formula::UniqueCount => whole(values().collect::<BTreeSet<_>>().len()),
            Formula::Last => {
                let latest = counted.iter().enumerate();
                let latest = latest.max_by_key(|(place, kept)| (-kept.row.age, *place));
                latest.map_or(0, |(_, kept)| i128::from(kept.value) * Decimal12::SCALE)
            }
            Formula::Average => match counted.len() as i128 {
                0 => 0,
                count => half_even(values().sum(), count),
            },
            Formula::WeightedSum => unreachable!(),
        }
    }

    /// What a block that touched some customers sets off.
    fn look(&mut self, touched: &BTreeSet<u8>, position: u64) -> Vec<(u64, String, i128)> {
        self.blocks += 1;
        let mut off = Vec::new();
        for n in 1..5 {
            let Some(watch) = self.alerts.get(&n) else { continue };
            for &customer in touched {
                let watched = watch.customer.is_none_or(|own| own == customer);
                let usage = self.usage(customer, watch.since);
                let fired = self.alerts[&n].fired.contains_key(&customer);
                if watch.status == AlertStatus::Active
                    && watched
                    && !fired
                    && usage >= i128::from(watch.gte) * Decimal12::SCALE
                {
                    off.push((u64::from(n), customer, usage));
                }
            }
        }
        for &(n, customer, usage) in &off {
            let watch = self.alerts.get_mut(&u8::try_from(n).unwrap()).unwrap();
            watch.fired.insert(customer, (usage, position));
        }
        off.into_iter().map(|(n, customer, usage)| (n, format!("cus_{customer}"), usage)).collect()
    }
}

fn half_even(value: i128, by: i128) -> i128 {
    let floor = value.div_euclid(by);
    let rest = 2 * value.rem_euclid(by);
    floor + i128::from(rest > by || (rest == by && floor % 2 != 0))
}

fn plain(alerts: &[AlertTriggered]) -> Vec<(u64, String, i128)> {
    let number = |own: &AlertTriggered| (1..9).find(|&n| alert(n) == own.alert).unwrap();
    let row = |own: &AlertTriggered| (number(own), own.customer.clone(), own.value.trillionths());
    alerts.iter().map(row).collect()
}

fn aggregator(formula: Formula, window: Option<EventTimeWindow>, dimensions: bool) -> Aggregator {
    let mut config = MeterConfig::new("calls", formula);
    config.event_time_window = window;
    if dimensions {
        config = config.with_dimensions(["model"]);
    }
    let mut meters = Aggregator::default();
    meters.define(meter(1), config).unwrap();
    meters
}

fn columns(rows: &[Row]) -> EventBatch {
    let mut batch = EventBatch::new("calls").with_dimensions(["model"]);
    for row in rows {
        let time = EventTime::from_nanos((at(NOW).unix() - row.age) * SECOND);
        let (identifier, customer) =
            (format!("id_{}", row.identifier), format!("cus_{}", row.customer));
        let (value, model) = (row.value.to_string(), format!("m{}", row.dimension));
        batch
            .push_with(Some(&identifier), Some(&customer), Some(time), Some(&value), &[&model])
            .unwrap();
    }
    batch
}

/// What was done, as a log would keep it.
enum Logged {
    Block(u64, Vec<u8>, Vec<(u64, String, i128)>),
    Alert(Action),
}

fn change(meters: &mut Aggregator, action: &Action) -> Result<(), AlertError> {
    let id = |n: &u8| alert(u64::from(*n));
    match action {
        Action::Define(n, gte, customer) => {
            let customer = customer.map(|customer| format!("cus_{customer}"));
            let gte = Decimal12::from_trillionths(i128::from(*gte) * Decimal12::SCALE);
            meters.define_alert(id(n), &UsageThreshold { meter: meter(1), gte, customer })
        }
        Action::Activate(n) => meters.activate_alert(&id(n)),
        Action::Deactivate(n) => meters.deactivate_alert(&id(n)),
        Action::Archive(n) => meters.archive_alert(&id(n)),
        _ => unreachable!(),
    }
}

fn change_oracle(oracle: &mut Oracle, action: &Action) -> bool {
    let (n, status) = match *action {
        Action::Define(n, gte, customer) => {
            let since = oracle.blocks;
            let (status, fired) = (AlertStatus::Active, BTreeMap::new());
            let new = !oracle.alerts.contains_key(&n);
            let watch = Watch { gte, customer, since, status, fired };
            oracle.alerts.entry(n).or_insert(watch);
            return new;
        }
        Action::Activate(n) => (n, AlertStatus::Active),
        Action::Deactivate(n) => (n, AlertStatus::Inactive),
        Action::Archive(n) => (n, AlertStatus::Archived),
        _ => unreachable!(),
    };
    let Some(watch) = oracle.alerts.get_mut(&n) else { return false };
    if watch.status == AlertStatus::Archived {
        return false;
    }
    watch.status = status;
    if status == AlertStatus::Active {
        watch.fired.clear();
    }
    true
}

fn restored(meters: &Aggregator) -> Aggregator {
    let bytes = meters.capture().encode().unwrap();
    Aggregator::from_checkpoint(&bytes, DedupePolicy::default()).unwrap()
}

fn formulas() -> impl Strategy<Value = Formula> {
    let alertable = Formula::ALL.into_iter().filter(|&own| own != Formula::WeightedSum);
    prop::sample::select(alertable.collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn alerts_are_what_a_plain_list_says_and_replay_says_them_once(
        formula in formulas(),
        window in prop::sample::select(vec![None, None, Some(EventTimeWindow::Hour), Some(EventTimeWindow::Day)]),
        dimensions in any::<bool>(),
        at_once in any::<bool>(),
        actions in prop::collection::vec(action(), 1..24),
    ) {
        let mut meters = aggregator(formula, window, dimensions);
        let (kept, blocks, alerts) = (Vec::new(), 0, BTreeMap::new());
        let mut oracle = Oracle { formula, window, kept, blocks, alerts };
        let mut log = Vec::new();
        for (position, action) in (1_u64..).zip(actions) {
            let block = match &action {
                Action::Send(rows) => {
                    let batch = columns(rows);
                    let ctx = AdmitContext::new(at(NOW), &known).with_outcomes().with_block();
                    let mut touched = BTreeSet::new();
                    let (admission, off) = if at_once {
                        let taken = meters.take(Position(position), batch.columns(), &ctx);
                        let off = taken.alerts.clone();
                        (taken, off)
                    } else {
                        let admission = meters.admit(batch.columns(), &ctx);
                        let block = admission.block.as_ref();
                        let off = block.map(|block| meters.apply(Position(position), block));
                        (admission, off.unwrap_or_default())
                    };
                    for (row, outcome) in rows.iter().zip(admission.outcomes.unwrap()) {
                        if outcome == Outcome::Taken {
                            touched.insert(row.customer);
                            let mut row = row.clone();
                            row.dimension *= u8::from(dimensions);
                            let (block, value) = (oracle.blocks, row.value);
                            oracle.kept.push(Kept { row, block, value, live: true });
                        }
                    }
                    admission.block.map(|block| (block, touched, off))
                }
                Action::Adjust(identifier, value) => {
                    let adjustment = value.map_or(Adjustment::Cancel, |value| {
                        let trillionths = i128::from(value) * Decimal12::SCALE;
                        Adjustment::Correct(Decimal12::from_trillionths(trillionths))
                    });
                    let (name, policy) = (format!("id_{identifier}"), AdjustPolicy::Day);
                    let block =
                        meters.admit_adjustment("calls", &name, adjustment, policy, at(NOW));
                    block.ok().map(|block| {
                        let own = |kept: &&mut Kept| kept.row.identifier == *identifier;
                        let kept = oracle.kept.iter_mut().find(own).unwrap();
                        match value {
                            Some(value) => kept.value = *value,
                            None => kept.live = false,
                        }
                        let touched = BTreeSet::from([kept.row.customer]);
                        let off = meters.apply(Position(position), &block);
                        (block, touched, off)
                    })
                }
                Action::Restore => {
                    let again = restored(&meters);
                    prop_assert_eq!(canonical(&again), canonical(&meters));
                    meters = again;
                    None
                }
                action => {
                    let changed = change(&mut meters, action);
                    prop_assert_eq!(changed.is_ok(), change_oracle(&mut oracle, action));
                    log.push(Logged::Alert(action.clone()));
                    None
                }
            };
            if let Some((block, touched, off)) = block {
                let expected = oracle.look(&touched, position);
                prop_assert_eq!(&plain(&off), &expected);
                prop_assert!(off.iter().all(|own| own.position == Position(position)));
                log.push(Logged::Block(position, block.encode().unwrap().to_vec(), expected));
            }
        }
        for (n, watch) in &oracle.alerts {
            let number = u64::from(*n);
            prop_assert_eq!(meters.alert_status(&alert(number)), Some(watch.status));
            let listed = meters.triggered(&alert(number));
            let places = listed.iter().map(|own| own.position.0).collect::<Vec<_>>();
            let expected: Vec<_> = watch.fired.iter().map(|(customer, (usage, _))| {
                (number, format!("cus_{customer}"), *usage)
            }).collect();
            prop_assert_eq!(plain(&listed), expected);
            prop_assert_eq!(places, watch.fired.values().map(|own| own.1).collect::<Vec<_>>());
        }
        // The log sets the same off, and what was taken in before sets nothing off again.
        let mut again = aggregator(formula, window, dimensions);
        for logged in &log {
            match logged {
                Logged::Alert(action) => drop(change(&mut again, action)),
                Logged::Block(position, bytes, expected) => {
                    let block = Block::decode(bytes).unwrap();
                    let off = again.apply(Position(*position), &block);
                    prop_assert_eq!(&plain(&off), expected);
                    if *position > 1 {
                        prop_assert_eq!(again.apply(Position(position - 1), &block), []);
                    }
                }
            }
        }
        prop_assert_eq!(canonical(&again), canonical(&meters));
    }

    #[test]
    fn order_within_a_call_changes_no_alert(
        formula in formulas().prop_filter("ties of the latest", |own| *own != Formula::Last),
        calls in prop::collection::vec(prop::collection::vec(row(), 1..9), 1..6),
        gte in 1..25_i64,
        turn in any::<prop::sample::Index>(),
    ) {
        let mut runs = Vec::new();
        for turned in [false, true] {
            let mut meters = aggregator(formula, None, true);
            change(&mut meters, &Action::Define(1, gte, None)).unwrap();
            let mut off = Vec::new();
            for (position, rows) in (1..).zip(&calls) {
                // The first with an identifier wins, so each has its own here.
                let mut rows: Vec<Row> = rows.clone();
                for (row, identifier) in rows.iter_mut().zip(position * 10..) {
                    row.identifier = identifier;
                }
                if turned {
                    let by = turn.index(rows.len());
                    rows.rotate_left(by);
                }
                let batch = columns(&rows);
                let ctx = AdmitContext::new(at(NOW), &known);
                let taken = meters.take(Position(position.into()), batch.columns(), &ctx);
                off.extend(taken.alerts);
            }
            runs.push((off, canonical(&meters)));
        }
        prop_assert_eq!(&runs[0], &runs[1]);
    }
}
