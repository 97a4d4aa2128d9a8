//! The model alone: decisions and what they change, with nothing encoded and nothing written.

use counterfoil::{Attempt, EventBatch, Refusal, SucceedPaymentAttempt, Timestamp};
use counterfoil_meter::{
    AdmitContext, Aggregator, DedupePolicy, Formula, MeterConfig, MeterError, Position,
};
use counterfoil_model::{
    Command, Context, Decision, Event, Output, Settings, State, UsageSource, create_book, execute,
    work,
};

/// A book without a log: what is left of an engine when neither bytes nor a disk are wanted.
#[derive(Debug)]
pub struct Machine {
    state: State,
    meters: Aggregator,
    now: Timestamp,
    position: Position,
}

struct Readings<'a>(&'a Aggregator);

impl UsageSource for Readings<'_> {
    fn usage(
        &self,
        meter: &counterfoil::MeterId,
        customer: &counterfoil::CustomerId,
        period: counterfoil::Period,
        _price: &counterfoil::Price,
    ) -> Result<counterfoil::UsageReading, Refusal> {
        let read = self.0.usage(meter, customer.as_str(), period, self.0.position())?;
        Ok(counterfoil::UsageReading {
            meter: meter.clone(),
            quantity: read.quantity,
            events: read.events,
            position: read.position.0,
        })
    }
}

impl Machine {
    /// A new book.
    ///
    /// # Errors
    /// None: the settings are those that a book has by itself.
    pub fn new(at: Timestamp) -> Result<Self, Refusal> {
        let state = create_book(&Settings::default(), at)?.state;
        let meters = Aggregator::new(DedupePolicy::default());
        Ok(Self { state, meters, now: at, position: Position(0) })
    }

    /// What the book says.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Executes a command.
    ///
    /// # Errors
    /// What it is refused for.
    pub fn execute(&mut self, command: &Command) -> Result<Output, Refusal> {
        let readings = Readings(&self.meters);
        let key_slot = self.state.key_slots();
        let context = Context { at: self.now, usage: &readings, key_slot };
        let Decision { state, target, events } = execute(&self.state, &context, command)?;
        for event in &events {
            self.follow(event)?;
        }
        self.keep(state);
        self.state.output(&target)
    }

    fn keep(&mut self, state: State) {
        self.state = state;
        self.state.settle();
    }

    /// The meters of the benchmarks add up.
    fn follow(&mut self, event: &Event) -> Result<(), MeterError> {
        use counterfoil_billing::Event::Meter;
        use counterfoil_billing::meter::MeterEvent::Created;
        if let Event::Billing(Meter(Created(meter))) = event {
            let config = MeterConfig::new(&meter.event_name, Formula::Sum);
            self.meters.define(meter.id.clone(), config)?;
        }
        Ok(())
    }

    /// Takes usage in.
    pub fn ingest(&mut self, batch: &EventBatch) {
        let known = |customer: &str| self.state.takes_usage(customer);
        let admission = self.meters.admit(batch.columns(), &AdmitContext::new(self.now, &known));
        if let Some(block) = &admission.block {
            self.position = Position(self.position.0.saturating_add(1));
            self.meters.apply(self.position, block);
        }
    }

    /// Moves the time: what falls due is done one by one, and what is to be collected is collected
    /// at once where `collects`. How many pieces of due work there were.
    ///
    /// # Errors
    /// None: nobody refuses an outcome that is awaited.
    #[inline(never)]
    pub fn advance(&mut self, to: Timestamp, collects: bool) -> Result<usize, Refusal> {
        let mut worked: usize = 0;
        while let Some(key) = self.state.next_due().filter(|key| key.at <= to).cloned() {
            self.now = self.now.max(key.at);
            let readings = Readings(&self.meters);
            let key_slot = self.state.key_slots();
            let context = Context { at: self.now, usage: &readings, key_slot };
            if let Some(decision) = work(&self.state, &context, &key) {
                self.keep(decision.state);
            }
            worked = worked.saturating_add(1);
            if collects {
                self.collect()?;
            }
        }
        self.now = self.now.max(to);
        Ok(worked)
    }

    /// Lets every open attempt succeed. How many there were.
    ///
    /// # Errors
    /// As [`Self::advance`].
    #[inline(never)]
    pub fn collect(&mut self) -> Result<usize, Refusal> {
        if !self.state.has_open_attempts() {
            return Ok(0);
        }
        let open = self.state.open_attempts().into_iter().map(|Attempt { id, .. }| id.clone());
        let open: Vec<_> = open.collect();
        for id in &open {
            let readings = Readings(&self.meters);
            let key_slot = self.state.key_slots();
            let context = Context { at: self.now, usage: &readings, key_slot };
            let command = SucceedPaymentAttempt { id: id.clone(), amount: None }.into();
            let decision = execute(&self.state, &context, &command)?;
            self.keep(decision.state);
        }
        Ok(open.len())
    }
}
