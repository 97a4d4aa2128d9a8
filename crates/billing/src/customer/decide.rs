//! Customer commands to events.

use super::{
    BalanceTransaction, BalanceTransactionKind, CreateBalanceTransaction, CreateCustomer,
    CreateTaxId, Customer, CustomerEvent, CustomerId, DeleteTaxId, Personal, TaxId,
    UpdateBalanceTransaction, UpdateCustomer,
};
use crate::discount::Discount;
use crate::tax::TaxIdId;
use crate::{Texts, text};
use counterfoil_core::{Currency, Id, Metadata, Refusal, Timestamp, kind, limits};
use std::collections::BTreeMap;

/// Creates a customer with an id, a place in the order of creation and a key slot that are free, and
/// a prefix of invoice numbers that nobody has where
/// the command names none.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] for texts, metadata, a prefix or a balance out of their limits.
pub fn decide_create(
    command: &CreateCustomer,
    id: CustomerId,
    (seq, key_slot): (u64, u64),
    default_prefix: String,
    currency: Currency,
    at: Timestamp,
) -> Result<Customer, Refusal> {
    let personal = Personal {
        name: command.name.clone(),
        email: command.email.clone(),
        phone: command.phone.clone(),
        address: command.address.clone(),
        description: command.description.clone(),
        metadata: Metadata::of(command.metadata.as_ref())?,
        tax_ids: Vec::new(),
    };
    check_personal(&personal)?;
    let invoice_prefix = match &command.invoice_prefix {
        Some(prefix) => checked_prefix(prefix)?,
        None => default_prefix,
    };
    let next_invoice_sequence = command.next_invoice_sequence.unwrap_or(1);
    if next_invoice_sequence == 0 || next_invoice_sequence > limits::INVOICE_SEQUENCE_MAX {
        let reason = format!("a sequence number is 1 to {}", limits::INVOICE_SEQUENCE_MAX);
        return Err(Refusal::invalid("next_invoice_sequence", reason));
    }
    text::check_optional("payment_method", command.payment_method.as_deref())?;
    Ok(Customer {
        id,
        created: at,
        seq,
        key_slot,
        deleted: false,
        erased: None,
        parked: None,
        balances: BTreeMap::new(),
        currency,
        payment_method: command.payment_method.clone(),
        delinquent: false,
        invoice_prefix,
        next_invoice_sequence,
        tax_exempt: command.tax_exempt.unwrap_or_default(),
        time_zone: command.time_zone,
        discount: None,
        personal: personal.into(),
    })
}

/// Changes a customer, to whom this is the discount from now on.
///
/// # Errors
/// [`Refusal::StateUnsupported`] once it was deleted; limits as in [`decide_create`].
pub fn decide_update(
    customer: &Customer,
    command: &UpdateCustomer,
    discount: Option<Discount>,
    at: Timestamp,
) -> Result<CustomerEvent, Refusal> {
    check_live(customer, "it cannot be changed any more")?;
    let old = customer.personal.clone().into_inner();
    let personal = Personal {
        name: command.name.clone().apply_to(old.name),
        email: command.email.clone().apply_to(old.email),
        phone: command.phone.clone().apply_to(old.phone),
        address: command.address.clone().apply_to(old.address),
        description: command.description.clone().apply_to(old.description),
        metadata: text::patched_metadata(&old.metadata, &command.metadata)?,
        tax_ids: old.tax_ids,
    };
    check_personal(&personal)?;
    text::check_optional("payment_method", command.payment_method.value().map(String::as_str))?;
    let invoice_prefix = match &command.invoice_prefix {
        Some(prefix) => checked_prefix(prefix)?,
        None => customer.invoice_prefix.clone(),
    };
    Ok(CustomerEvent::Updated {
        id: customer.id.clone(),
        at,
        payment_method: command.payment_method.clone().apply_to(customer.payment_method.clone()),
        invoice_prefix,
        tax_exempt: command.tax_exempt.unwrap_or(customer.tax_exempt),
        time_zone: command.time_zone.clone().apply_to(customer.time_zone),
        discount,
        personal: personal.into(),
    })
}

/// Gives a customer a tax id.
///
/// # Errors
/// [`Refusal::StateUnsupported`] once it was deleted, [`Refusal::ResourceAlreadyExists`] for an id that
/// it has, [`Refusal::ParameterInvalid`] beyond the limits.
pub fn decide_create_tax_id(
    customer: &Customer,
    command: &CreateTaxId,
    id: TaxIdId,
    at: Timestamp,
) -> Result<CustomerEvent, Refusal> {
    check_live(customer, "it cannot be changed any more")?;
    if command.kind.is_empty() || command.value.is_empty() {
        let empty = if command.kind.is_empty() { "type" } else { "value" };
        return Err(Refusal::invalid(empty, "it is empty"));
    }
    text::check("type", &command.kind)?;
    text::check("value", &command.value)?;
    let mut personal = customer.personal.clone().into_inner();
    if personal.tax_ids.iter().any(|other| other.id == id) {
        return Err(Refusal::taken("tax_id", id));
    }
    if personal.tax_ids.len() >= limits::TAX_IDS_MAX {
        let reason =
            format!("{} has {} tax ids, which is the limit", customer.id, limits::TAX_IDS_MAX);
        return Err(Refusal::invalid("customer", reason));
    }
    let (kind, value) = (command.kind.clone(), command.value.clone());
    personal.tax_ids.push(TaxId { id, kind, value, created: at });
    Ok(updated(customer, personal, at))
}

/// Takes a tax id from a customer.
///
/// # Errors
/// [`Refusal::StateUnsupported`] once it was deleted, [`Refusal::ResourceMissing`] for an id that it
/// does not have.
pub fn decide_delete_tax_id(
    customer: &Customer,
    command: &DeleteTaxId,
    at: Timestamp,
) -> Result<CustomerEvent, Refusal> {
    check_live(customer, "it cannot be changed any more")?;
    let mut personal = customer.personal.clone().into_inner();
    let place = personal.tax_ids.iter().position(|own| own.id == command.id);
    match place {
        Some(place) => drop(personal.tax_ids.remove(place)),
        None => return Err(Refusal::unknown("tax_id", &command.id)),
    }
    Ok(updated(customer, personal, at))
}

/// The customer as it is, with other personal data.
fn updated(customer: &Customer, personal: Personal, at: Timestamp) -> CustomerEvent {
    CustomerEvent::Updated {
        id: customer.id.clone(),
        at,
        payment_method: customer.payment_method.clone(),
        invoice_prefix: customer.invoice_prefix.clone(),
        tax_exempt: customer.tax_exempt,
        time_zone: customer.time_zone,
        discount: customer.discount.clone(),
        personal: personal.into(),
    }
}

/// Deletes a customer; its subscriptions are canceled by the caller before.
///
/// # Errors
/// [`Refusal::StateUnsupported`] where it was deleted before.
pub fn decide_delete(customer: &Customer, at: Timestamp) -> Result<CustomerEvent, Refusal> {
    check_live(customer, "it cannot be deleted again")?;
    Ok(CustomerEvent::Deleted { id: customer.id.clone(), at })
}

/// Erases a customer: the caller has seen that nothing is billed to it any more (rule 2.4).
///
/// # Errors
/// [`Refusal::StateUnsupported`] where it was erased before.
pub fn decide_erase(customer: &Customer, at: Timestamp) -> Result<CustomerEvent, Refusal> {
    if customer.erased.is_some() {
        return Err(erased(customer, "there is nothing left to erase"));
    }
    Ok(CustomerEvent::Erased { id: customer.id.clone(), at, key_slot: customer.key_slot })
}

/// Changes a balance by hand.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] for an amount of 0, [`Refusal::AmountTooLarge`] beyond its limit.
pub fn decide_balance_transaction(
    customer: &Customer,
    command: &CreateBalanceTransaction,
    kind: BalanceTransactionKind,
    id: Id<kind::CustomerBalanceTransaction>,
    at: Timestamp,
) -> Result<CustomerEvent, Refusal> {
    check_present(customer, "its balance cannot be changed any more")?;
    let limit = limits::AMOUNT_MINOR_MAX;
    if command.amount == 0 {
        return Err(Refusal::invalid("amount", "an amount of 0 changes nothing"));
    }
    if command.amount.unsigned_abs() > limit.unsigned_abs() {
        return Err(Refusal::too_large(format!("amount {}", command.amount), limit));
    }
    text::check_optional("description", command.description.as_deref())?;
    let transaction = BalanceTransaction {
        id,
        customer: customer.id.clone(),
        currency: command.currency,
        amount: command.amount,
        ending_balance: customer.balance_after(command.currency, command.amount)?,
        kind,
        invoice: None,
        credit_note: None,
        description: command.description.clone(),
        metadata: Metadata::of(command.metadata.as_ref())?,
        created: at,
    };
    Ok(CustomerEvent::BalanceTransacted(transaction.into()))
}

/// Changes what somebody noted on a transaction; its amount never changes (rule 2.2).
///
/// # Errors
/// [`Refusal::StateUnsupported`] once the customer was deleted, and limits of texts and metadata.
pub fn decide_update_balance_transaction(
    customer: &Customer,
    transaction: &BalanceTransaction,
    command: &UpdateBalanceTransaction,
    at: Timestamp,
) -> Result<CustomerEvent, Refusal> {
    check_live(customer, "its balance cannot be changed any more")?;
    let description = command.description.value().map(String::as_str);
    text::check_optional("description", description)?;
    let texts = Texts {
        description: command.description.clone().apply_to(transaction.description.clone()),
        metadata: text::patched_metadata(&transaction.metadata, &command.metadata)?,
    };
    Ok(CustomerEvent::BalanceTransactionUpdated {
        id: customer.id.clone(),
        at,
        transaction: transaction.id.clone(),
        texts,
    })
}

fn erased(customer: &Customer, reason: &str) -> Refusal {
    Refusal::state("customer", &customer.id, "erased", reason)
}

/// Takes a customer out of parking.
///
/// # Errors
/// [`Refusal::StateUnsupported`] for one that is not parked.
pub fn decide_unpark(customer: &Customer, at: Timestamp) -> Result<CustomerEvent, Refusal> {
    if customer.parked.is_none() {
        let reason = "its due work goes on already";
        return Err(Refusal::state("customer", &customer.id, "not parked", reason));
    }
    Ok(CustomerEvent::Unparked { id: customer.id.clone(), at })
}

/// Refuses what an erased, deleted or parked customer can no longer do.
///
/// # Errors
/// [`Refusal::StateUnsupported`].
pub fn check_live(customer: &Customer, reason: &str) -> Result<(), Refusal> {
    check_present(customer, reason)?;
    match &customer.parked {
        Some(cause) => Err(Refusal::state("customer", &customer.id, "parked", cause.clone())),
        None => Ok(()),
    }
}

/// Refuses what an erased or deleted customer can no longer do. A parked one still can: this is how
/// what was impossible is put right.
///
/// # Errors
/// [`Refusal::StateUnsupported`].
pub fn check_present(customer: &Customer, reason: &str) -> Result<(), Refusal> {
    if customer.erased.is_some() {
        return Err(erased(customer, reason));
    }
    if customer.deleted {
        return Err(Refusal::state("customer", &customer.id, "deleted", reason));
    }
    Ok(())
}

fn check_personal(personal: &Personal) -> Result<(), Refusal> {
    text::check_optional("name", personal.name.as_deref())?;
    text::check_optional("email", personal.email.as_deref())?;
    text::check_optional("phone", personal.phone.as_deref())?;
    text::check_optional("description", personal.description.as_deref())?;
    let Some(address) = &personal.address else { return Ok(()) };
    for (param, line) in [
        ("address.line1", &address.line1),
        ("address.line2", &address.line2),
        ("address.city", &address.city),
        ("address.state", &address.state),
        ("address.postal_code", &address.postal_code),
        ("address.country", &address.country),
    ] {
        text::check_optional(param, line.as_deref())?;
    }
    Ok(())
}

fn checked_prefix(prefix: &str) -> Result<String, Refusal> {
    let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    if (3..=12).contains(&prefix.len()) && prefix.chars().all(allowed) {
        return Ok(prefix.to_owned());
    }
    Err(Refusal::invalid("invoice_prefix", "a prefix has 3 to 12 upper-case letters or digits"))
}
