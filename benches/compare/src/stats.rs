//! Medians, latencies and tables.

use std::time::Duration;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use hdrhistogram::Histogram;

use crate::Result;

const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Latencies from a microsecond to two minutes, to three digits.
pub struct Latencies {
    nanos: Histogram<u64>,
}

impl Latencies {
    pub fn new() -> Result<Self> {
        Ok(Self { nanos: Histogram::new_with_bounds(100, 120_000_000_000, 3)? })
    }

    pub fn add(&mut self, elapsed: Duration) {
        self.nanos.saturating_record(elapsed.as_nanos().try_into().unwrap_or(u64::MAX));
    }

    pub fn join(&mut self, other: &Self) -> Result<()> {
        self.nanos.add(&other.nanos)?;
        Ok(())
    }

    /// Microseconds below which this part of all lies.
    pub fn micros_at(&self, part: f64) -> f64 {
        self.nanos.value_at_quantile(part) as f64 / 1e3
    }

    pub fn micros_max(&self) -> f64 {
        self.nanos.max() as f64 / 1e3
    }
}

/// The middle of the values, or the mean of the two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

/// The smallest and the largest.
pub fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(*value), high.max(*value))
    })
}

/// Prints a table; all columns but the first and those named in `text` are figures.
pub fn print(title: &str, header: &[&str], rows: &[Vec<String>], text: &[usize]) {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        if index > 0 && !text.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{title}\n{table}\n");
}

/// A number with four digits or so: 1234567 as `1,234,567`, 12.345 as `12.3`.
pub fn figure(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    if value < 100.0 {
        let places = if value < 10.0 { 2 } else { 1 };
        return format!("{value:.places$}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
