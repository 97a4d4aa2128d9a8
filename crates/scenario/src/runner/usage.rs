//! Taking in usage files.

use super::{Fault, Runner};
use crate::document::{Step, UsageStep};
use crate::report::RejectedRow;
use counterfoil::files::{FileBatch, RefusedRow, UsageFile};
use counterfoil::{Engine, Error};
use counterfoil_core::Refusal;
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
        let reader = UsageFile::open(&usage.path, &usage.columns.mapping())?;
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
        let result = reader.into_iter().try_for_each(|batch| {
            let batch = batch?;
            let refused = ingest(self.engine, &batch, &mut summary)?;
            for row in refused {
                let (file, line, code) = (Arc::clone(&file), row.place.number(), row.code);
                // A file that is fed twice has the same bad rows, not more of them.
                if self.seen.insert((Arc::clone(&file), line, code)) {
                    self.rejected.push(RejectedRow { file, line, code });
                }
                summary.refused = summary.refused.saturating_add(1);
                if summary.first_refused.len() < REASONS_MAX {
                    summary.first_refused.push(row);
                }
            }
            self.observer.usage_read(usage, batch.bytes_read, total_bytes);
            Ok(())
        });
        self.observer.usage_taken(&summary);
        self.usage.push(summary);
        result
    }
}

/// Takes in a batch, and gives back all refused rows by line.
fn ingest(
    engine: &Engine,
    batch: &FileBatch,
    summary: &mut UsageSummary,
) -> Result<Vec<RefusedRow>, Error> {
    let unfit = |error: counterfoil::ColumnError| Refusal::invalid("usage", error.to_string());
    let mut refused = batch.refused.clone();
    let view = batch.view().map_err(unfit)?;
    let ingested = engine.meter_events().ingest_columns(view.columns().map_err(unfit)?)?;
    summary.taken = summary.taken.saturating_add(ingested.taken);
    summary.duplicates = summary.duplicates.saturating_add(ingested.duplicates);
    summary.conflicts = summary.conflicts.saturating_add(ingested.conflicts);
    let judged = ingested.refused.into_iter();
    refused.extend(judged.filter_map(|row| batch.refuse(row.row, row.code, row.reason)));
    refused.sort_by_key(|row| row.place);
    Ok(refused)
}
