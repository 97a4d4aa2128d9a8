//! The first pass: everything that makes a scenario unreadable, before anything of it is done.

use super::operation;
use crate::de::decode;
use crate::document::{Body, Document, Operation, Step, Unreadable, UnreadableProblem};
use crate::shape::check_shape;
use counterfoil::files::UsageFile;
use counterfoil::{Currency, Policies, PreviewOf, RetryPolicy, Settings};
use counterfoil_core::{Refusal, Timestamp};
use serde::Deserialize;

/// What a scenario may say of its book.
#[derive(Deserialize)]
#[serde(default)]
struct SettingsInput {
    name: String,
    currency: Currency,
    retries: RetryPolicy,
    policies: Policies,
}

impl Default for SettingsInput {
    fn default() -> Self {
        let Settings { name, currency, retries, policies, .. } = Settings::default();
        Self { name, currency, retries, policies }
    }
}

/// The settings that a scenario gives its book: `name`, `currency`, `retries` and `policies`. A book that
/// exists keeps those it was created with.
///
/// # Errors
/// [`Unreadable`] for an unknown field and for a value of the wrong type or out of its limits.
pub fn settings_of(document: &Document) -> Result<Settings, Unreadable> {
    let Some(node) = &document.settings else { return Ok(Settings::default()) };
    if let Some(unknown) = check_shape::<SettingsInput>(node).into_iter().next() {
        let path = format!("settings.{}", unknown.path);
        let problem = UnreadableProblem::UnknownField { path };
        return Err(Unreadable { step: None, line: Some(unknown.line), problem });
    }
    let malformed = |line: usize, refusal: Refusal| {
        let problem =
            UnreadableProblem::Malformed { key: "settings".into(), reason: refusal.to_string() };
        Unreadable { step: None, line: Some(line), problem }
    };
    let input: SettingsInput = decode(node).map_err(|error| malformed(error.line, error.into()))?;
    let settings = Settings {
        name: input.name,
        currency: input.currency,
        retries: input.retries,
        policies: input.policies,
        ..Settings::default()
    };
    settings.check().map_err(|refusal| malformed(node.line, refusal))?;
    Ok(settings)
}

/// Checks the shape of a whole scenario: what [`run`](super::run) does before it does anything.
///
/// # Errors
/// [`Unreadable`] for an unknown operation, an unknown field at any depth, settings out of their
/// limits, and a usage file that cannot be opened or lacks a column.
pub fn check(document: &Document) -> Result<(), Unreadable> {
    settings_of(document)?;
    document.steps.iter().try_for_each(check_step)
}

fn check_step(step: &Step) -> Result<(), Unreadable> {
    match &step.body {
        Body::Do(operation) => check_operation(step, operation),
        Body::Usage(usage) => UsageFile::open(&usage.path, &usage.columns.mapping())
            .map(drop)
            .map_err(|error| step.unreadable(step.line, error)),
        Body::Advance | Body::Expect(_) => Ok(()),
    }
}

fn check_operation(step: &Step, operation: &Operation) -> Result<(), Unreadable> {
    let Some(unknown) = operation::unknown_fields(&operation.name, &operation.with) else {
        let operation_name = operation.name.clone();
        let problem = UnreadableProblem::UnknownOperation { operation: operation_name };
        return Err(step.unreadable(operation.name_line, problem));
    };
    if let Some(field) = unknown.into_iter().next() {
        let problem = UnreadableProblem::UnknownField { path: field.path };
        return Err(step.unreadable(field.line, problem));
    }
    let malformed = |key: &str, line: usize, reason: &str| {
        let (key, reason) = (key.to_owned(), reason.to_owned());
        Err(step.unreadable(line, UnreadableProblem::Malformed { key, reason }))
    };
    let keyed = operation.idempotency_key.as_ref();
    if let Some(reason) = keyed.and_then(|_| operation::needs_no_key(&operation.name)) {
        return malformed("idempotency_key", operation.name_line, reason);
    }
    if let Some(expectation) = &operation.expect {
        if operation.name != PreviewOf::OPERATION {
            let reason = "beside do it is what a preview comes to; the book is a step of its own";
            return malformed("expect", expectation.line, reason);
        }
        if operation.fails.is_some() {
            return malformed("expect", expectation.line, "what is refused comes to nothing");
        }
    }
    Ok(())
}

/// Refuses a scenario that begins before the time of its book, and one that gives a new book no
/// time.
pub(super) fn check_clock(document: &Document, now: Option<Timestamp>) -> Result<(), Unreadable> {
    let malformed = |reason: String| UnreadableProblem::Malformed { key: "at".into(), reason };
    let Some(first) = document.steps.first() else {
        let problem =
            UnreadableProblem::Malformed { key: "steps".into(), reason: "there is none".into() };
        return Err(Unreadable { step: None, line: None, problem });
    };
    let Some(now) = now else {
        if first.at.is_some() {
            return Ok(());
        }
        let reason = "it is required: the book has no time yet";
        return Err(first.unreadable(first.line, malformed(reason.to_owned())));
    };
    let Some((step, at)) = document.steps.iter().find_map(|step| Some((step, step.at?))) else {
        return Ok(());
    };
    if at < now {
        let reason = format!("{at} lies before the time of the book, {now}");
        return Err(step.unreadable(step.line, malformed(reason)));
    }
    Ok(())
}
