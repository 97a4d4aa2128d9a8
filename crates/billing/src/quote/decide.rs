//! Commands on quotes to quotes; what they come to is computed by the caller.

use super::{
    CreateQuote, FinalizeQuote, FromQuote, Quote, QuoteAmounts, QuoteId, QuoteLine, QuoteLineInput,
    QuoteStatus, SubscriptionData, SubscriptionDataInput, UpdateQuote,
};
use crate::catalog::PriceId;
use crate::customer::CustomerId;
use crate::discount::check_discount_inputs;
use crate::subscription::{
    AddInvoiceItem, CreateSubscription, ItemInput, Prices, check_collection,
};
use crate::{Patch, text};
use counterfoil_core::{Currency, Metadata, Refusal, Timestamp, limits};

/// Makes a draft.
///
/// # Errors
/// [`Refusal`] for lines without exactly one price and for limits; what they cost is the caller's.
pub fn decide_create(
    command: &CreateQuote,
    customer: CustomerId,
    id: QuoteId,
    seq: u64,
    prices: &dyn Prices,
    at: Timestamp,
) -> Result<Quote, Refusal> {
    check_collection(command.collection_method, command.days_until_due)?;
    text::check_optional("description", command.description.as_deref())?;
    check_discount_inputs("discounts", &command.discounts)?;
    let currency = match command.currency {
        Some(currency) => currency,
        None => currency_of(&command.line_items, prices)?,
    };
    Ok(Quote {
        id,
        seq,
        customer,
        status: QuoteStatus::Draft,
        created: at,
        expires_at: checked_expiry(command.expires_at, at)?,
        currency,
        lines: lines(&command.line_items, prices)?,
        collection_method: command.collection_method,
        days_until_due: command.days_until_due,
        subscription_data: subscription_data(command.subscription_data.as_ref())?,
        discounts: command.discounts.clone(),
        default_tax_rates: command.default_tax_rates.clone(),
        from_quote: None,
        revision: 0,
        number: None,
        upfront: QuoteAmounts::default(),
        recurring: None,
        invoice: None,
        subscription: None,
        subscription_schedule: None,
        finalized_at: None,
        accepted_at: None,
        canceled_at: None,
        description: command.description.clone(),
        metadata: Metadata::of(command.metadata.as_ref())?,
    })
}

impl Quote {
    /// A draft with the same offer.
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] where the command says more than when it expires.
    pub fn copied(
        &self,
        command: &CreateQuote,
        is_revision: bool,
        id: QuoteId,
        seq: u64,
        at: Timestamp,
    ) -> Result<Self, Refusal> {
        let only = CreateQuote {
            id: command.id.clone(),
            from_quote: command.from_quote.clone(),
            expires_at: command.expires_at,
            ..CreateQuote::default()
        };
        if *command != only {
            return Err(Refusal::invalid("from_quote", "only expires_at goes with it"));
        }
        if is_revision && self.status == QuoteStatus::Accepted {
            let reason = "it was accepted, so nothing takes its place";
            return Err(Refusal::state("quote", &self.id, self.status, reason));
        }
        Ok(Self {
            id,
            seq,
            status: QuoteStatus::Draft,
            created: at,
            expires_at: checked_expiry(command.expires_at, at)?,
            from_quote: Some(FromQuote { quote: self.id.clone(), is_revision }),
            revision: if is_revision { self.revision.saturating_add(1) } else { 0 },
            number: None,
            invoice: None,
            subscription: None,
            subscription_schedule: None,
            finalized_at: None,
            accepted_at: None,
            canceled_at: None,
            ..self.clone()
        })
    }

    /// The command that creates the subscription of the quote.
    #[must_use]
    pub fn creation(&self) -> CreateSubscription {
        let mut command = CreateSubscription::new(self.customer.clone(), []);
        command.items = self.items().collect();
        command.currency = Some(self.currency);
        command.add_invoice_items = self.once().collect();
        command.collection_method = self.collection_method;
        command.days_until_due = self.days_until_due;
        command.trial_period_days = self.subscription_data.trial_period_days;
        command.discounts = some_of(&self.discounts);
        command.default_tax_rates = some_of(&self.default_tax_rates);
        command
    }

    /// What becomes items of a subscription.
    pub fn items(&self) -> impl Iterator<Item = ItemInput> {
        let recurring = self.lines.iter().filter(|line| line.recurs);
        recurring.filter_map(|line| {
            let price: PriceId = line.price.clone()?;
            Some(ItemInput {
                quantity: line.quantity,
                discounts: some_of(&line.discounts),
                tax_rates: some_of(&line.tax_rates),
                ..ItemInput::from(price)
            })
        })
    }

    /// What is charged once.
    pub fn once(&self) -> impl Iterator<Item = AddInvoiceItem> {
        self.lines.iter().filter(|line| !line.recurs).map(|line| AddInvoiceItem {
            price: line.price.clone(),
            price_data: line.price_data.clone(),
            quantity: line.quantity,
            discounts: line.discounts.clone(),
            tax_rates: line.tax_rates.clone(),
            ..AddInvoiceItem::default()
        })
    }
}

/// A list, unless it is empty.
fn some_of<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

/// Changes a draft.
///
/// # Errors
/// [`Refusal::StateUnsupported`] for anything but a draft; else as [`decide_create`].
pub fn decide_update(
    quote: &Quote,
    command: &UpdateQuote,
    prices: &dyn Prices,
    at: Timestamp,
) -> Result<Quote, Refusal> {
    check_status(quote, QuoteStatus::Draft, "changed")?;
    let mut updated = quote.clone();
    if let Some(inputs) = &command.line_items {
        updated.lines = lines(inputs, prices)?;
    }
    if let Some(method) = command.collection_method {
        (updated.collection_method, updated.days_until_due) = (method, None);
    }
    updated.days_until_due = command.days_until_due.or(updated.days_until_due);
    check_collection(updated.collection_method, updated.days_until_due)?;
    if command.expires_at.is_some() {
        updated.expires_at = checked_expiry(command.expires_at, at)?;
    }
    if let Some(data) = &command.subscription_data {
        updated.subscription_data = subscription_data(Some(data))?;
    }
    match &command.discounts {
        Patch::Clear => updated.discounts.clear(),
        Patch::Set(inputs) if !inputs.is_empty() => {
            check_discount_inputs("discounts", inputs)?;
            updated.discounts.clone_from(inputs);
        }
        Patch::Keep | Patch::Set(_) => {}
    }
    match &command.default_tax_rates {
        Patch::Keep => {}
        Patch::Clear => updated.default_tax_rates.clear(),
        Patch::Set(rates) => updated.default_tax_rates.clone_from(rates),
    }
    updated.description = command.description.clone().apply_to(updated.description);
    text::check_optional("description", updated.description.as_deref())?;
    updated.metadata = text::patched_metadata(&updated.metadata, &command.metadata)?;
    Ok(updated)
}

/// Fixes a draft; the caller has its number.
///
/// # Errors
/// [`Refusal::StateUnsupported`] for anything but a draft.
pub fn decide_finalize(
    quote: &Quote,
    command: &FinalizeQuote,
    number: String,
    at: Timestamp,
) -> Result<Quote, Refusal> {
    check_status(quote, QuoteStatus::Draft, "finalized")?;
    let mut finalized = quote.clone();
    if command.expires_at.is_some() {
        finalized.expires_at = checked_expiry(command.expires_at, at)?;
    }
    finalized.status = QuoteStatus::Open;
    finalized.number = Some(number);
    finalized.finalized_at = Some(at);
    Ok(finalized)
}

/// Refuses to accept what is not open.
///
/// # Errors
/// [`Refusal::StateUnsupported`].
pub fn check_open(quote: &Quote) -> Result<(), Refusal> {
    check_status(quote, QuoteStatus::Open, "accepted")
}

fn check_status(quote: &Quote, allowed: QuoteStatus, participle: &str) -> Result<(), Refusal> {
    if quote.status == allowed {
        return Ok(());
    }
    let reason = format!("only a quote that is {allowed} can be {participle}");
    Err(Refusal::state("quote", &quote.id, quote.status, reason))
}

fn currency_of(inputs: &[QuoteLineInput], prices: &dyn Prices) -> Result<Currency, Refusal> {
    let Some(first) = inputs.first() else { return Err(Refusal::missing("line_items")) };
    match (&first.price, &first.price_data) {
        (Some(price), _) => Ok(prices.price(price)?.currency),
        (None, Some(data)) => Ok(data.currency),
        (None, None) => Err(Refusal::missing("line_items[0].price")),
    }
}

fn lines(inputs: &[QuoteLineInput], prices: &dyn Prices) -> Result<Vec<QuoteLine>, Refusal> {
    let lines = inputs.iter().enumerate().map(|(index, input)| {
        let path = format!("line_items[{index}].price");
        let (recurs, metered) = match (&input.price, &input.price_data) {
            (Some(id), None) => {
                let price = prices.price(id)?;
                (price.recurring.is_some(), price.meter().is_some())
            }
            (None, Some(_)) => (false, false),
            (None, None) => return Err(Refusal::missing(path)),
            (Some(_), Some(_)) => {
                return Err(Refusal::invalid(path, "give price or price_data, not both"));
            }
        };
        check_discount_inputs(&format!("line_items[{index}].discounts"), &input.discounts)?;
        Ok(QuoteLine {
            discounts: input.discounts.clone(),
            tax_rates: input.tax_rates.clone(),
            price: input.price.clone(),
            price_data: input.price_data.clone(),
            quantity: if metered { input.quantity } else { input.quantity.or(Some(1)) },
            recurs,
        })
    });
    let lines: Vec<QuoteLine> = lines.collect::<Result<_, Refusal>>()?;
    if lines.is_empty() {
        return Err(Refusal::missing("line_items"));
    }
    let once = lines.iter().filter(|line| !line.recurs).count();
    let limit = limits::ADD_INVOICE_ITEMS_MAX;
    if once > limit {
        let reason = format!("{once} lines that do not recur (the limit is {limit})");
        return Err(Refusal::invalid("line_items", reason));
    }
    Ok(lines)
}

fn checked_expiry(given: Option<Timestamp>, at: Timestamp) -> Result<Timestamp, Refusal> {
    let expires = match given {
        Some(given) => given,
        None => at.checked_add_days(i64::from(limits::QUOTE_DAYS))?,
    };
    if expires <= at {
        let reason = format!("{expires} does not lie in the future");
        return Err(Refusal::invalid("expires_at", reason));
    }
    Ok(expires)
}

fn subscription_data(input: Option<&SubscriptionDataInput>) -> Result<SubscriptionData, Refusal> {
    let Some(input) = input else { return Ok(SubscriptionData::default()) };
    let trial_period_days = input.trial_period_days.filter(|days| *days > 0);
    if let Some(days) = trial_period_days.filter(|days| *days > limits::TRIAL_DAYS_MAX) {
        let reason = format!("{days} days (the limit is {})", limits::TRIAL_DAYS_MAX);
        return Err(Refusal::invalid("subscription_data.trial_period_days", reason));
    }
    Ok(SubscriptionData { effective_date: input.effective_date, trial_period_days })
}
