//! The one place where the book changes: decide, append, evolve, in one order.

use crate::ahead::{Encoded, Lookahead, Place};
use crate::codec::{self, Decoded};
use crate::engine::outcome_command;
use crate::error::{BookError, Error};
use crate::keys::Keys;
use crate::metering::{self, Adjusted, CreateMeterEventAdjustment, Ingested, Readings};
use crate::payment::Opened;
use crate::snapshot::Kept;
use counterfoil_billing::alert::{AlertEvent, AlertTriggered};
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::{Outcome, PaymentAttemptId};
use counterfoil_core::{Refusal, Timestamp, limits};
use counterfoil_log::limits::{RECORD_BYTES_MAX, RECORD_EVENTS_MAX};
use counterfoil_log::{Log, LogError, Lsn, NewRecord, RecordKind};
use counterfoil_meter::{AdmitContext, Aggregator, AlertsAtMost, Block, EventColumns, Position};
use counterfoil_model::{
    Command, Context, Decision, DueKey, Event, KeyUse, Output, Preview, PreviewOf, RecordMeta,
    Settings, Shelf, State, correct_late_usage, create_book, cross_thresholds, execute, preview,
    work,
};
use std::borrow::Cow;
use std::sync::Arc;

/// Bytes of an alert in a record beside the ids of the alert and its meter: a customer, named
/// twice, and little else.
const ALERT_BYTES_MAX: usize = 256 + 2 * limits::ID_BYTES_MAX;

/// The state of a book and where it stands.
#[derive(Debug)]
pub(crate) struct Sequencer {
    pub(crate) state: State,
    pub(crate) meters: Aggregator,
    /// The time of the book: that of its latest record, or later.
    pub(crate) clock: Option<Timestamp>,
    /// The latest time that anybody told: the book's own lags behind it while due work is left.
    /// Usage is judged by this one.
    pub(crate) told: Option<Timestamp>,
    /// The time of the latest record.
    pub(crate) written: Option<Timestamp>,
    /// The latest record.
    pub(crate) last: Lsn,
    /// How many meter events were taken.
    pub(crate) usage_events: u64,
    /// The attempts to collect that were opened through this handle.
    pub(crate) opened: Opened,
    /// Due work that was decided before its turn.
    pub(crate) lookahead: Lookahead,
    settings: Settings,
    keys: Arc<Keys>,
}

/// What a command came to, and the record that must be durable before anybody may know.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) output: Output,
    pub(crate) lsn: Lsn,
}

impl Sequencer {
    pub(crate) fn new(
        settings: Settings,
        meters: Aggregator,
        keys: Arc<Keys>,
        shelf: Arc<Shelf>,
    ) -> Self {
        Self {
            state: State::on_shelf(shelf),
            meters,
            clock: None,
            told: None,
            written: None,
            last: Lsn::ZERO,
            usage_events: 0,
            opened: Opened::default(),
            lookahead: Lookahead::default(),
            settings,
            keys,
        }
    }

    /// What the book began with.
    pub(crate) fn kept(&self) -> Kept {
        let (settings, meters) = (self.settings.clone(), self.meters.emptied());
        Kept { settings, meters, keys: Arc::clone(&self.keys), shelf: Arc::default() }
    }

    /// Whether all that was needed of the state could be read so far. Asked before anything is
    /// written or answered.
    pub(crate) fn check_readable(&self) -> Result<(), Error> {
        match self.state.fault() {
            Some(fault) => Err(Error::Unreadable(fault.to_string())),
            None => Ok(()),
        }
    }

    /// The keys that what is personal is sealed with.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Applies a record that is in the log already.
    pub(crate) fn replay(&mut self, lsn: Lsn, record: &Decoded) -> Result<(), BookError> {
        self.replay_noticing(lsn, record).map(drop)
    }

    /// The same; the alerts that the usage in the record sets off.
    pub(crate) fn replay_noticing(
        &mut self,
        lsn: Lsn,
        record: &Decoded,
    ) -> Result<Vec<counterfoil_meter::AlertTriggered>, BookError> {
        let mut noticed = Vec::new();
        for event in &record.events {
            self.state.apply(record.at, event);
            metering::follow(&mut self.meters, event)
                .map_err(|error| BookError::Record { lsn, reason: error.to_string() })?;
        }
        if let Some(block) = &record.block {
            self.usage_events = self.usage_events.saturating_add(count(block));
            noticed = self.meters.apply(Position(lsn.0), block);
        }
        self.state.settle();
        self.state.apply_meta(record.at, &record.meta);
        self.clock = self.clock.max(Some(record.at));
        self.written = self.clock;
        self.last = lsn;
        Ok(noticed)
    }

    /// The hash of state and usage.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.state.hash());
        self.meters.canonical(&mut |bytes| {
            hasher.update(bytes);
        });
        *hasher.finalize().as_bytes()
    }

    /// The time of the book.
    pub(crate) fn now(&self) -> Result<Timestamp, Error> {
        self.clock.ok_or(Error::NoTime)
    }

    /// The time that usage is judged by.
    fn received_at(&self) -> Result<Timestamp, Error> {
        self.told.max(self.clock).ok_or(Error::NoTime)
    }

    /// Refuses a time before the book's own, and creates the book at its first one.
    pub(crate) fn begin_at(&mut self, log: &Log, at: Timestamp) -> Result<(), Error> {
        if let Some(clock) = self.clock.filter(|clock| at < *clock) {
            let reason = format!("{at} lies before the book's own time, {clock}");
            return Err(Refusal::invalid("at", reason).into());
        }
        if self.clock.is_none() {
            let decision = create_book(&self.settings, at)?;
            self.commit(log, at, decision, RecordMeta::default())?;
            self.clock = Some(at);
        }
        self.told = self.told.max(Some(at));
        Ok(())
    }

    /// Decides a command at the book's time and appends what happened.
    pub(crate) fn command(
        &mut self,
        log: &Log,
        command: &Command,
        key: Option<KeyUse>,
        expected: Option<(&str, u64)>,
    ) -> Result<Decided, Error> {
        let at = self.now()?;
        if let Some(answer) = key.as_ref().and_then(|key| self.state.remembered(key, at)) {
            // The original may not be durable yet; it is once everything so far is.
            return Ok(Decided { output: answer?, lsn: self.last });
        }
        if let Some((stream, expected)) = expected {
            check_stream(stream)?;
            let actual = self.state.stream_version(stream);
            if actual != expected {
                let stream = stream.to_owned();
                return Err(Refusal::VersionConflict { stream, expected, actual }.into());
            }
        }
        let about = command.comes_after_work_of(&self.state);
        let before = self.due_before(command, at);
        let state = before.last().map_or(&self.state, |decision| &decision.state);
        let readings = Readings(&self.meters);
        let mut key_slot = self.state.key_slots();
        if let Command::CreateCustomer(_) = command {
            key_slot = self.keys.free_from(key_slot)?;
        }
        let context = Context { at, usage: &readings, key_slot };
        let decided = execute(state, &context, command);
        self.check_readable()?;
        match decided {
            Ok(decision) => {
                for due in before {
                    self.commit(log, at, due, RecordMeta::default())?;
                }
                let target = key.is_some().then(|| decision.target.clone());
                let output = decision.state.output(&decision.target)?;
                let about = about.or_else(|| decision.state.customer_of(&decision.target));
                let customer = about.clone().filter(|_| key.is_some());
                let meta = RecordMeta { key, target, customer, refusal: None };
                let lsn = self.commit(log, at, decision, meta)?;
                // What could not be corrected before may be by now: the outcome of a payment was
                // awaited, say.
                if let Some(customer) = about.filter(|_| self.state.corrects_late_usage()) {
                    self.correct_invoices(log, &customer)?;
                }
                Ok(Decided { output, lsn })
            }
            Err(refusal) => {
                if let Some(mut key) = key.filter(|_| !is_malformed(&refusal)) {
                    if command.may_be_personal() && !codec::can_seal(&self.state, about.as_ref()) {
                        key.fingerprint = None;
                    }
                    let (key, refusal) = (Some(key), Some(refusal.clone()));
                    let meta = RecordMeta { key, target: None, customer: about, refusal };
                    self.note(log, at, meta)?;
                }
                Err(refusal.into())
            }
        }
    }

    /// A command comes after what was due in its own second. A budget that was used up may have
    /// left some of it: these are the decisions on that of the customer whom the command is about.
    /// They are written with the command, or not at all where it is refused.
    fn due_before(&self, command: &Command, at: Timestamp) -> Vec<Decision> {
        let mut decisions: Vec<Decision> = Vec::new();
        if self.state.next_due().is_none_or(|key| key.at > at) {
            return decisions;
        }
        let Some(customer) = command.comes_after_work_of(&self.state) else { return decisions };
        let readings = Readings(&self.meters);
        let context = Context { at, usage: &readings, key_slot: self.state.key_slots() };
        loop {
            let state = decisions.last().map_or(&self.state, |decision| &decision.state);
            let key = state.next_due_of(&customer).filter(|key| key.at <= at);
            match key.and_then(|key| work(state, &context, &key)) {
                Some(decision) => decisions.push(decision),
                None => return decisions,
            }
        }
    }

    /// What a command would come to.
    pub(crate) fn dry_run(&self, command: &Command) -> Result<Decision, Error> {
        let at = self.now()?;
        let before = self.due_before(command, at);
        let state = before.last().map_or(&self.state, |decision| &decision.state);
        let readings = Readings(&self.meters);
        let context = Context { at, usage: &readings, key_slot: self.state.key_slots() };
        let decided = execute(state, &context, command);
        self.check_readable()?;
        Ok(decided?)
    }

    /// What would be invoiced, after what is due already.
    pub(crate) fn preview(&self, of: &PreviewOf) -> Result<Preview, Error> {
        let at = self.now()?;
        let command = match of {
            PreviewOf::Command(command) => Some(&**command),
            PreviewOf::Customer(_) | PreviewOf::Subscription(_) | PreviewOf::Schedule(_) => None,
        };
        let before = command.map(|command| self.due_before(command, at)).unwrap_or_default();
        let state = before.last().map_or(&self.state, |decision| &decision.state);
        let readings = Readings(&self.meters);
        let context = Context { at, usage: &readings, key_slot: self.state.key_slots() };
        let preview = preview(state, &context, of);
        self.check_readable()?;
        Ok(preview?)
    }

    /// The work that is due first, if it is due by an instant.
    pub(crate) fn due_by(&self, until: Timestamp) -> Option<DueKey> {
        self.state.next_due().filter(|key| key.at <= until).cloned()
    }

    /// Does one item of due work at its own time, or at the book's where that is later. More of what
    /// is due may be decided on the way, up to an instant and so many items.
    pub(crate) fn work(
        &mut self,
        log: &Log,
        key: &DueKey,
        (until, items_max): (Timestamp, usize),
    ) -> Result<(), Error> {
        let at = self.clock.map_or(key.at, |clock| clock.max(key.at));
        let created = self.state.created_count();
        let place = Place {
            state: &self.state,
            meters: &self.meters,
            keys: &self.keys,
            at,
            until,
            items_max,
        };
        let ahead = self.lookahead.take(key, place);
        self.check_readable()?;
        if let Some(decided) = ahead {
            self.commit_ahead(log, at, decided)?;
        } else {
            let readings = Readings(&self.meters);
            let context = Context { at, usage: &readings, key_slot: self.state.key_slots() };
            let decided = work(&self.state, &context, key);
            self.check_readable()?;
            if let Some(decision) = decided {
                self.commit(log, at, decision, RecordMeta::default())?;
            }
        }
        self.lookahead.learn(key.class, self.state.created_count().saturating_sub(created));
        self.clock = Some(at);
        Ok(())
    }

    /// Takes the outcome of an attempt in.
    pub(crate) fn outcome(
        &mut self,
        log: &Log,
        attempt: PaymentAttemptId,
        outcome: Outcome,
    ) -> Result<(), Error> {
        let at = self.now()?;
        let known = (&self.state, self.meters.position());
        let ahead = (outcome == Outcome::Succeeded)
            .then(|| self.lookahead.take_success(&attempt, at, known))
            .flatten();
        if let Some(decided) = ahead {
            self.check_readable()?;
            return self.commit_ahead(log, at, decided);
        }
        self.command(log, &outcome_command(attempt, outcome), None, None).map(drop)
    }

    /// Takes usage in: judged, appended, counted.
    pub(crate) fn ingest(
        &mut self,
        log: &Log,
        columns: EventColumns<'_>,
    ) -> Result<Ingested, Error> {
        let customers = |customer: &str| self.state.takes_usage(customer);
        let admission =
            self.meters.admit(columns, &AdmitContext::new(self.received_at()?, &customers));
        self.take(log, &admission)
    }

    /// Takes one event in.
    pub(crate) fn ingest_event(
        &mut self,
        log: &Log,
        event: &counterfoil_meter::MeterEvent,
    ) -> Result<Ingested, Error> {
        let customers = |customer: &str| self.state.takes_usage(customer);
        let context = AdmitContext::new(self.received_at()?, &customers);
        let admission = self.meters.admit_event(event, &context);
        if let Some(refused) = admission.refused.first() {
            let payload: Vec<String> =
                event.payload.iter().map(|(key, value)| format!("{key}: {value:?}")).collect();
            return Err(Refusal::MeterEvent {
                code: refused.code(),
                identifier: event.identifier.clone().unwrap_or_default(),
                reason: format!(
                    "{} (event {:?}, {})",
                    refused.cause,
                    event.event_name,
                    payload.join(", ")
                ),
            }
            .into());
        }
        self.take(log, &admission)
    }

    /// Cancels an event, or gives it another value, by its identifier.
    pub(crate) fn adjust_usage(
        &mut self,
        log: &Log,
        adjustment: &CreateMeterEventAdjustment,
    ) -> Result<Adjusted, Error> {
        let (identifier, change) = adjustment.parts()?;
        let (name, policy) = (&adjustment.event_name, adjustment.window.policy());
        let now = self.received_at()?;
        let admitted = self.meters.admit_adjustment(name, identifier, change, policy, now);
        let block = admitted.map_err(Refusal::from)?;
        self.append_block(log, &block)
    }

    fn take(
        &mut self,
        log: &Log,
        admission: &counterfoil_meter::Admission,
    ) -> Result<Ingested, Error> {
        let held = match &admission.block {
            Some(block) => {
                let held = self.append_block(log, block)?;
                self.cross_thresholds(log, block)?;
                self.correct_invoices_of(log, block)?;
                Some(held)
            }
            None => None,
        };
        Ok(Ingested::of(admission, held))
    }

    /// Looks once at the thresholds of the customers whose usage a block holds. What they reached is
    /// a record of its own for each customer, after the block.
    fn cross_thresholds(&mut self, log: &Log, block: &Block) -> Result<(), Error> {
        if !self.state.knows_thresholds() {
            return Ok(());
        }
        let at = self.now()?;
        let known = |customer: Cow<'_, str>| {
            let id = CustomerId::new(&customer).ok()?;
            self.state.has_thresholds(&id).then_some(id)
        };
        let customers: Vec<CustomerId> = block.customers().filter_map(known).collect();
        for customer in customers {
            let readings = Readings(&self.meters);
            let context = Context { at, usage: &readings, key_slot: self.state.key_slots() };
            let decided = cross_thresholds(&self.state, &context, &customer);
            self.check_readable()?;
            if let Some(decision) = decided {
                self.commit(log, at, decision, RecordMeta::default())?;
            }
        }
        Ok(())
    }

    /// Corrects the invoices that the usage of a block came too late for, where the book does so: a
    /// record of its own for each customer, after the block.
    fn correct_invoices_of(&mut self, log: &Log, block: &Block) -> Result<(), Error> {
        if !self.state.corrects_late_usage() {
            return Ok(());
        }
        let customers: Vec<CustomerId> =
            block.customers().filter_map(|id| CustomerId::new(&id).ok()).collect();
        customers.iter().try_for_each(|customer| self.correct_invoices(log, customer))
    }

    fn correct_invoices(&mut self, log: &Log, customer: &CustomerId) -> Result<(), Error> {
        let at = self.now()?;
        let readings = Readings(&self.meters);
        let context = Context { at, usage: &readings, key_slot: self.state.key_slots() };
        let decided = correct_late_usage(&self.state, &context, customer);
        self.check_readable()?;
        match decided {
            Some(decision) => self.commit(log, at, decision, RecordMeta::default()).map(drop),
            None => Ok(()),
        }
    }

    fn append_block(&mut self, log: &Log, block: &Block) -> Result<Adjusted, Error> {
        let at = self.now()?;
        let record = codec::encode_block(at, block)?;
        let alerts = match self.meters.alerts_at_most(block) {
            AlertsAtMost { alerts: 0, .. } => {
                let lsn = log.append(record)?;
                self.meters.apply(Position(lsn.0), block);
                self.last = lsn;
                Vec::new()
            }
            most => self.append_watched(log, at, block, record, most)?,
        };
        self.usage_events = self.usage_events.saturating_add(count(block));
        self.written = Some(at);
        Ok(Adjusted { position: self.last, alerts })
    }

    /// Appends a block that may set alerts off, together with those that it does: they have to be
    /// known before it is written, so it is counted first.
    fn append_watched(
        &mut self,
        log: &Log,
        at: Timestamp,
        block: &Block,
        mut record: NewRecord,
        most: AlertsAtMost,
    ) -> Result<Vec<AlertTriggered>, Error> {
        let lsn = self.last.next();
        let bytes: usize = record.events.iter().map(|event| event.body.len()).sum();
        let fits = |alerts: usize| {
            let each = ALERT_BYTES_MAX.saturating_add(most.id_bytes);
            let more = alerts.saturating_mul(each);
            alerts < RECORD_EVENTS_MAX && bytes.saturating_add(more) < RECORD_BYTES_MAX
        };
        let mut tried = None;
        let set_off = if fits(most.alerts) {
            self.meters.apply(Position(lsn.0), block)
        } else {
            // So many customers that they might not fit, which only counting tells.
            tried.insert(self.meters.clone()).apply(Position(lsn.0), block)
        };
        if !fits(set_off.len()) {
            let reason = format!("it sets off {} alerts: send fewer events", set_off.len());
            return Err(Refusal::invalid("events", reason).into());
        }
        if let Some(meters) = tried {
            self.meters = meters;
        }
        // Whatever fails from here on is the end of the handle: the block is counted.
        let alerts = metering::triggered(&set_off).map_err(|error| gone(log, &error))?;
        let event = |own: &AlertTriggered| AlertEvent::Triggered(Arc::new(own.clone())).into();
        let events: Vec<Event> = alerts.iter().map(event).collect();
        let mut after = self.state.clone();
        events.iter().for_each(|event| after.apply(at, event));
        codec::add_events(&mut record, (&self.state, &after), &events, &self.keys)
            .map_err(|error| gone(log, &format!("{error:?}")))?;
        let appended = log.append(record).map_err(|error| match error {
            LogError::Poisoned { .. } | LogError::Closed => error,
            refused => gone(log, &refused),
        })?;
        if appended != lsn {
            return Err(gone(log, &format!("record {appended} was to be {lsn}")).into());
        }
        if !events.is_empty() {
            self.state = after;
            self.state.settle();
        }
        self.last = lsn;
        Ok(alerts)
    }

    fn note(&mut self, log: &Log, at: Timestamp, meta: RecordMeta) -> Result<(), Error> {
        let record = codec::encode_note(&self.state, at, &meta, &self.keys)?;
        self.last = log.append(record)?;
        self.state.apply_meta(at, &meta);
        self.written = Some(at);
        Ok(())
    }

    /// Writes down the time of the book, where it passed since the latest record.
    pub(crate) fn note_time(&mut self, log: &Log) -> Result<(), Error> {
        match self.clock {
            Some(clock) if self.written != Some(clock) => {
                self.note(log, clock, RecordMeta::default())
            }
            _ => Ok(()),
        }
    }

    /// Appends what was decided ahead, and lets it happen: no fork has done so yet.
    fn commit_ahead(&mut self, log: &Log, at: Timestamp, decided: Encoded) -> Result<(), Error> {
        let Encoded { step, entries: events } = decided;
        let (meta, kind) = (Vec::new(), RecordKind::Events);
        let record = NewRecord { at: at.unix(), kind, meta, events };
        for event in &step.events {
            metering::follow(&mut self.meters, event)?;
        }
        let lsn = log.append(record)?;
        self.opened.follow(&step.events);
        for event in &step.events {
            self.state.apply(at, event);
        }
        self.state.settle();
        self.written = Some(at);
        self.last = lsn;
        Ok(())
    }

    fn commit(
        &mut self,
        log: &Log,
        at: Timestamp,
        decision: Decision,
        meta: RecordMeta,
    ) -> Result<Lsn, Error> {
        let events = &decision.events;
        let states = (&self.state, &decision.state);
        let record = codec::encode_events(states, at, events, &meta, &self.keys)?;
        // What the aggregator refuses must not be written: nothing after the append can fail.
        for event in events {
            metering::follow(&mut self.meters, event)?;
        }
        let lsn = log.append(record)?;
        self.opened.follow(events);
        self.state = decision.state;
        self.state.settle();
        self.state.apply_meta(at, &meta);
        self.written = Some(at);
        self.last = lsn;
        Ok(lsn)
    }
}

/// Whether a command was refused for its form: such a refusal is not kept under a key, so that the
/// command may be mended and sent again (rule 1.7, point 55).
fn is_malformed(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::ParameterMissing { .. } | Refusal::ParameterInvalid { .. })
}

/// The end of the handle, where what was done cannot be written.
fn gone(log: &Log, reason: &dyn std::fmt::Display) -> LogError {
    log.poison(&reason.to_string())
}

fn check_stream(stream: &str) -> Result<(), Refusal> {
    if matches!(stream, "book" | "catalog") || stream.starts_with("customer:") {
        return Ok(());
    }
    let reason = format!("{stream:?} is not book, catalog or customer:ID");
    Err(Refusal::invalid("expected_version", reason))
}

fn count(block: &Block) -> u64 {
    u64::try_from(block.len()).unwrap_or(u64::MAX)
}
