//! Usage by windows: minutes, months, and what the caller cuts.

mod fixture;

use counterfoil_core::Timestamp;
use counterfoil_meter::{Formula, Grouping, MeterError, Position};
use fixture::{Fixture, at, decimal, meter, period};

const NOW: &str = "2025-03-15T12:00:00Z";

fn book() -> Fixture {
    let mut f = Fixture::with(Formula::Sum, None, NOW);
    for (identifier, time, value) in [
        ("a", "2025-02-28T23:59:59Z", "1"),
        ("b", "2025-03-01T00:00:00Z", "20"),
        ("c", "2025-03-09T06:59:59Z", "300"),
        ("d", "2025-03-09T07:00:00Z", "4000"),
        ("e", "2025-03-09T07:00:30Z", "50000"),
    ] {
        f.send(identifier, time, value);
    }
    f
}

#[test]
fn minutes_and_months_are_groups() {
    let f = book();
    let range = period("2025-02-10T00:00:00Z", "2025-03-10T00:00:00Z");
    for (grouping, expected) in [
        (
            Grouping::Month,
            &[
                ("2025-02-10T00:00:00Z", "2025-03-01T00:00:00Z", "1"),
                ("2025-03-01T00:00:00Z", "2025-03-10T00:00:00Z", "54320"),
            ][..],
        ),
        (
            Grouping::Minute,
            &[
                ("2025-02-28T23:59:00Z", "2025-03-01T00:00:00Z", "1"),
                ("2025-03-01T00:00:00Z", "2025-03-01T00:01:00Z", "20"),
                ("2025-03-09T06:59:00Z", "2025-03-09T07:00:00Z", "300"),
                ("2025-03-09T07:00:00Z", "2025-03-09T07:01:00Z", "54000"),
            ],
        ),
    ] {
        let rows = f.meters.summaries(&meter(1), "cus_1", range, Some(grouping), Position::MAX);
        let rows = rows.unwrap();
        let rows: Vec<_> = rows.iter().map(|row| (row.period, row.value)).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(start, end, value)| (period(start, end), decimal(value)))
            .collect();
        assert_eq!(rows, expected);
    }
}

#[test]
fn days_of_a_time_zone_are_windows_that_the_caller_cuts() {
    let f = book();
    // New York: the ninth of March 2025 has 23 hours there.
    let bounds = ["2025-03-08T05:00:00Z", "2025-03-09T05:00:00Z", "2025-03-10T04:00:00Z"].map(at);
    let read = |bounds: &[Timestamp]| {
        let rows = f.meters.usage_in(&meter(1), "cus_1", bounds, Position::MAX)?;
        Ok::<_, MeterError>(rows.into_iter().map(|row| row.quantity).collect::<Vec<_>>())
    };
    assert_eq!(read(&bounds), Ok(vec![decimal("0"), decimal("54300")]));
    assert_eq!(read(&bounds[..1]), Ok(vec![]));
    assert_eq!(read(&[]), Ok(vec![]));
    let back = [bounds[1], bounds[0]];
    assert_eq!(read(&back), Err(MeterError::NotAscending { at: bounds[0] }));
}

#[test]
fn what_came_after_the_bill_is_kept_apart() {
    let mut f = book();
    let range = period("2025-03-01T00:00:00Z", "2025-03-10T00:00:00Z");
    let billed_at = f.meters.position();
    f.send("late", "2025-03-02T00:00:00Z", "7");
    f.send("other", "2025-03-12T00:00:00Z", "9");
    let block = f.meters.admit_cancel("calls", "b", f.now).unwrap();
    f.apply(Some(&block));
    let late = f.meters.late(&meter(1), "cus_1", range, billed_at).unwrap();
    let quantities = [late.billed, late.now, late.late].map(|reading| reading.quantity);
    assert_eq!(quantities, ["54320", "54307", "7"].map(decimal));
    let names = |events: &[counterfoil_meter::UsageEvent<'_>]| -> Vec<String> {
        events.iter().map(|event| event.identifier.to_string()).collect()
    };
    assert_eq!(names(&late.events), ["late"]);
    assert_eq!(names(&late.adjusted), ["b"]);
}
