//! Looking into a book: its events, an invoice, its balance, its soundness.

use crate::Ending;
use crate::arguments::{Balance, Events, Explain, ReadBook};
use crate::problem::Problem;
use crate::progress::waiting;
use crate::table::{Columns, amount, amount_header, only_currency};
use counterfoil::{
    Account, AsOf, BookReader, BookRecord, Currency, Error, InvoiceId, Lsn, Money, View,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// How long whoever follows a book waits for more before it looks whether its output is still read.
const LOOK_UP: Duration = Duration::from_millis(500);

/// Opens a book to look into it.
pub(crate) fn open(path: &Path) -> Result<BookReader, Problem> {
    opened(path, None)
}

/// The same, with its archive where that is given.
pub(crate) fn open_with(read: &ReadBook) -> Result<BookReader, Problem> {
    opened(&read.book, read.archive.as_deref())
}

fn opened(path: &Path, archive: Option<&Path>) -> Result<BookReader, Problem> {
    let opened = waiting("reading the book", || {
        let book = BookReader::open(path)?;
        archive.map_or(Ok(()), |archive| book.attach_archive(archive))?;
        Ok(book)
    });
    opened.map_err(|reason| Problem::Book { path: path.to_owned(), reason })
}

/// Opens a book as it was.
pub(crate) fn view(read: &ReadBook, as_of: Option<AsOf>) -> Result<View, Problem> {
    let (path, book) = (&read.book, open_with(read)?);
    waiting("reading the book", || book.as_of(as_of.unwrap_or_default()))
        .map_err(|reason| Problem::Book { path: path.to_owned(), reason })
}

pub(crate) fn question(path: &Path) -> impl Fn(Error) -> Problem {
    let path = path.to_owned();
    move |reason| Problem::Question { path: path.clone(), reason }
}

/// `counterfoil events`.
pub(crate) fn events(arguments: &Events, out: &mut dyn Write) -> Result<Ending, Problem> {
    let book = open_with(&arguments.read)?;
    let mut listing = Listing { arguments, left: arguments.limit.unwrap_or(usize::MAX), out };
    let from = arguments.from.map(Lsn);
    let (first, last) = (from.unwrap_or(Lsn(1)), from.unwrap_or(book.last()));
    match (&arguments.stream, arguments.reverse) {
        (None, false) => listing.all(&book, book.events(first))?,
        (None, true) => listing.all(&book, book.events_back(last))?,
        (Some(stream), false) => listing.all(&book, book.events_of(stream, first))?,
        (Some(stream), true) => listing.all(&book, book.events_of_back(stream, last))?,
    }
    Ok(Ending::Sound)
}

/// Events that are being listed.
struct Listing<'a> {
    arguments: &'a Events,
    /// How many more are asked for.
    left: usize,
    out: &'a mut dyn Write,
}

impl Listing<'_> {
    fn all(
        &mut self,
        book: &BookReader,
        mut records: impl Iterator<Item = Result<BookRecord, Error>>,
    ) -> Result<(), Problem> {
        let path = &self.arguments.read.book;
        loop {
            while self.left > 0
                && let Some(record) = records.next()
            {
                self.record(&record.map_err(question(path))?)?;
            }
            if !self.arguments.follow || self.left == 0 {
                return Ok(());
            }
            self.out.flush()?;
            self.out_is_read()?;
            let waited = book.wait_beyond(book.last(), LOOK_UP);
            waited.map_err(|reason| Problem::Book { path: path.clone(), reason })?;
        }
    }

    /// Fails where nobody reads what is printed any more: nothing is printed that would show it.
    fn out_is_read(&self) -> Result<(), Problem> {
        #[cfg(unix)]
        {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            let out = io::stdout();
            let mut out = [PollFd::new(&out, PollFlags::empty())];
            let now = Timespec::default();
            if poll(&mut out, Some(&now)).is_ok() && out[0].revents().contains(PollFlags::ERR) {
                return Err(Problem::Output(io::ErrorKind::BrokenPipe.into()));
            }
        }
        Ok(())
    }

    fn record(&mut self, record: &BookRecord) -> Result<(), Problem> {
        let mut entries = entries(record)?;
        if self.arguments.reverse {
            entries.reverse();
        }
        let asked = |entry: &Entry| {
            self.arguments.stream.as_ref().is_none_or(|stream| entry.stream == *stream)
        };
        for entry in entries.into_iter().filter(asked).take(self.left) {
            self.left = self.left.saturating_sub(1);
            entry.print(record, self.arguments.json, &mut *self.out)?;
        }
        Ok(())
    }
}

/// Prints the events of one record, as they are listed.
pub(crate) fn print_record(
    record: &BookRecord,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Problem> {
    for entry in entries(record)? {
        entry.print(record, json, out)?;
    }
    Ok(())
}

/// An event as it is listed.
struct Entry {
    stream: String,
    kind: &'static str,
    body: Value,
    /// What is personal, which stands apart from the body.
    personal: Value,
    /// Whether what was personal in it was erased.
    erased: bool,
}

impl Entry {
    fn print(&self, record: &BookRecord, json: bool, out: &mut dyn Write) -> io::Result<()> {
        if json {
            serde_json::to_writer(&mut *out, &self.to_json(record))?;
            return writeln!(out);
        }
        let (lsn, at, summary) = (record.lsn.0, record.at, summary(&self.body));
        let Self { stream, kind, .. } = self;
        let line = format!("{lsn:>6}  {at}  {stream:<20}  {kind:<28}  {summary}");
        writeln!(out, "{}", line.trim_end())
    }

    fn to_json(&self, record: &BookRecord) -> Value {
        let mut entry = json!({
            "lsn": record.lsn.0,
            "at": record.at.unix(),
            "stream": self.stream,
            "type": self.kind,
            "event": self.body,
        });
        if let Value::Object(fields) = &mut entry {
            if !self.personal.is_null() {
                fields.insert("personal".to_owned(), self.personal.clone());
            }
            if self.erased {
                fields.insert("erased".to_owned(), Value::Bool(true));
            }
        }
        entry
    }
}

fn entries(record: &BookRecord) -> Result<Vec<Entry>, Problem> {
    let mut entries = Vec::with_capacity(record.events.len());
    // Usage comes before the alerts that it sets off.
    if let Some(block) = &record.usage {
        let cancelled: Vec<&str> = block.cancelled().collect();
        let (corrected, values): (Vec<_>, Vec<_>) = block.corrected().unzip();
        let kind = match (cancelled.is_empty(), corrected.is_empty()) {
            (true, true) => "meter_event.taken",
            (false, _) => "meter_event.cancelled",
            (true, false) => "meter_event.corrected",
        };
        let meter = match block.meters() {
            [meter] => json!(meter),
            meters => json!(meters),
        };
        let mut body = json!({ "meter": meter, "meter_events": block.len() });
        if !cancelled.is_empty() {
            body = json!({ "meter": meter, "cancelled": cancelled });
        } else if !corrected.is_empty() {
            body = json!({ "meter": meter, "corrected": corrected, "values": values });
        }
        let stream = "meters".to_owned();
        entries.push(Entry { stream, kind, body, personal: Value::Null, erased: false });
    }
    for event in &record.events {
        let value = serde_json::to_value(event).map_err(io::Error::from)?;
        let (stream, kind) = (event.stream(), event.event_type().name);
        let data = event.personal();
        let personal = match data.is_empty() {
            true => Value::Null,
            false => serde_json::to_value(&data).map_err(io::Error::from)?,
        };
        let erased = event.customer().is_some_and(|customer| record.erased.contains(customer));
        entries.push(Entry { stream, kind, body: body(value), personal, erased });
    }
    Ok(entries)
}

/// What an event says, without the names of the types around it.
fn body(mut value: Value) -> Value {
    loop {
        let Value::Object(map) = &mut value else { return value };
        let of_a_type = |name: &str| name.starts_with(char::is_uppercase);
        match map.keys().next() {
            Some(name) if map.len() == 1 && of_a_type(name) => {
                let name = name.clone();
                value = map.remove(&name).unwrap_or_default();
            }
            _ => return value,
        }
    }
}

/// The fields of an event that tell most, in this order.
const TELLING: &[&str] = &[
    "id",
    "number",
    "name",
    "customer",
    "subscription",
    "invoice",
    "meter",
    "alert",
    "gte",
    "value",
    "kind",
    "status",
    "billing_reason",
    "total",
    "amount",
    "amount_due",
    "ending_balance",
    "code",
    "delinquent",
    "auto_advance",
    "next_payment_attempt",
    "meter_events",
    "cancelled",
    "corrected",
    "values",
    "payment_method",
    "reason",
];

/// The fields that are amounts in the currency of the event.
const AMOUNTS: &[&str] = &["total", "amount", "amount_due", "ending_balance"];

fn summary(body: &Value) -> String {
    let Value::Object(fields) = body else { return String::new() };
    // An attempt, and a subscription that was changed, stand within their event.
    let inner = ["attempt", "subscription"].iter().find_map(|name| fields.get(*name)?.as_object());
    let fields = inner.unwrap_or(fields);
    let currency = fields.get("currency").and_then(|code| code.as_str()?.parse().ok());
    let mut parts = Vec::new();
    for name in TELLING {
        let Some(value) = fields.get(*name) else { continue };
        let Some(text) = field(name, value, currency, fields) else { continue };
        match *name {
            "id" => parts.push(text),
            _ => parts.push(format!("{name}={text}")),
        }
    }
    parts.join(" ")
}

fn field(
    name: &str,
    value: &Value,
    currency: Option<Currency>,
    fields: &Map<String, Value>,
) -> Option<String> {
    match value {
        // The stream names the customer already, and an invoice begins with nothing but zeros.
        _ if name == "customer" => None,
        _ if AMOUNTS.contains(&name) && fields.contains_key("charges") => None,
        Value::Number(number) if AMOUNTS.contains(&name) => {
            Some(Money::new(number.as_i64()?, currency?).to_string())
        }
        Value::Number(number) if name == "next_payment_attempt" => {
            Some(counterfoil::Timestamp::from_unix(number.as_i64()?).ok()?.to_string())
        }
        Value::String(text) if text.is_empty() => None,
        Value::String(text) if text.contains(' ') => Some(format!("{text:?}")),
        Value::String(text) => Some(text.clone()),
        // What changed is told, not what a new object is like.
        Value::Bool(_) if fields.contains_key("created") || fields.contains_key("status") => None,
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(list) => {
            let texts: Vec<&str> = list.iter().filter_map(Value::as_str).take(3).collect();
            (!texts.is_empty()).then(|| texts.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

/// `counterfoil explain`.
pub(crate) fn explain(arguments: &Explain, out: &mut dyn Write) -> Result<Ending, Problem> {
    let book = view(&arguments.read, arguments.as_of)?;
    let question = question(&arguments.read.book);
    let id = match (book.invoice_by_number(&arguments.invoice), InvoiceId::new(&arguments.invoice))
    {
        (Ok(id), _) | (Err(_), Ok(id)) => id,
        (Err(error), Err(_)) => return Err(question(error)),
    };
    write!(out, "{}", book.explain(&id).map_err(question)?)?;
    Ok(Ending::Sound)
}

/// A row of a trial balance, in minor units.
pub(crate) struct BalanceRow {
    /// The account.
    pub(crate) account: Account,
    /// The currency.
    pub(crate) currency: Currency,
    /// One side.
    pub(crate) debit: i128,
    /// The other.
    pub(crate) credit: i128,
}

/// `counterfoil balance`.
pub(crate) fn balance(arguments: &Balance, out: &mut dyn Write) -> Result<Ending, Problem> {
    let book = view(&arguments.read, arguments.as_of)?;
    let question = question(&arguments.read.book);
    let at = arguments.at.or(book.now()).ok_or(Error::NoTime).map_err(&question)?;
    let balance = book.trial_balance(Some(at)).map_err(question)?;
    if arguments.as_of.is_some() {
        writeln!(out, "The book as it was after record {}", book.position())?;
    }
    writeln!(out, "Trial balance, with revenue as earned by {at}\n")?;
    let rows = balance.rows.iter().map(|row| BalanceRow {
        account: row.account,
        currency: row.currency,
        debit: row.debit,
        credit: row.credit,
    });
    print_balance(&rows.collect::<Vec<_>>(), balance.balanced, out)?;
    Ok(if balance.balanced { Ending::Sound } else { Ending::Unsound })
}

/// Prints a trial balance with its sums.
pub(crate) fn print_balance(
    rows: &[BalanceRow],
    balanced: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let only = only_currency(rows.iter().map(|row| row.currency));
    let (debit, credit) = (amount_header("Debit", only), amount_header("Credit", only));
    let mut columns = Columns::new(&["Account", &debit, &credit]);
    let side = |minor: i128, currency| match i64::try_from(minor) {
        Ok(0) => String::new(),
        Ok(minor) => amount(minor, currency, only),
        Err(_) => format!("{minor} minor units"),
    };
    let mut sums: BTreeMap<Currency, (i128, i128)> = BTreeMap::new();
    for row in rows {
        let (debits, credits) = sums.entry(row.currency).or_default();
        *debits = debits.saturating_add(row.debit);
        *credits = credits.saturating_add(row.credit);
        let account = row.account.as_str().replace('_', " ");
        columns.row([account, side(row.debit, row.currency), side(row.credit, row.currency)]);
    }
    for (currency, (debits, credits)) in sums {
        columns.row(["total".to_owned(), side(debits, currency), side(credits, currency)]);
    }
    columns.print(out)?;
    writeln!(out, "{}", if balanced { "The books balance." } else { "The books do NOT balance." })
}
