//! The customers that events name, each with a number of its own, and their buckets: a customer
//! together with the values of the dimensions that a meter keeps. Both are what the sums are of,
//! so both have numbers of one row. An event without dimensions is its customer's own.

use super::identity::{Customer, Key};
use super::index::Index;
use super::memory::{ask_for_large_pages, prefetch};
use crate::columns::StringColumn;
use std::collections::BTreeMap;

/// Customers by number, and their numbers by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    key: Key,
    index: Index,
    /// For each customer its number, or its place among the texts.
    rows: Vec<Row>,
    texts: StringColumn,
    buckets: Vec<Bucket>,
    /// The values of all buckets, one bucket's after another's.
    codes: Vec<u32>,
    /// Each value once.
    values: StringColumn,
    value_index: Index,
    /// The bucket of a customer that came last.
    newest: BTreeMap<u32, u32>,
    /// At the first bits of the place of a customer that is a number itself two that were named
    /// last.
    recent: Vec<Recents>,
    recent_shift: u32,
}

/// A customer that was named before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recent {
    pub(crate) customer: u64,
    pub(crate) number: u32,
    /// The call that named it last.
    pub(crate) call: u32,
}

impl Recent {
    const NONE: Self = Self { customer: 0, number: u32::MAX, call: u32::MAX };
}

/// Two of them in half a line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
struct Recents([Recent; 2]);

/// Places for those: 16 MiB.
const RECENT_MAX: usize = 1 << 19;

#[derive(Debug, Clone, Copy)]
enum Row {
    Number(u64),
    Text(u32),
    Bucket(u32),
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    hash: u64,
    customer: u32,
    /// The bucket of this customer that came before, by its number.
    before: Option<u32>,
    start: u32,
    len: u32,
}

impl Names {
    pub(crate) fn new(key: Key) -> Self {
        Self { key, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Customers, buckets not counted.
    pub(crate) fn customers(&self) -> usize {
        self.rows.len().saturating_sub(self.buckets.len())
    }

    pub(crate) fn bytes(&self) -> usize {
        let rows = self.rows.capacity().saturating_mul(size_of::<Row>());
        let names = self.index.bytes().saturating_add(rows);
        let buckets = self.buckets.capacity().saturating_mul(size_of::<Bucket>());
        let codes = self.codes.capacity().saturating_mul(4);
        let values = self.value_index.bytes().saturating_add(self.values.text.capacity());
        let recent = self.recent.capacity().saturating_mul(size_of::<Recents>());
        [self.texts.text.capacity(), buckets, codes, values, recent]
            .into_iter()
            .fold(names, usize::saturating_add)
    }

    pub(crate) fn reserve(&mut self, customers: usize) {
        self.index.reserve(customers);
        self.rows.reserve(customers);
    }

    /// The customer of a number that is not a bucket's.
    #[inline(always)]
    pub(crate) fn get(&self, number: u32) -> Option<Customer<'_>> {
        Some(match *self.rows.get(usize::try_from(number).ok()?)? {
            Row::Number(number) => Customer::Number(number),
            Row::Text(place) => {
                Customer::Text(self.texts.as_strings().get(usize::try_from(place).ok()?)?)
            }
            Row::Bucket(_) => return None,
        })
    }

    /// Where a customer is looked up.
    #[inline(always)]
    pub(crate) fn place(&self, customer: Customer<'_>) -> u64 {
        self.key.customer(customer)
    }

    #[inline(always)]
    pub(crate) fn prefetch(&self, place: u64) {
        self.index.prefetch(self.index.spot(place));
    }

    #[inline(always)]
    fn recent_at(&self, place: u64) -> usize {
        usize::try_from(place >> self.recent_shift).unwrap_or(usize::MAX)
    }

    /// Asks for the customer that was remembered at a place.
    #[inline(always)]
    pub(crate) fn prefetch_recent(&self, place: u64) {
        if let Some(recent) = self.recent.get(self.recent_at(place)) {
            prefetch(recent);
        }
    }

    /// The customer that was remembered at a place, if it is this one.
    #[inline(always)]
    pub(crate) fn recent(&self, place: u64, customer: u64) -> Recent {
        let Some(Recents([first, second])) = self.recent.get(self.recent_at(place)) else {
            return Recent::NONE;
        };
        if first.customer == customer { *first } else { *second }
    }

    /// Remembers the number of a customer that is a number itself, and the call that named it.
    pub(crate) fn remember(&mut self, place: u64, customer: u64, number: u32, call: u32) {
        if self.rows.len() > self.recent.len() && self.recent.len() < RECENT_MAX {
            let len = self.rows.len().saturating_mul(2).next_power_of_two();
            let len = len.clamp(64, RECENT_MAX);
            self.recent = Vec::with_capacity(len);
            ask_for_large_pages(&self.recent);
            self.recent.resize(len, Recents([Recent::NONE; 2]));
            self.recent_shift = 64_u32.saturating_sub(len.trailing_zeros());
        }
        let at = self.recent_at(place);
        if let Some(Recents([first, second])) = self.recent.get_mut(at) {
            if first.customer != customer {
                *second = *first;
            }
            *first = Recent { customer, number, call };
        }
    }

    /// The number of a customer whose place is known, if it has one.
    #[inline(always)]
    pub(crate) fn find_at(&self, place: u64, customer: Customer<'_>) -> Option<u32> {
        self.index.find(place, |row| self.get(row) == Some(customer))
    }

    /// The number of a customer, if it has one.
    pub(crate) fn find(&self, customer: Customer<'_>) -> Option<u32> {
        self.find_at(self.place(customer), customer)
    }

    /// The number of a customer, which is given one if it had none. `None` where numbers or the
    /// memory of names are used up, 2^32 of each.
    #[inline(always)]
    pub(crate) fn intern_at(&mut self, place: u64, customer: Customer<'_>) -> Option<u32> {
        match self.find_at(place, customer) {
            Some(number) => Some(number),
            None => self.add(place, customer),
        }
    }

    pub(crate) fn intern(&mut self, customer: Customer<'_>) -> Option<u32> {
        self.intern_at(self.place(customer), customer)
    }

    fn add(&mut self, place: u64, customer: Customer<'_>) -> Option<u32> {
        let number = u32::try_from(self.rows.len()).ok()?;
        let row = match customer {
            Customer::Number(number) => Row::Number(number),
            Customer::Text(text) => {
                if !self.texts.has_room_for(text.len()) {
                    return None;
                }
                let place = u32::try_from(self.texts.ends.len()).ok()?;
                self.texts.push(text);
                Row::Text(place)
            }
        };
        self.push(place, number, row);
        Some(number)
    }

    fn push(&mut self, place: u64, number: u32, row: Row) {
        self.rows.push(row);
        let Self { key, index, rows, texts, buckets, .. } = self;
        index.insert(place, number, |row| {
            let row = usize::try_from(row).ok().and_then(|row| rows.get(row));
            match row {
                Some(Row::Number(number)) => key.customer(Customer::Number(*number)),
                Some(Row::Text(place)) => {
                    let place = usize::try_from(*place).unwrap_or(usize::MAX);
                    let text = texts.as_strings().get(place).unwrap_or_default();
                    key.customer(Customer::Text(text))
                }
                Some(Row::Bucket(place)) => {
                    let place = usize::try_from(*place).unwrap_or(usize::MAX);
                    buckets.get(place).map_or(0, |bucket| bucket.hash)
                }
                None => 0,
            }
        });
    }

    /// All numbers in order: a customer, or a bucket's customer and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<Customer<'_>, (u32, Vec<&str>)>> {
        (0..self.rows.len()).filter_map(|number| {
            let number = u32::try_from(number).ok()?;
            match self.get(number) {
                Some(customer) => Some(Ok(customer)),
                None => Some(Err((self.customer_of(number), self.values_of(number).collect()))),
            }
        })
    }

    fn bucket(&self, number: u32) -> Option<&Bucket> {
        match *self.rows.get(usize::try_from(number).ok()?)? {
            Row::Bucket(place) => self.buckets.get(usize::try_from(place).ok()?),
            _ => None,
        }
    }

    /// The number of the customer of a number: a bucket's, or itself.
    #[inline(always)]
    pub(crate) fn customer_of(&self, number: u32) -> u32 {
        self.bucket(number).map_or(number, |bucket| bucket.customer)
    }

    /// The values of a bucket; none for a customer.
    pub(crate) fn values_of(&self, number: u32) -> impl Iterator<Item = &str> {
        let codes = self.bucket(number).and_then(|bucket| {
            let start = usize::try_from(bucket.start).ok()?;
            let len = usize::try_from(bucket.len).ok()?;
            self.codes.get(start..start.checked_add(len)?)
        });
        let values = self.values.as_strings();
        let codes = codes.unwrap_or_default().iter();
        codes.filter_map(move |&code| values.get(usize::try_from(code).ok()?))
    }

    /// The buckets of a customer, the last first.
    pub(crate) fn buckets_of(&self, customer: u32) -> impl Iterator<Item = u32> {
        let mut next = self.newest.get(&customer).copied();
        std::iter::from_fn(move || {
            let number = next?;
            next = self.bucket(number).and_then(|bucket| bucket.before);
            Some(number)
        })
    }

    /// Where a bucket is looked up.
    pub(crate) fn bucket_place(&self, customer: u64, values: &[&str]) -> u64 {
        values.iter().fold(self.key.pair(!customer), |hash, value| {
            self.key.pair(hash.rotate_left(7) ^ self.key.customer(Customer::Text(value)))
        })
    }

    /// The number of a bucket, if it has one.
    pub(crate) fn find_bucket(&self, customer: u32, values: &[&str]) -> Option<u32> {
        self.find_bucket_at(self.bucket_place(customer.into(), values), customer, values)
    }

    fn find_bucket_at(&self, hash: u64, customer: u32, values: &[&str]) -> Option<u32> {
        self.index.find(hash, |row| {
            let same = |bucket: &Bucket| bucket.hash == hash && bucket.customer == customer;
            self.bucket(row).is_some_and(same) && self.values_of(row).eq(values.iter().copied())
        })
    }

    /// The number of a bucket, which is given one if it had none. `None` where numbers or the
    /// memory of values are used up.
    pub(crate) fn intern_bucket(&mut self, customer: u32, values: &[&str]) -> Option<u32> {
        let hash = self.bucket_place(customer.into(), values);
        if let Some(number) = self.find_bucket_at(hash, customer, values) {
            return Some(number);
        }
        let number = u32::try_from(self.rows.len()).ok()?;
        let place = u32::try_from(self.buckets.len()).ok()?;
        let start = u32::try_from(self.codes.len()).ok()?;
        for value in values {
            let code = self.intern_value(value)?;
            self.codes.push(code);
        }
        let len = u32::try_from(values.len()).ok()?;
        let before = self.newest.insert(customer, number);
        self.buckets.push(Bucket { hash, customer, before, start, len });
        self.push(hash, number, Row::Bucket(place));
        Some(number)
    }

    fn intern_value(&mut self, value: &str) -> Option<u32> {
        let Self { key, values, value_index, .. } = self;
        let hash = |value: &str| key.customer(Customer::Text(value));
        let at = |values: &StringColumn, row: u32| {
            let row = usize::try_from(row).unwrap_or(usize::MAX);
            values.as_strings().get(row).map(str::to_owned)
        };
        let place = hash(value);
        let texts = values.as_strings();
        let same = |row| texts.get(usize::try_from(row).unwrap_or(usize::MAX)) == Some(value);
        if let Some(code) = value_index.find(place, same) {
            return Some(code);
        }
        if !values.has_room_for(value.len()) {
            return None;
        }
        let code = u32::try_from(values.ends.len()).ok()?;
        values.push(value);
        value_index.insert(place, code, |row| at(values, row).map_or(0, |value| hash(&value)));
        Some(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_keeps_its_number() {
        let mut names = Names::new(Key::default());
        let name = |n: u32| match n.is_multiple_of(2) {
            true => format!("cus_{n}"),
            false => format!("{n:016x}"),
        };
        for round in 0..2 {
            for n in 0..3_000 {
                let text = name(n);
                assert_eq!(names.intern(Customer::of(&text)), Some(n), "round {round}");
            }
        }
        assert_eq!(names.len(), 3_000);
        assert_eq!(names.find(Customer::Number(7)), Some(7));
        assert_eq!(names.find(Customer::Text("cus_3")), None);
        let all: Vec<String> = names.iter().map(|name| name.unwrap().to_text()).collect();
        assert_eq!(all, (0..3_000).map(name).collect::<Vec<_>>());
    }

    #[test]
    fn a_bucket_keeps_its_number_among_those_of_customers() {
        let mut names = Names::new(Key::default());
        let customers: Vec<u32> =
            (0..5).map(|n| names.intern(Customer::Number(n)).unwrap()).collect();
        let tuple = |n: u32| [format!("m{}", n / 100), format!("r{}", n % 100)];
        let mut numbers = Vec::new();
        for round in 0..2 {
            for n in 0..4_000_u32 {
                let values = tuple(n / 5);
                let values = values.each_ref().map(String::as_str);
                let number = names.intern_bucket(customers[n as usize % 5], &values).unwrap();
                if round == 0 {
                    assert_eq!(number, 5 + n);
                    numbers.push(number);
                }
                assert_eq!(number, numbers[n as usize], "round {round}");
                assert_eq!(names.customer_of(number), customers[n as usize % 5]);
                assert!(names.values_of(number).eq(values));
                assert_eq!(names.get(number), None);
            }
        }
        // The cut between values matters, and how many there are.
        assert_eq!(names.find_bucket(0, &["m0r", "0"]), None);
        assert_eq!(names.find_bucket(0, &["m0"]), None);
        assert_eq!(names.find(Customer::Text("m0")), None);
        let own: Vec<u32> = names.buckets_of(customers[2]).collect();
        assert_eq!(own.len(), 800);
        assert!(own.iter().all(|&number| names.customer_of(number) == customers[2]));
        assert_eq!(names.iter().filter(Result::is_err).count(), 4_000);
    }
}
