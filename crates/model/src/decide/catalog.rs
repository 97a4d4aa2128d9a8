//! Products, prices, meters and alerts.

use super::tx::Tx;
use crate::answer::Target;
use counterfoil_billing::alert::{
    self, ActivateAlert, AlertEvent, AlertStatus, ArchiveAlert, CreateAlert, DeactivateAlert,
};
use counterfoil_billing::catalog::{
    CreatePrice, CreateProduct, UpdatePrice, UpdateProduct, decide_create_price,
    decide_create_product, decide_update_price, decide_update_product,
};
use counterfoil_billing::meter::{
    self, CreateMeter, DeactivateMeter, MeterEvent, ReactivateMeter, UpdateMeter,
};
use counterfoil_core::{Refusal, limits};

impl Tx<'_> {
    pub(super) fn create_product(&mut self, command: &CreateProduct) -> Result<Target, Refusal> {
        let id = self.new_id(command.id.as_ref(), |state, id| state.products.contains_key(id))?;
        let event = decide_create_product(command, id.clone(), self.at())?;
        self.emit(event);
        Ok(Target::Product(id))
    }

    pub(super) fn update_product(&mut self, command: &UpdateProduct) -> Result<Target, Refusal> {
        let product = self.state.product(&command.id)?;
        let event = decide_update_product(product, command, self.at())?;
        self.emit(event);
        Ok(Target::Product(command.id.clone()))
    }

    pub(super) fn create_price(&mut self, command: &CreatePrice) -> Result<Target, Refusal> {
        let id = self.new_id(command.id.as_ref(), |state, id| state.prices.contains_key(id))?;
        let product = self.state.product(&command.product)?;
        if let Some(meter) = command.recurring.as_ref().and_then(|r| r.meter.as_ref()) {
            let meter = self.state.meter(meter)?;
            let selected = command.recurring.iter().flat_map(|r| r.dimensions.keys());
            for name in selected {
                if !meter.dimensions.contains(name) {
                    let reason = format!("{} keeps no dimension {name:?}", meter.id);
                    return Err(Refusal::invalid("recurring.dimensions", reason));
                }
            }
        }
        if let Some(key) = &command.lookup_key {
            self.check_lookup_key(key, None)?;
        }
        let event = decide_create_price(command, id.clone(), product, self.at())?;
        self.emit(event);
        Ok(Target::Price(id))
    }

    pub(super) fn update_price(&mut self, command: &UpdatePrice) -> Result<Target, Refusal> {
        let price = self.state.price(&command.id)?;
        if let Some(key) = command.lookup_key.value() {
            self.check_lookup_key(key, Some(price.id.as_str()))?;
        }
        let event = decide_update_price(price, command)?;
        self.emit(event);
        Ok(Target::Price(command.id.clone()))
    }

    fn check_lookup_key(&self, key: &str, own: Option<&str>) -> Result<(), Refusal> {
        let holder = self.state.prices().find(|price| price.lookup_key.as_deref() == Some(key));
        match holder {
            Some(holder) if own != Some(holder.id.as_str()) => {
                Err(Refusal::invalid("lookup_key", format!("{key:?} belongs to {}", holder.id)))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn create_meter(&mut self, command: &CreateMeter) -> Result<Target, Refusal> {
        let id = self.new_id(command.id.as_ref(), |state, id| state.meters.contains_key(id))?;
        let taken = |other: &&meter::Meter| other.event_name == command.event_name;
        if let Some(other) = self.state.meters.values().map(AsRef::as_ref).find(taken) {
            let reason = format!("{:?} belongs to {}", command.event_name, other.id);
            return Err(Refusal::invalid("event_name", reason));
        }
        let event = meter::decide_create(command, id.clone(), self.next_seq(), self.at())?;
        self.emit(event);
        Ok(Target::Meter(id))
    }

    pub(super) fn update_meter(&mut self, command: &UpdateMeter) -> Result<Target, Refusal> {
        let event = meter::decide_update(self.state.meter(&command.id)?, command, self.at())?;
        self.meter_changed(event)
    }

    pub(super) fn deactivate_meter(
        &mut self,
        command: &DeactivateMeter,
    ) -> Result<Target, Refusal> {
        let event = meter::decide_deactivate(self.state.meter(&command.id)?, self.at())?;
        self.meter_changed(event)
    }

    pub(super) fn reactivate_meter(
        &mut self,
        command: &ReactivateMeter,
    ) -> Result<Target, Refusal> {
        let event = meter::decide_reactivate(self.state.meter(&command.id)?, self.at())?;
        self.meter_changed(event)
    }

    pub(super) fn create_alert(&mut self, command: &CreateAlert) -> Result<Target, Refusal> {
        let id = self.new_id(command.id.as_ref(), |state, id| state.alerts.contains_key(id))?;
        let meter = &self.state.meter(&command.usage_threshold.meter)?.id;
        let customer = alert::watched(command)?;
        if let Some(customer) = customer {
            self.state.customer(customer)?;
        }
        let beside = self.state.alerts.values().filter(|other| {
            let same = other.meter == *meter && other.customer.as_ref() == customer;
            same && other.status != AlertStatus::Archived
        });
        let limit = limits::METER_ALERTS_MAX;
        if beside.count() >= limit {
            let whom = if customer.is_some() { "this customer" } else { "all customers" };
            let reason = format!("{meter} has {limit} alerts on {whom}, which is the limit");
            return Err(Refusal::invalid("usage_threshold", reason));
        }
        let event = alert::decide_create(command, id, self.next_seq(), self.at())?;
        self.alert_changed(event)
    }

    pub(super) fn activate_alert(&mut self, command: &ActivateAlert) -> Result<Target, Refusal> {
        let event = alert::decide_activate(self.state.alert(&command.id)?, self.at())?;
        self.alert_changed(event)
    }

    pub(super) fn deactivate_alert(
        &mut self,
        command: &DeactivateAlert,
    ) -> Result<Target, Refusal> {
        let event = alert::decide_deactivate(self.state.alert(&command.id)?, self.at())?;
        self.alert_changed(event)
    }

    pub(super) fn archive_alert(&mut self, command: &ArchiveAlert) -> Result<Target, Refusal> {
        let event = alert::decide_archive(self.state.alert(&command.id)?, self.at())?;
        self.alert_changed(event)
    }

    fn alert_changed(&mut self, event: AlertEvent) -> Result<Target, Refusal> {
        let target = match event.alert() {
            Some(alert) => Target::Alert(alert.id.clone()),
            None => Target::Book,
        };
        self.emit(event);
        Ok(target)
    }

    fn meter_changed(&mut self, event: MeterEvent) -> Result<Target, Refusal> {
        let id = event.meter().id.clone();
        self.emit(event);
        Ok(Target::Meter(id))
    }
}
