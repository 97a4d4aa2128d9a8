//! Taking in usage files.

use super::{Fault, Runner};
use crate::document::{Step, UsageStep};
use crate::report::RejectedRow;
use crate::usage::{RefusedRow, UsageChunk, UsageReader};
use counterfoil::{Engine, Error, EventBatch};
use counterfoil_core::Refusal;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Refused rows of a file whose reasons a summary gives.
const REASONS_MAX: usize = 10;

/// What became of the rows of a usage file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageSummary {
    /// The step, from 1.
    pub step: usize,
    /// The file as the scenario names it.
    pub file: String,
    /// Rows that count from now on.
    pub taken: u64,
    /// Rows that were known already, by their identifier.
    pub duplicates: u64,
    /// Those of the duplicates whose content differs from the first one's.
    pub conflicts: u64,
    /// Rows that were refused. All of them are in the report, by line and code.
    pub refused: u64,
    /// The first of these, with their reasons.
    pub first_refused: Vec<RefusedRow>,
}

impl Runner<'_> {
    /// Takes in a file, chunk by chunk. Every row is judged at the time of the book.
    pub(super) fn ingest(&mut self, step: &Step, usage: &UsageStep) -> Result<(), Fault> {
        let reader = UsageReader::open(&usage.path, &usage.columns)?;
        let total_bytes = reader.total_bytes();
        let file: Arc<str> = usage.file.as_str().into();
        let mut summary = UsageSummary {
            step: step.number,
            file: usage.file.clone(),
            taken: 0,
            duplicates: 0,
            conflicts: 0,
            refused: 0,
            first_refused: Vec::new(),
        };
        let result = reader.into_iter().try_for_each(|chunk| {
            let chunk = chunk?;
            let refused = ingest_chunk(self.engine, &chunk, &mut summary)?;
            for row in refused {
                let (file, line, code) = (Arc::clone(&file), row.line, row.code);
                // A file that is fed twice has the same bad rows, not more of them.
                if self.seen.insert((Arc::clone(&file), line, code)) {
                    self.rejected.push(RejectedRow { file, line, code });
                }
                summary.refused = summary.refused.saturating_add(1);
                if summary.first_refused.len() < REASONS_MAX {
                    summary.first_refused.push(row);
                }
            }
            self.observer.usage_read(usage, chunk.bytes_read, total_bytes);
            Ok(())
        });
        self.observer.usage_taken(&summary);
        self.usage.push(summary);
        result
    }
}

/// The rows of one event name, and their lines.
struct Group {
    batch: EventBatch,
    lines: Vec<u64>,
}

/// Takes in a chunk, a batch for each event name, and gives back all refused rows by line.
///
/// Rows of different names have nothing in common: identifiers and meters are of one name.
fn ingest_chunk(
    engine: &Engine,
    chunk: &UsageChunk,
    summary: &mut UsageSummary,
) -> Result<Vec<RefusedRow>, Error> {
    let mut refused = chunk.refused.clone();
    for Group { batch, lines } in groups(chunk)?.into_values() {
        let ingested = engine.meter_events().ingest(&batch)?;
        summary.taken = summary.taken.saturating_add(ingested.taken);
        summary.duplicates = summary.duplicates.saturating_add(ingested.duplicates);
        summary.conflicts = summary.conflicts.saturating_add(ingested.conflicts);
        refused.extend(ingested.refused.into_iter().filter_map(|row| {
            let line = *lines.get(row.row)?;
            Some(RefusedRow { line, code: row.code, reason: row.reason })
        }));
    }
    refused.sort_by_key(|row| row.line);
    Ok(refused)
}

fn groups(chunk: &UsageChunk) -> Result<BTreeMap<&str, Group>, Refusal> {
    let mut groups = BTreeMap::new();
    let rows = chunk
        .event_names
        .iter()
        .zip(chunk.identifiers.iter())
        .zip(chunk.customers.iter())
        .zip(&chunk.times)
        .zip(chunk.values.iter())
        .zip(&chunk.lines);
    for (((((name, identifier), customer), time), value), line) in rows {
        let group = groups
            .entry(name)
            .or_insert_with(|| Group { batch: EventBatch::new(name), lines: Vec::new() });
        group
            .batch
            .push(Some(identifier), Some(customer), Some(*time), Some(value))
            .map_err(|error| Refusal::invalid("usage", error.to_string()))?;
        group.lines.push(*line);
    }
    Ok(groups)
}
