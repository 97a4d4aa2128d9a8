//! Tables that fit the terminal, and are plain text everywhere else.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use counterfoil::{Currency, Money, Period, Timestamp};
use std::io::{self, Write};

const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table under construction.
pub(crate) struct Columns {
    table: Table,
}

impl Columns {
    /// A table with these headers. A header that begins with `>` heads a column of figures, which
    /// stand at its right side.
    pub(crate) fn new(headers: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(headers.iter().map(|header| header.trim_start_matches('>')));
        for (index, header) in headers.iter().enumerate() {
            if let Some(column) = table.column_mut(index) {
                column.set_padding((0, 1));
                if header.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self { table }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.table.add_row(cells);
    }

    /// Prints the table. Where output is no terminal its width is that of its content.
    pub(crate) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        for line in self.table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The one currency of some amounts, where there is only one.
pub(crate) fn only_currency(currencies: impl IntoIterator<Item = Currency>) -> Option<Currency> {
    let mut currencies = currencies.into_iter();
    let first = currencies.next()?;
    currencies.all(|other| other == first).then_some(first)
}

/// A header for amounts: it names the currency where all of them share it.
pub(crate) fn amount_header(name: &str, only: Option<Currency>) -> String {
    match only {
        Some(currency) => format!(">{name} {}", currency.code().to_uppercase()),
        None => format!(">{name}"),
    }
}

/// An amount, without its currency where the header names it.
pub(crate) fn amount(minor: i64, currency: Currency, only: Option<Currency>) -> String {
    let text = Money::new(minor, currency).to_string();
    match (only, text.split_once(' ')) {
        (Some(_), Some((figure, _))) => figure.to_owned(),
        _ => text,
    }
}

/// The day of an instant.
pub(crate) fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// A period by its days, or one day where it does not leave it.
pub(crate) fn days(period: Period) -> String {
    if period.is_empty() || day(period.start) == day(period.end) {
        return day(period.start);
    }
    let bound = |at| match at {
        Timestamp::MIN | Timestamp::MAX => "…".to_owned(),
        at => day(at),
    };
    format!("{} → {}", bound(period.start), bound(period.end))
}

/// A count and its noun: `1 row`, `2 rows`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_table_without_a_terminal_is_plain_text() {
        let mut columns = Columns::new(&["Name", ">Amount"]);
        columns.row(["a".to_owned(), "12.50".to_owned()]);
        columns.row(["long name".to_owned(), "1.00".to_owned()]);
        let mut out = Vec::new();
        columns.print(&mut out).unwrap();
        let expected = "\
Name       Amount
──────────────────
a           12.50
long name    1.00
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_table_wraps_at_a_width() {
        let mut columns = Columns::new(&["Name", ">Amount"]);
        columns.table.set_width(20);
        columns.row(["several words of a name".to_owned(), "12.50".to_owned()]);
        let mut out = Vec::new();
        columns.print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 20), "{text}");
    }

    #[test]
    fn amounts_name_their_currency_once() {
        let usd = Currency::USD;
        let yen: Currency = "jpy".parse().unwrap();
        assert_eq!(only_currency([usd, usd]), Some(usd));
        assert_eq!(only_currency([usd, yen]), None);
        assert_eq!(only_currency([]), None);
        assert_eq!(amount_header("Total", Some(usd)), ">Total USD");
        assert_eq!(amount(-1250, usd, Some(usd)), "-12.50");
        assert_eq!(amount(1250, yen, None), "1250 JPY");
    }

    #[test]
    fn periods_read_by_their_days() {
        let (start, end) = (at("2028-01-31T09:00:00Z"), at("2028-02-29T09:00:00Z"));
        assert_eq!(days(Period::new(start, end)), "2028-01-31 → 2028-02-29");
        assert_eq!(days(Period::new(start, start)), "2028-01-31");
        let noon = at("2028-01-31T12:00:00Z");
        assert_eq!(days(Period::new(start, noon)), "2028-01-31");
        assert_eq!(days(Period::new(Timestamp::MIN, end)), "… → 2028-02-29");
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(0, "row"), "0 rows");
    }
}
