//! Meters two customers' storage, with a retry, a late event and a correction, and no billing.

use counterfoil_core::{EventTime, Id, Period, Timestamp};
use counterfoil_meter::{
    AdmitContext, Aggregator, DedupePolicy, EventBatch, Formula, MeterConfig, Position,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let storage = Id::new("mtr_storage")?;
    let mut meters = Aggregator::new(DedupePolicy::window(86_400)?);
    meters.define(storage.clone(), MeterConfig::new("gib_hours", Formula::Sum))?;

    let now = Timestamp::parse("2025-03-15T12:00:00Z")?;
    let yesterday = EventTime::from_timestamp(now.checked_add_days(-1)?)?;
    let mut batch = EventBatch::new("gib_hours");
    batch.push(Some("a1"), Some("ada"), None, Some("12.25"))?;
    batch.push(Some("a1"), Some("ada"), None, Some("12.25"))?; // a retry
    batch.push(Some("a2"), Some("ada"), Some(yesterday), Some("3"))?; // late
    batch.push(Some("b1"), Some("bob"), None, Some("1000"))?; // a mistake
    batch.push(Some("c1"), Some("cy"), None, Some("1"))?; // unknown
    let known = |customer: &str| ["ada", "bob"].contains(&customer);
    let admission = meters.admit(batch.columns(), &AdmitContext::new(now, &known));
    println!("{} taken, {} duplicate", admission.taken, admission.duplicates);
    for refused in &admission.refused {
        println!("row {}: {} ({})", refused.index, refused.cause, refused.code());
    }
    // Here a log would keep `block.encode()`; its record number is the position.
    if let Some(block) = &admission.block {
        meters.apply(Position(1), block);
    }
    let correction = meters.admit_cancel("gib_hours", "b1", now)?;
    meters.apply(Position(2), &correction);

    let period = Period::new(now.checked_add_days(-30)?, now.checked_add_days(1)?);
    for customer in meters.customers_with_usage(&storage) {
        let before = meters.usage(&storage, &customer, period, Position(1))?;
        let after = meters.usage(&storage, &customer, period, Position::MAX)?;
        println!("{customer}: {} before the correction, {} now", before.quantity, after.quantity);
    }
    Ok(())
}
