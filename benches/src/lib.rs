//! Worlds to measure: built the same way every time, from nothing but their size.
#![forbid(unsafe_code)]

mod machine;

use counterfoil::{
    Attempt, Command, CreateCustomer, CreateMeter, CreatePrice, CreateProduct, CreateSubscription,
    Currency, CustomerId, Engine, Error, EventBatch, Formula, IntervalUnit, MeterId, Outcome,
    Output, PriceId, RecurringInput, Refusal, Timestamp,
};
pub use machine::Machine;

/// The name of the events that the meter of a [`World`] takes.
pub const EVENT_NAME: &str = "tokens";

/// A catalog of one licensed and one metered price by the month.
#[derive(Debug, Clone)]
pub struct World {
    /// 29.00 USD a month.
    pub seat: PriceId,
    /// 0.0003 of a cent each.
    pub tokens: PriceId,
    /// The meter of the tokens.
    pub meter: MeterId,
}

/// When every world begins.
///
/// # Panics
/// Never: the text is a time.
#[must_use]
pub fn start() -> Timestamp {
    Timestamp::parse("2025-01-01T00:00:00Z").expect("a time")
}

/// A gateway that collects everything.
pub fn collect(_: &Attempt) -> Option<Outcome> {
    Some(Outcome::Succeeded)
}

impl World {
    /// Lays the catalog into a new book.
    ///
    /// # Errors
    /// What the book says.
    pub fn lay(book: &Engine) -> Result<Self, Error> {
        book.advance_to(start(), &mut collect)?;
        Self::lay_by(|command| book.execute(command))
    }

    /// The same by whatever executes a command.
    ///
    /// # Errors
    /// What that says.
    ///
    /// # Panics
    /// If a command answers with something else than what it made.
    pub fn lay_by<E: From<Refusal>>(
        mut execute: impl FnMut(Command) -> Result<Output, E>,
    ) -> Result<Self, E> {
        let Output::Product(product) = execute(CreateProduct::new("Model").into())? else {
            panic!("no product")
        };
        let Output::Meter(meter) = execute(CreateMeter::new(EVENT_NAME, Formula::Sum).into())?
        else {
            panic!("no meter")
        };
        let mut seat = CreatePrice::new(product.id.clone(), Currency::USD);
        seat.unit_amount = Some(2900);
        seat.recurring = Some(RecurringInput::every(IntervalUnit::Month));
        let mut tokens = CreatePrice::new(product.id, Currency::USD);
        tokens.unit_amount_decimal = Some("0.0003".parse()?);
        tokens.recurring = Some(RecurringInput::metered(IntervalUnit::Month, meter.id.clone()));
        let mut price = |command: CreatePrice| match execute(command.into())? {
            Output::Price(price) => Ok::<PriceId, E>(price.id),
            _ => panic!("no price"),
        };
        Ok(Self { seat: price(seat)?, tokens: price(tokens)?, meter: meter.id })
    }

    /// The commands by which one customer subscribes to both prices.
    ///
    /// # Errors
    /// None: the id is one.
    pub fn subscription_of(&self, n: usize) -> Result<(CustomerId, [Command; 2]), Refusal> {
        let id: CustomerId = format!("cus_{n}").parse()?;
        let customer = CreateCustomer {
            id: Some(id.clone()),
            payment_method: Some("pm_card_visa".to_owned()),
            ..CreateCustomer::default()
        };
        let prices = [self.seat.clone(), self.tokens.clone()];
        let subscription = CreateSubscription::new(id.clone(), prices);
        Ok((id, [customer.into(), subscription.into()]))
    }

    /// Lets `count` customers subscribe to both prices, in one wait for the disk.
    ///
    /// # Errors
    /// What the book says.
    pub fn subscribe(&self, book: &Engine, count: usize) -> Result<Vec<CustomerId>, Error> {
        let (mut ids, mut commands) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for n in 0..count {
            let (id, own) = self.subscription_of(n)?;
            ids.push(id);
            commands.extend(own);
        }
        refuse_none(book.batch(commands)?)?;
        book.advance_to(start(), &mut collect)?;
        Ok(ids)
    }
}

/// A batch of `count` events of one token count each, spread over the customers.
///
/// # Panics
/// Never: the rows fit.
#[must_use]
pub fn usage(customers: &[CustomerId], first: usize, count: usize) -> EventBatch {
    let mut batch = EventBatch::new(EVENT_NAME);
    for n in first..first + count {
        let customer = &customers[n % customers.len()];
        let (identifier, value) = (format!("event-{n}"), (n % 4096).to_string());
        let row = (Some(identifier.as_str()), Some(customer.as_str()), Some(value.as_str()));
        batch.push(row.0, row.1, None, row.2).expect("a row that fits");
    }
    batch
}

fn refuse_none<T>(outputs: Vec<Result<T, Refusal>>) -> Result<(), Error> {
    for output in outputs {
        output?;
    }
    Ok(())
}
