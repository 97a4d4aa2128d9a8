//! Alerts of a store: in the acknowledgement of what set them off, and listed after it was opened
//! again.

use super::common::{begin, now, options, reopen};
use crate::fixture::{decimal, meter};
use counterfoil_core::{Id, kind};
use counterfoil_log::MemStorage;
use counterfoil_meter::store::{MeterStore, SingleEvent, StoreError};
use counterfoil_meter::{
    AdjustPolicy, Adjustment, AlertError, AlertStatus, AlertTriggered, EventBatch, Position,
    UsageThreshold,
};

fn alert() -> Id<kind::Alert> {
    Id::derived(1)
}

fn watch(store: &MeterStore, gte: &str) {
    let threshold = UsageThreshold { meter: meter(1), gte: decimal(gte), customer: None };
    store.define_alert(alert(), threshold, now()).unwrap();
}

fn send(store: &MeterStore, identifier: &str, customer: &str, value: &str) -> Vec<AlertTriggered> {
    let mut batch = EventBatch::new("calls");
    batch.push(Some(identifier), Some(customer), None, Some(value)).unwrap();
    store.ingest(batch.columns(), now()).unwrap().wait().unwrap().alerts
}

fn customers(alerts: &[AlertTriggered]) -> Vec<&str> {
    alerts.iter().map(|own| own.customer.as_str()).collect()
}

#[test]
fn whoever_sets_it_off_is_told_and_opening_the_store_again_tells_nobody_twice() {
    for checkpoint in [false, true] {
        let storage = MemStorage::new();
        let store = begin(storage.clone(), options());
        watch(&store, "10");
        assert_eq!(send(&store, "a", "cus_1", "9"), []);
        let off = send(&store, "b", "cus_1", "1");
        assert_eq!((customers(&off), off[0].value), (vec!["cus_1"], decimal("10")));
        assert_eq!(send(&store, "b", "cus_1", "1"), []);
        if checkpoint {
            store.checkpoint().unwrap().unwrap();
        }
        assert_eq!(send(&store, "c", "cus_2", "8"), []);
        drop(store);
        let store = reopen(storage.clone());
        assert_eq!(store.triggered_after(Position(0)).unwrap().0, off);
        assert_eq!(send(&store, "d", "cus_1", "20"), []);
        assert_eq!(customers(&send(&store, "e", "cus_2", "2")), ["cus_2"]);
    }
}

#[test]
fn adjustments_and_single_events_set_it_off_too() {
    let store = begin(MemStorage::new(), options());
    watch(&store, "10");
    send(&store, "a", "cus_1", "9");
    let corrected = Adjustment::Correct(decimal("12"));
    let ticket = store.adjust("calls", "a", corrected, AdjustPolicy::Day, now()).unwrap();
    assert_eq!(customers(&ticket.wait().unwrap().alerts), ["cus_1"]);
    let (seen, position) = store.triggered_after(Position(0)).unwrap();
    assert_eq!(customers(&seen), ["cus_1"]);
    let single = SingleEvent::new("calls", "cus_2").identifier("b").value("11");
    let ticket = store.submit(&single, now()).unwrap();
    ticket.wait().unwrap();
    let (seen, position) = store.triggered_after(position).unwrap();
    assert_eq!(customers(&seen), ["cus_2"]);
    assert_eq!(store.triggered_after(position).unwrap(), (vec![], position));
}

#[test]
fn changes_of_alerts_are_kept() {
    let storage = MemStorage::new();
    let store = begin(storage.clone(), options());
    watch(&store, "10");
    store.set_alert(&alert(), AlertStatus::Inactive, now()).unwrap();
    assert_eq!(send(&store, "a", "cus_1", "10"), []);
    drop(store);
    let store = reopen(storage.clone());
    assert_eq!(store.alerts().unwrap()[0].2, AlertStatus::Inactive);
    store.set_alert(&alert(), AlertStatus::Active, now()).unwrap();
    drop(store);
    let store = reopen(storage.clone());
    assert_eq!(customers(&send(&store, "b", "cus_1", "0")), ["cus_1"]);
    store.set_alert(&alert(), AlertStatus::Archived, now()).unwrap();
    drop(store);
    let store = reopen(storage);
    let refused = store.set_alert(&alert(), AlertStatus::Active, now());
    assert_eq!(refused, Err(StoreError::Alert(AlertError::Archived { alert: alert() })));
    let threshold = UsageThreshold { meter: meter(1), gte: decimal("10"), customer: None };
    assert_eq!(store.alerts().unwrap(), [(alert(), threshold, AlertStatus::Archived)]);
}
