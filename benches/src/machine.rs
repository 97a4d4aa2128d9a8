//! The model alone: decisions and what they change, with nothing encoded and nothing written.

use counterfoil::{Attempt, EventBatch, Refusal, SucceedPaymentAttempt, Timestamp};
use counterfoil_meter::{
    AdmitContext, Aggregator, DedupePolicy, Formula, MeterConfig, MeterError, Position,
};
use counterfoil_model::{
    Ahead, Command, Context, Decision, DueClass, DueKey, Event, Output, Settings, State, Step,
    UsageSource, create_book, execute, work, work_ahead,
};

/// A book without a log: what is left of an engine when neither bytes nor a disk are wanted.
#[derive(Debug)]
pub struct Machine {
    state: State,
    meters: Aggregator,
    now: Timestamp,
    position: Position,
    workers: usize,
}

/// Items of due work that a thread decides at a time, as an engine does.
const ITEMS_EACH: usize = 64;

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
        Ok(Self { state, meters, now: at, position: Position(0), workers: 1 })
    }

    /// The same with so many threads that decide due work.
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
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
        while self.workers > 0 {
            match self.advance_ahead(to, collects)? {
                0 => break,
                more => worked = worked.saturating_add(more),
            }
        }
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

    /// Decides as many items as all threads take at a time, and does them in turn; how many that were.
    fn advance_ahead(&mut self, to: Timestamp, collects: bool) -> Result<usize, Refusal> {
        let keys = self.state.due_until(to, self.workers.saturating_mul(ITEMS_EACH));
        let mut worked: usize = 0;
        if keys.is_empty() {
            return Ok(0);
        }
        for Ahead { key, at, work, success } in self.decide_ahead(&keys) {
            if self.state.next_due() != Some(&key) || !self.take(at, &work) {
                break;
            }
            worked = worked.saturating_add(1);
            let succeeded = success.is_some_and(|(_, step)| collects && self.take(at, &step));
            if collects && !succeeded {
                self.collect()?;
            }
        }
        Ok(worked)
    }

    /// Lets what was decided ahead happen, if it is what would be decided now.
    fn take(&mut self, at: Timestamp, step: &Step) -> bool {
        let bears = self.state.bears(step);
        if bears {
            step.events.iter().for_each(|event| self.state.apply(at, event));
            self.state.settle();
            self.now = at;
        }
        bears
    }

    fn decide_ahead(&self, keys: &[DueKey]) -> Vec<Ahead> {
        let decide = |keys: &[DueKey], created: u64| {
            work_ahead(&self.state, &Readings(&self.meters), self.now, keys, created)
        };
        let each = keys.len().div_ceil(self.workers).max(1);
        let mut created = self.state.created_count();
        let parts: Vec<_> = keys
            .chunks(each)
            .map(|keys| {
                let from = created;
                let drafts = keys.iter().filter(|key| key.class == DueClass::Rollover).count();
                created = created.saturating_add(drafts as u64);
                (keys, from)
            })
            .collect();
        std::thread::scope(|scope| {
            let decide = &decide;
            let (own, others) = parts.split_first().expect("a part");
            let others: Vec<_> = others
                .iter()
                .map(|(keys, from)| scope.spawn(move || decide(keys, *from)))
                .collect();
            let mut all = decide(own.0, own.1);
            others.into_iter().for_each(|other| all.extend(other.join().expect("no panic")));
            all
        })
    }
}
