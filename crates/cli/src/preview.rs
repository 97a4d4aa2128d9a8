//! `counterfoil preview`: what would be invoiced.

use crate::Ending;
use crate::arguments::Preview;
use crate::inspect::{question, view};
use crate::invoice::lines;
use crate::problem::Problem;
use counterfoil::{Error, PreviewOf, Refusal};
use counterfoil_scenario::report::PreviewReport;
use counterfoil_scenario::{Format, Node, decode};
use std::io::{self, Write};

/// Shows what would be invoiced.
pub(crate) fn preview(arguments: &Preview, out: &mut dyn Write) -> Result<Ending, Problem> {
    let of = asked(arguments)?;
    let book = view(&arguments.read, arguments.as_of)?;
    let preview = book.preview_invoice(&of).map_err(question(&arguments.read.book))?;
    let report = PreviewReport::of(&preview);
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(Ending::Sound);
    }
    if arguments.as_of.is_some() {
        writeln!(out, "The book as it was after record {}", book.position())?;
    }
    if matches!(of, PreviewOf::Command(_)) {
        match report.made.len() {
            0 => writeln!(out, "Nothing would be invoiced at once.")?,
            _ => writeln!(out, "Invoiced at once:")?,
        }
        for invoice in &report.made {
            lines(invoice, out)?;
        }
        writeln!(out)?;
    }
    match &report.upcoming {
        Some(invoice) => {
            writeln!(out, "The next invoice:")?;
            lines(invoice, out)?;
        }
        None => writeln!(out, "No other invoice would come by itself.")?,
    }
    Ok(Ending::Sound)
}

/// What the arguments ask for.
fn asked(arguments: &Preview) -> Result<PreviewOf, Problem> {
    let refused = |refusal: Refusal| question(&arguments.read.book)(Error::from(refusal));
    if let Some(id) = &arguments.customer {
        return Ok(PreviewOf::Customer(id.parse().map_err(refused)?));
    }
    if let Some(id) = &arguments.subscription {
        return Ok(PreviewOf::Subscription(id.parse().map_err(refused)?));
    }
    if let Some(id) = &arguments.schedule {
        return Ok(PreviewOf::Schedule(id.parse().map_err(refused)?));
    }
    let text = arguments.command.as_deref().unwrap_or_default();
    let unreadable = |reason: String| Problem::Command { reason };
    let node = Node::parse(text, Format::Yaml).map_err(|error| unreadable(error.reason))?;
    let command = decode(&node).map_err(|error| unreadable(Refusal::from(error).to_string()))?;
    Ok(PreviewOf::Command(command))
}
