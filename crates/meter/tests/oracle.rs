//! Random histories, compared with recomputation from a plain list.

mod fixture;

use counterfoil_core::{Decimal12, EventTime, Period, Timestamp};
use counterfoil_meter::{
    AdjustPolicy, Adjustment, Admission, AdmitContext, Aggregator, Block, Breakdown, DedupePolicy,
    EventBatch, EventTimeWindow, Formula, Grouping, MeterConfig, MeterError, Outcome, Position,
};
use fixture::{Fixture, at, known, meter};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const START: &str = "2025-03-15T12:00:00Z";
const SECOND: i64 = 1_000_000_000;
/// Times lie in so many seconds before the start, over two midnights.
const SPAN: i64 = 2 * 86_400;

/// The dimensions that a meter may keep, the first so many.
const DIMENSIONS: [&str; 2] = ["model", "region"];

/// A formula, a window of pre-aggregated input, and how many dimensions are kept.
type Config = (Formula, Option<EventTimeWindow>, usize);

#[derive(Debug, Clone)]
enum Action {
    /// Events of one call.
    Send(Vec<Row>),
    /// Cancel the event with this identifier, if there is one.
    Cancel(u8),
    /// Replace the value of the event with this identifier, if there is one, or cancel it, by a
    /// policy.
    Adjust(u8, Option<i64>, AdjustPolicy),
    /// Time passes, in seconds.
    Wait(i64),
}

#[derive(Debug, Clone)]
struct Row {
    identifier: u8,
    customer: u8,
    /// Nanoseconds before the start.
    age: i64,
    /// Trillionths.
    value: i64,
    /// A value for each dimension; 0 is none.
    dimensions: [u8; 2],
}

impl Row {
    fn push(&self, batch: &mut EventBatch) {
        let time = EventTime::from_nanos(at(START).unix() * SECOND - self.age);
        let value = Decimal12::from_trillionths(self.value.into()).to_string();
        let (identifier, customer) = (self.identifier(), format!("cus_{}", self.customer));
        let [model, region] = self.dimensions.map(dimension);
        // Columns are found by name, and those that are not kept are passed over.
        let dimensions = [region.as_str(), "x", model.as_str()];
        batch
            .push_with(Some(&identifier), Some(&customer), Some(time), Some(&value), &dimensions)
            .unwrap();
    }

    /// The group of the first so many dimensions.
    fn kept(&self, dimensions: usize) -> Vec<String> {
        self.dimensions.iter().take(dimensions).map(|&value| dimension(value)).collect()
    }

    fn identifier(&self) -> String {
        format!("id_{}", self.identifier)
    }
}

fn dimension(value: u8) -> String {
    if value == 0 { String::new() } else { format!("v{value}") }
}

fn batch() -> EventBatch {
    EventBatch::new("calls").with_dimensions(["region", "other", "model"])
}

fn row(identifiers: u8) -> impl Strategy<Value = Row> {
    // Times that often coincide, in the second, the hour and at their very edges.
    let age = prop_oneof![
        0..SPAN * SECOND,
        (0..SPAN / 3_600).prop_map(|hour| hour * 3_600 * SECOND),
        (1..SPAN / 3_600).prop_map(|hour| hour * 3_600 * SECOND + 1),
        (0..4_i64).prop_map(|quarter| quarter * 900 * SECOND),
    ];
    let value = -1_000_000_000_000_000..1_000_000_000_000_000_i64;
    // One in eight has none.
    let of_dimension = (0..8_u8).prop_map(|value| value.min(3));
    (0..identifiers, 1..=3_u8, age, value, [of_dimension.clone(), of_dimension]).prop_map(
        |(identifier, customer, age, value, dimensions)| Row {
            identifier,
            customer,
            age,
            value,
            dimensions,
        },
    )
}

fn action() -> impl Strategy<Value = Action> {
    // Few identifiers, so that retries and cancellations find something.
    prop_oneof![
        4 => prop::collection::vec(row(24), 1..8).prop_map(Action::Send),
        4 => (0..24_u8).prop_map(Action::Cancel),
        4 => adjust(),
        1 => (0..100_000_i64).prop_map(Action::Wait),
    ]
}

fn adjust() -> impl Strategy<Value = Action> {
    let policies = vec![AdjustPolicy::Day, AdjustPolicy::Within(90_000), AdjustPolicy::Remembered];
    // Values that are no millionths, none of few kinds, and that of other events.
    let value = prop_oneof![-9..9_i64, any::<i32>().prop_map(|value| i64::from(value) * 1_000_000)];
    (0..24_u8, prop::option::weighted(0.8, value), prop::sample::select(policies))
        .prop_map(|(identifier, value, policy)| Action::Adjust(identifier, value, policy))
}

fn formulas() -> impl Strategy<Value = Config> {
    some_of(Formula::ALL.to_vec())
}

fn some_of(formulas: Vec<Formula>) -> impl Strategy<Value = Config> {
    (
        prop::sample::select(formulas),
        prop::sample::select(vec![None, Some(EventTimeWindow::Hour), Some(EventTimeWindow::Day)]),
        0..=2_usize,
    )
}

/// An event as the plain list keeps it.
#[derive(Debug, Clone)]
struct Kept {
    row: Row,
    time: i64,
    received: i64,
    position: u64,
    cancelled: u64,
    /// Positions from which it has other values.
    corrected: Vec<(u64, i64)>,
}

impl Kept {
    fn value(&self, cut: u64) -> i128 {
        let last = self.corrected.iter().rev().find(|(position, _)| *position <= cut);
        last.map_or(self.row.value, |(_, value)| *value).into()
    }
}

/// The rules, in the most obvious way: a list of events in order of receipt.
struct Oracle {
    formula: Formula,
    window: Option<EventTimeWindow>,
    dimensions: usize,
    dedupe_seconds: i64,
    kept: Vec<Kept>,
}

impl Oracle {
    fn find(&mut self, identifier: u8, now: i64) -> Option<&mut Kept> {
        let age_max = self.dedupe_seconds;
        self.kept
            .iter_mut()
            .rev()
            .find(|kept| kept.row.identifier == identifier)
            .filter(|kept| now - kept.received <= age_max)
    }

    fn send(&mut self, row: &Row, now: i64, position: u64) -> Outcome {
        let counts = self.formula == Formula::Count;
        let dimensions = self.dimensions;
        let group = row.kept(dimensions);
        if let Some(first) = self.find(row.identifier, now) {
            let same = first.row.customer == row.customer
                && first.row.kept(dimensions) == group
                && first.row.age == row.age
                && (counts || first.row.value == row.value);
            return if same { Outcome::Duplicate } else { Outcome::Conflict };
        }
        if group.iter().any(String::is_empty) {
            return Outcome::Refused;
        }
        let time = at(START).unix() * SECOND - row.age;
        self.kept.push(Kept {
            row: row.clone(),
            time,
            received: now,
            position,
            cancelled: u64::MAX,
            corrected: Vec::new(),
        });
        Outcome::Taken
    }

    fn cancel(&mut self, identifier: u8, now: i64, position: u64) -> bool {
        self.adjust(identifier, None, AdjustPolicy::Day, now, position)
    }

    fn adjust(
        &mut self,
        identifier: u8,
        value: Option<i64>,
        policy: AdjustPolicy,
        now: i64,
        position: u64,
    ) -> bool {
        let counts = self.formula == Formula::Count;
        let age_max = match policy {
            AdjustPolicy::Day => 86_400,
            AdjustPolicy::Within(seconds) => seconds,
            _ => i64::MAX,
        };
        let Some(kept) = self.find(identifier, now) else { return false };
        if kept.cancelled != u64::MAX || now - kept.received > age_max {
            return false;
        }
        match value {
            None => kept.cancelled = position,
            Some(value) if counts || kept.value(u64::MAX) == i128::from(value) => return false,
            Some(value) => kept.corrected.push((position, value)),
        }
        true
    }

    fn quantity(&self, customer: u8, period: Period, cut: u64) -> (i128, u64) {
        self.quantity_where(customer, period, cut, |_| true)
    }

    /// What came after a position, by itself.
    fn late(&self, customer: u8, period: Period, billed_at: u64) -> (i128, u64) {
        let late = |kept: &Kept| kept.position > billed_at;
        self.quantity_where(customer, period, u64::MAX - 1, late)
    }

    /// The groups of a customer by the dimensions at some places, of the events that have a value
    /// at a place.
    fn groups(
        &self,
        customer: u8,
        by: &[usize],
        only: Option<(usize, u8)>,
        period: Period,
        cut: u64,
    ) -> BTreeMap<Vec<String>, (i128, u64)> {
        let group = |row: &Row| -> Vec<String> {
            by.iter().map(|&place| dimension(row.dimensions[place])).collect()
        };
        let wanted = |row: &Row| only.is_none_or(|(place, value)| row.dimensions[place] == value);
        let of_customer = self.kept.iter().filter(|kept| kept.row.customer == customer);
        let groups: BTreeSet<_> = of_customer.map(|kept| group(&kept.row)).collect();
        let read = |own: Vec<String>| {
            let of = |kept: &Kept| wanted(&kept.row) && group(&kept.row) == own;
            let read = self.quantity_where(customer, period, cut, of);
            (own, read)
        };
        groups.into_iter().map(read).filter(|(_, (_, events))| *events > 0).collect()
    }

    fn quantity_where(
        &self,
        customer: u8,
        period: Period,
        cut: u64,
        wanted: impl Fn(&Kept) -> bool,
    ) -> (i128, u64) {
        let live: Vec<(usize, &Kept)> = self
            .kept
            .iter()
            .enumerate()
            .filter(|(_, kept)| kept.row.customer == customer && wanted(kept))
            .filter(|(_, kept)| kept.position <= cut && cut < kept.cancelled)
            .collect();
        let nanos = match self.window {
            None => None,
            Some(EventTimeWindow::Hour) => Some(3_600 * SECOND),
            Some(EventTimeWindow::Day) => Some(86_400 * SECOND),
        };
        let replaced = |order: usize, kept: &Kept| {
            nanos.is_some_and(|nanos| {
                live.iter().any(|(other, later)| {
                    *other > order
                        && later.row.kept(self.dimensions) == kept.row.kept(self.dimensions)
                        && later.time.div_euclid(nanos) == kept.time.div_euclid(nanos)
                })
            })
        };
        let (start, end) = (period.start.unix() * SECOND, period.end.unix() * SECOND);
        let winners: Vec<&(usize, &Kept)> =
            live.iter().filter(|(order, kept)| !replaced(*order, kept)).collect();
        let inside = |kept: &Kept| start <= kept.time && kept.time < end;
        let counted: Vec<_> = winners.iter().filter(|(_, kept)| inside(kept)).collect();
        let events = counted.len();
        let values = || counted.iter().map(|(_, kept)| kept.value(cut));
        let quantity = match self.formula {
            Formula::Sum => values().sum(),
            Formula::Max => values().max().unwrap_or(0),
            Formula::Min => values().min().unwrap_or(0),
            Formula::Average => half_even(values().sum(), events as i128),
            Formula::UniqueCount => {
                values().collect::<BTreeSet<_>>().len() as i128 * Decimal12::SCALE
            }
            Formula::WeightedSum => {
                let before = winners.iter().filter(|(_, kept)| kept.time < end);
                let area = before
                    .map(|(_, kept)| kept.value(cut) * i128::from(end - kept.time.max(start)));
                half_even(area.sum(), i128::from(end - start))
            }
            Formula::Count => i128::try_from(events).unwrap() * Decimal12::SCALE,
            Formula::Last => counted
                .iter()
                .max_by_key(|(order, kept)| (kept.time, *order))
                .map_or(0, |(_, kept)| kept.value(cut)),
        };
        (quantity, u64::try_from(events).unwrap())
    }
}

/// The nearest whole number to a quotient, of two equally near the even one.
fn half_even(value: i128, by: i128) -> i128 {
    if by == 0 {
        return 0;
    }
    let floor = value.div_euclid(by);
    let rest = 2 * value.rem_euclid(by);
    floor + i128::from(rest > by || (rest == by && floor % 2 != 0))
}

struct Run {
    meters: Aggregator,
    oracle: Oracle,
    blocks: Vec<(Position, Block)>,
}

fn aggregator(config: Config, policy: DedupePolicy) -> Aggregator {
    let mut meters = Aggregator::new(policy);
    let mut meter_config = MeterConfig::new("calls", config.0);
    meter_config.event_time_window = config.1;
    meter_config = meter_config.with_dimensions(DIMENSIONS.into_iter().take(config.2));
    meters.define(meter(1), meter_config).unwrap();
    meters
}

fn run(config: Config, actions: &[Action]) -> Run {
    let dedupe_seconds = 100_000;
    let meters = aggregator(config, DedupePolicy::window(dedupe_seconds).unwrap());
    let (formula, window, dimensions) = config;
    let oracle = Oracle { formula, window, dimensions, dedupe_seconds, kept: Vec::new() };
    let mut run = Run { meters, oracle, blocks: Vec::new() };
    let mut now = at(START);
    for (i, action) in (1_u64..).zip(actions) {
        // Positions with gaps: the log has other records too.
        let position = Position(3 * i);
        let block = match action {
            Action::Wait(seconds) => {
                now = now.checked_add_seconds(*seconds).unwrap();
                None
            }
            Action::Cancel(identifier) => {
                let block = run.meters.admit_cancel("calls", &format!("id_{identifier}"), now);
                let cancelled = run.oracle.cancel(*identifier, now.unix(), position.0);
                assert_eq!(block.is_ok(), cancelled, "{block:?}");
                block.ok()
            }
            Action::Adjust(identifier, value, policy) => {
                let adjustment = value.map_or(Adjustment::Cancel, |value| {
                    Adjustment::Correct(Decimal12::from_trillionths(value.into()))
                });
                let name = format!("id_{identifier}");
                let block = run.meters.admit_adjustment("calls", &name, adjustment, *policy, now);
                let (at, position) = (now.unix(), position.0);
                let adjusted = run.oracle.adjust(*identifier, *value, *policy, at, position);
                assert_eq!(block.is_ok(), adjusted, "{block:?}");
                block.ok()
            }
            Action::Send(rows) => {
                let admission = send(&run.meters, rows, now);
                let outcomes: Vec<Outcome> =
                    rows.iter().map(|row| run.oracle.send(row, now.unix(), position.0)).collect();
                assert_eq!(admission.outcomes, Some(outcomes));
                admission.block
            }
        };
        if let Some(block) = block {
            run.meters.apply(position, &block);
            run.blocks.push((position, block));
        }
    }
    run
}

fn send(meters: &Aggregator, rows: &[Row], now: Timestamp) -> Admission {
    let mut batch = batch();
    rows.iter().for_each(|row| row.push(&mut batch));
    meters.admit(batch.columns(), &AdmitContext::new(now, &known).with_outcomes())
}

fn canonical(meters: &Aggregator) -> Vec<u8> {
    let mut bytes = Vec::new();
    meters.canonical(&mut |piece| bytes.extend_from_slice(piece));
    bytes
}

fn periods() -> impl Strategy<Value = Period> {
    let second = prop_oneof![
        -SPAN - 10..10_i64,
        (-SPAN / 3_600..=0).prop_map(|hour| hour * 3_600),
        (-SPAN / 3_600..=0).prop_map(|hour| hour * 3_600 + 1),
    ];
    (second.clone(), second).prop_map(|(a, b)| {
        let instant = |s: i64| at(START).checked_add_seconds(s).unwrap();
        Period::new(instant(a.min(b)), instant(a.max(b)))
    })
}

/// Places of dimensions, each once.
fn some_places() -> impl Strategy<Value = Vec<usize>> {
    prop::sample::select(vec![vec![], vec![0], vec![1], vec![0, 1], vec![1, 0]])
}

fn any_value() -> impl Strategy<Value = Option<(usize, u8)>> {
    prop::option::of((0..2_usize, 1..=4_u8))
}

fn quantity(meters: &Aggregator, customer: &str, period: Period) -> i128 {
    let reading = meters.usage(&meter(1), customer, period, Position::MAX).unwrap();
    reading.quantity.trillionths()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_period_at_any_cut_is_what_recomputation_says(
        config in formulas(),
        actions in prop::collection::vec(action(), 1..14),
        reads in prop::collection::vec((1..=3_u8, periods(), 0..50_u64), 1..24),
    ) {
        let (formula, _, _) = config;
        let run = run(config, &actions);
        for (customer, period, cut) in reads {
            let name = format!("cus_{customer}");
            let reading = run.meters.usage(&meter(1), &name, period, Position(cut)).unwrap();
            // The totals of all meters are those of one, without what it does not keep.
            let mut totals = run.meters.totals(&meter(1), &name, period, Position(cut)).unwrap();
            totals.max = totals.max.filter(|_| formula == Formula::Max);
            totals.min = totals.min.filter(|_| formula == Formula::Min);
            totals.last = totals.last.filter(|_| formula == Formula::Last);
            let running = run.meters.running_totals(&name, period, Position(cut));
            let all: Vec<_> = running.map(|(of, totals)| (of.clone(), totals)).collect();
            prop_assert_eq!(all, Vec::from_iter((totals.events > 0).then(|| (meter(1), totals))));
            let expected = run.oracle.quantity(customer, period, cut);
            prop_assert_eq!((reading.quantity.trillionths(), reading.events), expected);
            // The events behind it say the same, and a reading can be derived again.
            let events = run.meters.events(&meter(1), &name, period, Position(cut)).unwrap();
            prop_assert_eq!(events.filter(|e| e.counts).count() as u64, reading.events);
            let again = run.meters.usage(&meter(1), &name, period, reading.position).unwrap();
            prop_assert_eq!(again, reading);
            let late = run.meters.late(&meter(1), &name, period, Position(cut)).unwrap();
            let own = (late.late.quantity.trillionths(), late.late.events);
            prop_assert_eq!(own, run.oracle.late(customer, period, cut));
            prop_assert_eq!(late.billed, reading);
            prop_assert!(late.events.iter().all(|event| event.position > Position(cut)));
            let adjusted = |kept: &&Kept| {
                let time = Timestamp::from_unix(kept.time.div_euclid(SECOND)).unwrap();
                let later = kept.cancelled != u64::MAX || kept.value(cut) != kept.value(u64::MAX)
                    || kept.corrected.iter().any(|(position, _)| *position > cut);
                kept.row.customer == customer && period.contains(time) && later
                    && kept.position <= cut && cut < kept.cancelled
            };
            prop_assert_eq!(late.adjusted.len(), run.oracle.kept.iter().filter(adjusted).count());
        }
    }

    #[test]
    fn windows_of_any_cut_are_periods(
        config in formulas(),
        actions in prop::collection::vec(action(), 1..14),
        seconds in prop::collection::vec(-SPAN - 10..10_i64, 0..12),
        near in prop::collection::vec((0..SPAN / 900).prop_map(|quarter| -900 * quarter), 0..12),
        cut in 0..50_u64,
    ) {
        let run = run(config, &actions);
        let mut bounds: Vec<Timestamp> = seconds
            .iter()
            .chain(&near)
            .map(|&second| at(START).checked_add_seconds(second).unwrap())
            .collect();
        bounds.sort_unstable();
        for customer in ["cus_1", "cus_2", "cus_3"] {
            let rows = run.meters.usage_in(&meter(1), customer, &bounds, Position(cut)).unwrap();
            let one_by_one: Vec<_> = bounds
                .windows(2)
                .map(|pair| Period::new(pair[0], pair[1]))
                .map(|period| run.meters.usage(&meter(1), customer, period, Position(cut)).unwrap())
                .collect();
            prop_assert_eq!(&rows, &one_by_one);
        }
    }

    #[test]
    fn groups_by_any_dimensions_are_what_recomputation_says(
        config in formulas(),
        actions in prop::collection::vec(action(), 1..14),
        reads in prop::collection::vec(
            (1..=3_u8, periods(), 0..50_u64, some_places(), any_value()),
            1..16,
        ),
    ) {
        let run = run(config, &actions);
        for (customer, period, cut, by, only) in reads {
            let name = format!("cus_{customer}");
            let names: Vec<&str> = by.iter().map(|&place| DIMENSIONS[place]).collect();
            let value = only.map(|(place, value)| (DIMENSIONS[place], dimension(value)));
            let only_text: Vec<_> = value.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let breakdown = Breakdown::by(&names).only(&only_text);
            let read = run.meters.usage_by(&meter(1), &name, period, breakdown, Position(cut));
            let kept = config.2;
            if by.iter().any(|&place| place >= kept) || only.is_some_and(|(place, _)| place >= kept) {
                prop_assert!(matches!(read, Err(MeterError::UnknownDimension { .. })), "{read:?}");
                continue;
            }
            let read = read.unwrap();
            let got: BTreeMap<_, _> = read
                .iter()
                .map(|(group, row)| (group.clone(), (row.quantity.trillionths(), row.events)))
                .collect();
            prop_assert_eq!(&got, &run.oracle.groups(customer, &by, only, period, cut));
            let whole = run.meters.usage(&meter(1), &name, period, Position(cut)).unwrap();
            if only.is_none() {
                prop_assert_eq!(got.values().map(|(_, events)| events).sum::<u64>(), whole.events);
            }
            if only.is_none() && matches!(config.0, Formula::Sum | Formula::Count) {
                let sum: i128 = got.values().map(|(quantity, _)| quantity).sum();
                prop_assert_eq!(sum, whole.quantity.trillionths());
            }
        }
    }

    #[test]
    fn adjoining_periods_add_up_and_so_do_hours_and_days(
        config in some_of(vec![Formula::Sum, Formula::Count]),
        actions in prop::collection::vec(action(), 1..10),
        cuts in prop::collection::vec(0..SPAN, 1..6),
        cut in 0..40_u64,
    ) {
        let run = run(config, &actions);
        let midnight = at("2025-03-16T00:00:00Z");
        let instant = |s: i64| midnight.checked_add_seconds(s).unwrap();
        let whole = Period::new(instant(-3 * 86_400), midnight);
        let mut edges: Vec<i64> = cuts.iter().map(|s| -s).collect();
        edges.extend([-3 * 86_400, 0]);
        edges.sort_unstable();
        for customer in ["cus_1", "cus_2", "cus_3"] {
            let usage = |period| run.meters.usage(&meter(1), customer, period, Position(cut));
            let total = usage(whole).unwrap().quantity.trillionths();
            let pieces: i128 = edges
                .windows(2)
                .map(|w| Period::new(instant(w[0]), instant(w[1])))
                .map(|piece| usage(piece).unwrap().quantity.trillionths())
                .sum();
            prop_assert_eq!(pieces, total);
            let groupings = [Grouping::Minute, Grouping::Hour, Grouping::Day, Grouping::Month];
            for grouping in groupings.map(Some).into_iter().chain([None]) {
                let rows = run.meters
                    .summaries(&meter(1), customer, whole, grouping, Position(cut))
                    .unwrap();
                let sum: i128 = rows.iter().map(|row| row.value.trillionths()).sum();
                prop_assert_eq!(sum, total);
                for pair in rows.windows(2) {
                    prop_assert!(pair[0].period.end <= pair[1].period.start);
                }
            }
        }
    }

    #[test]
    fn arrival_order_changes_no_quantity(
        formula in prop::sample::select(Formula::ALL.to_vec()),
        rows in prop::collection::vec(row(255), 1..40),
        shuffled in any::<prop::sample::Index>(),
        period in periods(),
    ) {
        // Equal identifiers only with equal content, and no ties in time: there the rules ask for
        // the order.
        let mut rows = rows;
        rows.sort_by_key(|row| row.identifier);
        rows.dedup_by_key(|row| row.identifier);
        rows.sort_by_key(|row| row.age);
        rows.dedup_by_key(|row| row.age);
        let mut other: Vec<Row> = rows.iter().rev().cloned().collect();
        let turn = shuffled.index(other.len());
        other.rotate_left(turn);
        // Fed twice, which changes nothing either.
        other.extend(rows.iter().cloned());
        let fill = |rows: &[Row], step: usize| {
            let mut meters = aggregator((formula, None, 0), DedupePolicy::default());
            for (i, rows) in (1_u64..).zip(rows.chunks(step)) {
                if let Some(block) = send(&meters, rows, at(START)).block {
                    meters.apply(Position(i), &block);
                }
            }
            meters
        };
        let (one, two) = (fill(&rows, rows.len()), fill(&other, 3));
        for customer in ["cus_1", "cus_2", "cus_3"] {
            prop_assert_eq!(quantity(&one, customer, period), quantity(&two, customer, period));
        }
        prop_assert_eq!(canonical(&one), canonical(&two));
    }

    #[test]
    fn splitting_a_batch_changes_nothing(
        config in formulas(),
        rows in prop::collection::vec(row(30), 1..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let mut whole = aggregator(config, DedupePolicy::default());
        let admission = send(&whole, &rows, at(START));
        if let Some(block) = &admission.block {
            whole.apply(Position(1), block);
        }

        let mut split = aggregator(config, DedupePolicy::default());
        let mut edges: Vec<usize> = cuts.iter().map(|cut| cut.index(rows.len())).collect();
        edges.extend([0, rows.len()]);
        edges.sort_unstable();
        let mut outcomes = Vec::new();
        let (mut taken, mut duplicates, mut conflicts) = (0, 0, 0);
        for (i, pair) in (1_u64..).zip(edges.windows(2)) {
            let part = send(&split, &rows[pair[0]..pair[1]], at(START));
            outcomes.extend(part.outcomes.unwrap());
            taken += part.taken;
            duplicates += part.duplicates;
            conflicts += part.conflicts;
            if let Some(block) = part.block {
                split.apply(Position(i), &block);
            }
        }
        prop_assert_eq!(admission.outcomes.unwrap(), outcomes);
        prop_assert_eq!(
            (admission.taken, admission.duplicates, admission.conflicts),
            (taken, duplicates, conflicts)
        );
        prop_assert_eq!(canonical(&whole), canonical(&split));
    }

    #[test]
    fn taking_at_once_is_admitting_and_applying(
        config in formulas(),
        batches in prop::collection::vec(prop::collection::vec(row(40), 1..20), 1..6),
        cut in 0..7_u64,
        period in periods(),
    ) {
        let mut apart = aggregator(config, DedupePolicy::default());
        let mut at_once = aggregator(config, DedupePolicy::default());
        let mut replayed = aggregator(config, DedupePolicy::default());
        // Customer 3 does not exist.
        let known = |customer: &str| customer != "cus_3";
        let ctx = AdmitContext::new(at(START), &known).with_outcomes().with_block();
        for (i, rows) in (1_u64..).zip(&batches) {
            let mut batch = batch();
            rows.iter().for_each(|row| row.push(&mut batch));
            let one = apart.admit(batch.columns(), &ctx);
            let other = at_once.take(Position(i), batch.columns(), &ctx);
            prop_assert_eq!(&one, &other);
            if let Some(block) = one.block {
                apart.apply(Position(i), &block);
                replayed.apply(Position(i), &Block::decode(&block.encode().unwrap()).unwrap());
            }
        }
        prop_assert_eq!(canonical(&apart), canonical(&at_once));
        prop_assert_eq!(canonical(&apart), canonical(&replayed));
        let read = |meters: &Aggregator, customer: &str| {
            let usage = meters.usage(&meter(1), customer, period, Position(cut)).unwrap();
            (usage, meters.totals(&meter(1), customer, period, Position(cut)).unwrap())
        };
        for customer in ["cus_1", "cus_2", "cus_3"] {
            prop_assert_eq!(read(&apart, customer), read(&at_once, customer));
            prop_assert_eq!(read(&apart, customer), read(&replayed, customer));
        }
    }

    #[test]
    fn totals_are_the_same_whatever_a_meter_keeps(
        window in prop::sample::select(vec![None, Some(EventTimeWindow::Day)]),
        rows in prop::collection::vec(row(200), 1..40),
        cancelled in prop::collection::vec(0..200_u8, 0..9),
        period in periods(),
    ) {
        let reads: Vec<_> = [vec![], vec![Formula::Max, Formula::Last], vec![Formula::Min], Formula::ALL.to_vec()]
            .into_iter()
            .map(|also| {
                let mut meters = Aggregator::default();
                let mut config = MeterConfig::new("calls", Formula::Sum);
                config.event_time_window = window;
                config.also.extend(also);
                meters.define(meter(1), config).unwrap();
                let block = send(&meters, &rows, at(START)).block.unwrap();
                meters.apply(Position(1), &block);
                for identifier in &cancelled {
                    let identifier = format!("id_{identifier}");
                    if let Ok(block) = meters.admit_cancel("calls", &identifier, at(START)) {
                        meters.apply(Position(2), &block);
                    }
                }
                meters.totals(&meter(1), "cus_1", period, Position::MAX).unwrap()
            })
            .collect();
        prop_assert!(reads.iter().all(|read| *read == reads[0]), "{:?}", reads);
    }

    #[test]
    fn replaying_the_blocks_gives_the_same_state_under_any_dedupe_window(
        config in formulas(),
        actions in prop::collection::vec(action(), 1..14),
        period in periods(),
    ) {
        let run = run(config, &actions);
        for policy in [run.meters.policy(), DedupePolicy::FOREVER] {
            let mut replayed = aggregator(config, policy);
            for (position, block) in &run.blocks {
                let block = Block::decode(&block.encode().unwrap()).unwrap();
                replayed.apply(*position, &block);
            }
            for customer in ["cus_1", "cus_2", "cus_3"] {
                for cut in 0..50 {
                    let read = |meters: &Aggregator| {
                        meters.usage(&meter(1), customer, period, Position(cut)).unwrap()
                    };
                    prop_assert_eq!(read(&replayed), read(&run.meters));
                }
            }
            let bytes = replayed.capture().encode().unwrap();
            let read = Aggregator::from_checkpoint(&bytes, policy).unwrap();
            prop_assert_eq!(canonical(&read), canonical(&replayed));
            prop_assert_eq!(&read.capture().encode().unwrap()[..], &bytes[..]);
            if policy == run.meters.policy() {
                prop_assert_eq!(canonical(&replayed), canonical(&run.meters));
            }
        }
    }

    #[test]
    fn canonical_content_tells_states_apart(
        config in formulas(),
        actions in prop::collection::vec(action(), 1..8),
        more in action(),
    ) {
        let before = run(config, &actions);
        let longer: Vec<Action> = actions.iter().cloned().chain([more]).collect();
        let after = run(config, &longer);
        let changed = after.blocks.len() > before.blocks.len();
        prop_assert_eq!(canonical(&before.meters) != canonical(&after.meters), changed);
    }
}

#[test]
fn canonical_content_has_what_a_meter_is() {
    let base = || aggregator((Formula::Sum, None, 0), DedupePolicy::default());
    let mut inactive = base();
    inactive.deactivate(&meter(1)).unwrap();
    let mut second = base();
    second.define(meter(2), MeterConfig::new("tokens", Formula::Sum)).unwrap();
    let states = [
        base(),
        inactive,
        second,
        aggregator((Formula::Last, None, 0), DedupePolicy::default()),
        aggregator((Formula::Sum, Some(EventTimeWindow::Day), 0), DedupePolicy::default()),
        aggregator((Formula::Sum, None, 1), DedupePolicy::default()),
        aggregator((Formula::Sum, None, 2), DedupePolicy::default()),
        aggregator((Formula::Sum, None, 0), DedupePolicy::FOREVER),
        aggregator((Formula::Sum, None, 0), DedupePolicy::window(86_400).unwrap()),
    ];
    for (i, one) in states.iter().enumerate() {
        for (j, other) in states.iter().enumerate() {
            assert_eq!(canonical(one) == canonical(other), i == j, "{i} {j}");
        }
    }
    let f = Fixture::with(Formula::Sum, None, START);
    assert_eq!(f.canonical(), canonical(&base()));
}
