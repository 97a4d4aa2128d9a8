//! A block on its way: filled row by row, in memory that is used again.

use super::{BUCKET, Block, Columns};
use crate::kernel::events::WIDE;
use crate::kernel::identity::{Customer, Identifier};
use crate::value::Amount;
use counterfoil_core::{Id, Timestamp, kind};
use std::collections::BTreeMap;

impl Block {
    /// Makes it an empty one, with its memory.
    fn clear(&mut self) {
        let Self { meters, received_at: _, columns } = self;
        let Columns {
            meters: names,
            meter_of,
            received_at: _,
            identifiers,
            identifier_texts,
            customers,
            customer_texts,
            bucket_customers,
            bucket_ends,
            bucket_values,
            values,
            customer_of,
            times,
            units,
            wide_rows,
            wide,
            cancelled,
            corrected,
            corrections,
        } = columns;
        meters.clear();
        meter_of.clear();
        for texts in [names, identifier_texts, customer_texts, values, cancelled, corrected] {
            texts.clear();
        }
        for codes in [bucket_customers, bucket_ends, bucket_values, customer_of, wide_rows] {
            codes.clear();
        }
        for numbers in [times, units] {
            numbers.clear();
        }
        identifiers.clear();
        customers.clear();
        wide.clear();
        corrections.clear();
    }
}

/// A block that is being filled.
#[derive(Debug)]
pub(crate) struct BlockBuilder {
    pub(super) block: Block,
    /// Whether identifiers, and customers, are numbers.
    numbers: (bool, bool),
    /// The values of buckets, with their places.
    values: BTreeMap<String, u32>,
}

impl BlockBuilder {
    pub(crate) fn new(received_at: Timestamp, numbers: (bool, bool)) -> Self {
        let columns = Columns { received_at: received_at.unix(), ..Columns::default() };
        let block = Block { meters: Vec::new(), received_at, columns };
        Self { block, numbers, values: BTreeMap::new() }
    }

    /// The same in the memory of a block that is of no more use.
    pub(crate) fn again(mut block: Block, received_at: Timestamp, numbers: (bool, bool)) -> Self {
        block.clear();
        block.received_at = received_at;
        block.columns.received_at = received_at.unix();
        Self { block, numbers, values: BTreeMap::new() }
    }

    pub(crate) fn reserve(&mut self, rows: usize) {
        let columns = &mut self.block.columns;
        if self.numbers.0 {
            columns.identifiers.reserve(rows);
        } else {
            columns.identifier_texts.ends.reserve(rows);
        }
        columns.customer_of.reserve(rows);
        columns.times.reserve(rows);
        columns.units.reserve(rows);
    }

    /// Adds a meter to the list; its code.
    pub(crate) fn meter(&mut self, meter: &Id<kind::Meter>) -> u16 {
        let code = self.block.meters.len();
        if code == 1 {
            // So far there was one.
            self.block.columns.meter_of.resize(self.block.columns.times.len(), 0);
        }
        self.block.meters.push(meter.clone());
        self.block.columns.meters.push(meter.as_str());
        u16::try_from(code).unwrap_or(u16::MAX)
    }

    /// Adds a customer to the list; its code.
    pub(crate) fn customer(&mut self, customer: Customer<'_>) -> u32 {
        let columns = &mut self.block.columns;
        let code = columns.customers();
        match customer {
            Customer::Number(number) if self.numbers.1 => columns.customers.push(number),
            Customer::Text(text) => columns.customer_texts.push(text),
            Customer::Number(number) => {
                columns.customer_texts.push_written(format_args!("{number:016x}"));
            }
        }
        u32::try_from(code).unwrap_or(u32::MAX)
    }

    /// Adds a bucket of a listed customer to the list; its code.
    pub(crate) fn bucket<'v>(
        &mut self,
        customer: u32,
        values: impl Iterator<Item = &'v str>,
    ) -> u32 {
        let columns = &mut self.block.columns;
        let place = u32::try_from(columns.buckets()).unwrap_or(u32::MAX);
        for value in values {
            let code = match self.values.get(value) {
                Some(&code) => code,
                None => {
                    let code = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
                    columns.values.push(value);
                    self.values.insert(value.to_owned(), code);
                    code
                }
            };
            columns.bucket_values.push(code);
        }
        columns.bucket_customers.push(customer);
        columns.bucket_ends.push(u32::try_from(columns.bucket_values.len()).unwrap_or(u32::MAX));
        place | BUCKET
    }

    #[inline(always)]
    pub(crate) fn push(
        &mut self,
        meter: u16,
        identifier: Identifier<'_>,
        customer: u32,
        time: i64,
        amount: Amount,
    ) {
        let several = self.block.meters.len() > 1;
        let columns = &mut self.block.columns;
        if several {
            columns.meter_of.push(meter);
        }
        match identifier {
            Identifier::Number(number) if self.numbers.0 => columns.identifiers.push(number),
            Identifier::Text(text) => columns.identifier_texts.push(text),
            Identifier::Number(number) => {
                columns.identifier_texts.push_written(format_args!("{number:032x}"));
            }
        }
        columns.customer_of.push(customer);
        if amount.units == WIDE {
            columns.wide_rows.push(u32::try_from(columns.times.len()).unwrap_or(u32::MAX));
            columns.wide.push(amount.wide);
        }
        columns.times.push(time);
        columns.units.push(amount.units);
    }

    pub(crate) const fn block(&self) -> &Block {
        &self.block
    }

    pub(crate) fn finish(self) -> Option<Block> {
        Some(self.block).filter(|block| !block.is_empty())
    }
}
