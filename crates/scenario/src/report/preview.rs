//! Previews, in the words of the report.

use super::InvoiceReport;
use counterfoil::Preview;
use serde::Serialize;

/// What would be invoiced: the result of `invoice.create_preview`. It is no part of the book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreviewReport {
    /// The invoices that a command would make at once.
    pub made: Vec<InvoiceReport>,
    /// The next invoice to come by itself; none where no other will come.
    pub upcoming: Option<InvoiceReport>,
}

impl PreviewReport {
    /// What a preview came to.
    #[must_use]
    pub fn of(preview: &Preview) -> Self {
        Self {
            made: preview.made.iter().map(InvoiceReport::of).collect(),
            upcoming: preview.upcoming.as_ref().map(InvoiceReport::of),
        }
    }
}
