//! Reads a file of usage and prints what it comes to, by event name, customer and day.
//!
//! ```text
//! cargo run -p counterfoil-meter --features files --example read_file
//! cargo run -p counterfoil-meter --features parquet,zones --example read_file -- \
//!     usage.parquet Europe/Berlin customer=who value=tokens event_name==tokens
//! ```
//!
//! A file has the columns `event_name`, `customer`, `timestamp`, `value` and `identifier`, as far as
//! nothing else is said: `field=column`, or `field==constant`. Without a file it reads one of its own.
#![allow(clippy::disallowed_methods, reason = "its arguments say what it reads")]

use counterfoil_core::{Id, Period, Timestamp};
use counterfoil_meter::files::{FileFormat, UsageFile};
use counterfoil_meter::{
    AdmitContext, Aggregator, Anyone, Field, Formula, Mapping, MeterConfig, Position, Summary,
};
use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;

const SAMPLE: &str = "\
identifier,event_name,customer,timestamp,value
req_1,tokens,cus_ada,2025-03-29T22:59:59Z,1500
req_2,tokens,cus_ada,2025-03-29T23:00:00Z,20.5
req_2,tokens,cus_ada,2025-03-29T23:00:00Z,20.5
req_3,calls,cus_bob,2025-03-30T12:00:00.25Z,1
req_4,tokens,cus_bob,yesterday,7
req_5,tokens,cus_bob,2025-03-30T12:00:01Z,many
";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let path = arguments.next_if(|argument| !argument.contains('='));
    let zone = arguments.next_if(|argument| !argument.contains('='));
    let mapping = mapping(arguments)?;
    let open = || match &path {
        Some(path) => UsageFile::open(Path::new(path), &mapping),
        None => {
            let (name, bytes) = (Path::new("sample.csv"), SAMPLE.as_bytes().to_vec());
            UsageFile::from_bytes(name, FileFormat::Csv, bytes, &mapping)
        }
    };

    // The names come first: a meter is defined before its events are taken. An event is judged at
    // the time of its receipt, which for an old file is when it was written.
    let (mut names, mut latest) = (BTreeSet::new(), i64::MIN);
    for batch in open()? {
        let batch = batch?;
        let view = batch.view()?;
        names.extend(view.names().iter().map(|&name| name.to_owned()));
        latest = latest.max(view.times().into_iter().flatten().copied().max().unwrap_or(latest));
    }
    let mut meters = Aggregator::default();
    for (number, name) in (1..).zip(&names) {
        meters.define(Id::derived(number), MeterConfig::new(name, Formula::Sum))?;
    }
    let now = counterfoil_core::EventTime::from_nanos(latest).second();
    let counts = take(&mut meters, open()?, now)?;
    println!("{} taken, {} duplicates, {} refused", counts.0, counts.1, counts.2);

    let first = now.checked_add_days(-36)?;
    for (number, name) in (1..).zip(&names) {
        let meter = Id::derived(number);
        for customer in meters.customers_with_usage(&meter).collect::<Vec<_>>() {
            for day in days(&meters, &meter, &customer, Period::new(first, now), zone.as_deref())? {
                println!("{name} of {customer}, {}: {}", day.period, day.value);
            }
        }
    }
    Ok(())
}

/// Takes a file in; how many events were taken, were duplicates and were refused.
fn take(
    meters: &mut Aggregator,
    file: UsageFile,
    now: Timestamp,
) -> Result<(u64, u64, usize), Box<dyn Error>> {
    let (mut taken, mut duplicates, mut refused) = (0, 0, 0);
    for batch in file {
        let batch = batch?;
        let view = batch.view()?;
        let position = Position(meters.position().0 + 1);
        let admission = meters.take(position, view.columns()?, &AdmitContext::new(now, &Anyone));
        taken += admission.taken;
        duplicates += admission.duplicates;
        let judged = admission.refused.iter().filter_map(|own| batch.refused_event(own));
        let mut rows: Vec<_> = batch.refused.iter().cloned().chain(judged).collect();
        rows.sort_by_key(|row| row.place);
        rows.iter().for_each(|row| println!("{row}"));
        refused += rows.len();
    }
    Ok((taken, duplicates, refused))
}

/// The days of a customer, by the clock of a zone where one is given.
fn days(
    meters: &Aggregator,
    meter: &Id<counterfoil_core::kind::Meter>,
    customer: &str,
    period: Period,
    zone: Option<&str>,
) -> Result<Vec<Summary>, Box<dyn Error>> {
    use counterfoil_meter::Grouping::Day;
    let cut = Position::MAX;
    #[cfg(feature = "zones")]
    if let Some(zone) = zone {
        let zone = counterfoil_meter::Zone::named(zone)?;
        let start = zone.window(Day, period.start).start;
        let period = Period::new(start, zone.window(Day, period.end).end);
        return Ok(meters.summaries_in(meter, customer, period, Day, zone, cut)?);
    }
    if let Some(zone) = zone {
        return Err(format!("without the feature `zones` there are no days of {zone}").into());
    }
    let day = |at: Timestamp| Timestamp::from_unix(at.unix().div_euclid(86_400) * 86_400);
    let period = Period::new(day(period.start)?, day(period.end.checked_add_days(1)?)?);
    Ok(meters.summaries(meter, customer, period, Some(Day), cut)?)
}

fn mapping(arguments: impl Iterator<Item = String>) -> Result<Mapping, Box<dyn Error>> {
    let mut mapping = Mapping::default();
    for argument in arguments {
        let (field, from) = argument.split_once('=').ok_or("field=column or field==constant")?;
        let from = match from.strip_prefix('=') {
            Some(constant) => Field::Constant(constant.to_owned()),
            None => Field::Column(from.to_owned()),
        };
        *match field {
            "event_name" => &mut mapping.event_name,
            "customer" => &mut mapping.customer,
            "timestamp" => &mut mapping.timestamp,
            "value" => &mut mapping.value,
            "identifier" => &mut mapping.identifier,
            _ => return Err(format!("there is no field {field}").into()),
        } = from;
    }
    Ok(mapping)
}
