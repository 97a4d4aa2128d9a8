//! Worlds to measure: built the same way every time, from nothing but their size.
#![forbid(unsafe_code)]

use counterfoil::{
    Attempt, CreateCustomer, CreateMeter, CreatePrice, CreateProduct, CreateSubscription, Currency,
    CustomerId, Engine, Error, EventBatch, Formula, IntervalUnit, MeterId, Outcome, PriceId,
    RecurringInput, Refusal, Timestamp,
};

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
        let product = book.products().create(CreateProduct::new("Model"))?.id;
        let mut seat = CreatePrice::new(product.clone(), Currency::USD);
        seat.unit_amount = Some(2900);
        seat.recurring = Some(RecurringInput::every(IntervalUnit::Month));
        let meter = book.meters().create(CreateMeter::new(EVENT_NAME, Formula::Sum))?.id;
        let mut tokens = CreatePrice::new(product, Currency::USD);
        tokens.unit_amount_decimal = Some("0.0003".parse()?);
        tokens.recurring = Some(RecurringInput::metered(IntervalUnit::Month, meter.clone()));
        let (seat, tokens) = (book.prices().create(seat)?.id, book.prices().create(tokens)?.id);
        Ok(Self { seat, tokens, meter })
    }

    /// Lets `count` customers subscribe to both prices, in one wait for the disk.
    ///
    /// # Errors
    /// What the book says.
    pub fn subscribe(&self, book: &Engine, count: usize) -> Result<Vec<CustomerId>, Error> {
        let ids: Vec<CustomerId> =
            (0..count).map(|n| format!("cus_{n}").parse()).collect::<Result<_, Refusal>>()?;
        let customers = ids.iter().map(|id| CreateCustomer {
            id: Some(id.clone()),
            payment_method: Some("pm_card_visa".to_owned()),
            ..CreateCustomer::default()
        });
        refuse_none(book.batch(customers)?)?;
        let prices = [self.seat.clone(), self.tokens.clone()];
        let subscriptions =
            ids.iter().map(|id| CreateSubscription::new(id.clone(), prices.clone()));
        refuse_none(book.batch(subscriptions)?)?;
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
