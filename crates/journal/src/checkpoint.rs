//! The journal as columns, and back.

use crate::journal::{Ledger, Schedule, Totals};
use crate::schedules::Schedules;
use crate::{Account, Journal};
use counterfoil_core::{Currency, Period, Timestamp};
use rkyv::rancor;
use rkyv::util::AlignedVec;
use std::fmt;

/// A journal in columns.
#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct Columns {
    entries: u64,
    ledgers: Vec<LedgerColumns>,
}

#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct LedgerColumns {
    currency: String,
    accounts: Vec<String>,
    debits: Vec<i128>,
    credits: Vec<i128>,
    schedules: ScheduleColumns,
    contra: ScheduleColumns,
}

#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct ScheduleColumns {
    starts: Vec<i64>,
    ends: Vec<i64>,
    amounts: Vec<i64>,
    counts: Vec<i64>,
}

impl ScheduleColumns {
    fn of(schedules: &Schedules) -> Self {
        let mut own = Self::default();
        for (schedule, count) in schedules.iter() {
            own.starts.push(schedule.period.start.unix());
            own.ends.push(schedule.period.end.unix());
            own.amounts.push(schedule.amount_minor);
            own.counts.push(count);
        }
        own
    }

    fn schedules(&self) -> Result<Schedules, CheckpointError> {
        let rows = self.starts.len();
        if [self.ends.len(), self.amounts.len(), self.counts.len()] != [rows; 3] {
            return Err(CheckpointError::because("its columns differ in length"));
        }
        let mut schedules = Vec::with_capacity(rows);
        let times = self.starts.iter().zip(&self.ends);
        let amounts = self.amounts.iter().zip(&self.counts);
        for ((start, end), (amount_minor, count)) in times.zip(amounts) {
            let instant =
                |unix: &i64| Timestamp::from_unix(*unix).map_err(CheckpointError::because);
            let period = Period::new(instant(start)?, instant(end)?);
            schedules.push((Schedule { period, amount_minor: *amount_minor }, *count));
        }
        if !schedules.is_sorted_by(|(before, _), (after, _)| before < after) {
            return Err(CheckpointError::because("its schedules are not in order"));
        }
        Ok(Schedules::on(schedules))
    }
}

/// Bytes that are no checkpoint of a journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a journal: {reason}")]
pub struct CheckpointError {
    reason: String,
}

impl CheckpointError {
    fn because(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string() }
    }
}

impl Journal {
    /// The journal as bytes, to be read by [`Journal::from_checkpoint`].
    ///
    /// # Errors
    /// [`CheckpointError`] beyond what 32-bit offsets reach.
    pub fn checkpoint(&self) -> Result<AlignedVec, CheckpointError> {
        let mut columns = Columns { entries: self.entries, ledgers: Vec::new() };
        for (currency, ledger) in &self.ledgers {
            let mut own =
                LedgerColumns { currency: currency.code().to_owned(), ..LedgerColumns::default() };
            for (account, totals) in &ledger.totals {
                own.accounts.push(account.as_str().to_owned());
                own.debits.push(totals.debit_minor);
                own.credits.push(totals.credit_minor);
            }
            own.schedules = ScheduleColumns::of(&ledger.schedules);
            own.contra = ScheduleColumns::of(&ledger.contra);
            columns.ledgers.push(own);
        }
        rkyv::to_bytes::<rancor::Error>(&columns).map_err(CheckpointError::because)
    }
}

impl Journal {
    /// The journal of a checkpoint. The bytes may be anything; what is allocated is bounded by
    /// their length.
    ///
    /// # Errors
    /// [`CheckpointError`] that says what is wrong.
    pub fn from_checkpoint(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut aligned = AlignedVec::<16>::with_capacity(bytes.len());
        aligned.extend_from_slice(bytes);
        let columns = rkyv::from_bytes::<Columns, rancor::Error>(&aligned)
            .map_err(CheckpointError::because)?;
        let mut journal = Self { entries: columns.entries, ..Self::default() };
        for own in columns.ledgers {
            let currency: Currency = own.currency.parse().map_err(CheckpointError::because)?;
            journal.ledgers.insert(currency, ledger(&own)?);
        }
        Ok(journal)
    }
}

fn ledger(own: &LedgerColumns) -> Result<Ledger, CheckpointError> {
    let accounts = own.accounts.len();
    if [own.debits.len(), own.credits.len()] != [accounts; 2] {
        return Err(CheckpointError::because("its columns differ in length"));
    }
    let mut ledger = Ledger::default();
    for ((name, debit_minor), credit_minor) in
        own.accounts.iter().zip(&own.debits).zip(&own.credits)
    {
        let account = Account::ALL.into_iter().find(|account| account.as_str() == name);
        let account = account.ok_or_else(|| CheckpointError::because("an unknown account"))?;
        let totals = Totals { debit_minor: *debit_minor, credit_minor: *credit_minor };
        ledger.totals.insert(account, totals);
    }
    ledger.schedules = own.schedules.schedules()?;
    ledger.contra = own.contra.schedules()?;
    Ok(ledger)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Journal {
        let mut journal = Journal { entries: 7, ..Journal::default() };
        let mut ledger = Ledger::default();
        let totals = Totals { debit_minor: i128::MAX, credit_minor: 3 };
        ledger.totals.insert(Account::Revenue, totals);
        for n in 0..9 {
            let period = Period::instant(Timestamp::from_unix(n).unwrap());
            ledger.schedules.set(Schedule { period, amount_minor: -n }, n);
            ledger.contra.set(Schedule { period, amount_minor: n }, 9 - n);
        }
        journal.ledgers.insert(Currency::USD, ledger);
        journal
    }

    #[test]
    fn a_journal_is_read_as_it_was_written() {
        for journal in [sample(), Journal::default()] {
            let bytes = journal.checkpoint().unwrap();
            let read = Journal::from_checkpoint(&bytes).unwrap();
            assert_eq!(read, journal);
            assert_eq!(read.checkpoint().unwrap()[..], bytes[..]);
            let encode = |journal: &Journal| rmp_serde::to_vec_named(journal).unwrap();
            assert_eq!(encode(&read), encode(&journal));
        }
    }

    #[test]
    fn hostile_bytes_are_refused_or_read() {
        let bytes = sample().checkpoint().unwrap();
        for at in 0..bytes.len() {
            assert!(Journal::from_checkpoint(&bytes[..at]).is_err());
            for byte in [0, 1, 0x7f, 0xff] {
                let mut damaged = bytes.to_vec();
                damaged[at] = byte;
                let _ = Journal::from_checkpoint(&damaged);
            }
        }
    }
}
