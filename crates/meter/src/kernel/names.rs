//! The customers that events name, each with a number of its own.

use super::identity::{Customer, Key};
use super::index::Index;
use crate::columns::StringColumn;

/// Customers by number, and their numbers by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    key: Key,
    index: Index,
    /// For each customer its number, or its place among the texts.
    rows: Vec<Row>,
    texts: StringColumn,
}

#[derive(Debug, Clone, Copy)]
enum Row {
    Number(u64),
    Text(u32),
}

impl Names {
    pub(crate) fn new(key: Key) -> Self {
        Self { key, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        let rows = self.rows.capacity().saturating_mul(size_of::<Row>());
        self.index.bytes().saturating_add(rows).saturating_add(self.texts.text.capacity())
    }

    pub(crate) fn reserve(&mut self, customers: usize) {
        self.index.reserve(customers);
        self.rows.reserve(customers);
    }

    /// The customer of a number.
    #[inline(always)]
    pub(crate) fn get(&self, number: u32) -> Option<Customer<'_>> {
        Some(match *self.rows.get(usize::try_from(number).ok()?)? {
            Row::Number(number) => Customer::Number(number),
            Row::Text(place) => {
                Customer::Text(self.texts.as_strings().get(usize::try_from(place).ok()?)?)
            }
        })
    }

    /// Where a customer is looked up.
    #[inline(always)]
    pub(crate) fn place(&self, customer: Customer<'_>) -> u64 {
        self.key.customer(customer)
    }

    #[inline(always)]
    pub(crate) fn prefetch(&self, place: u64) {
        self.index.spot(place);
    }

    /// The number of a customer whose place is known, if it has one.
    #[inline(always)]
    pub(crate) fn find_at(&self, place: u64, customer: Customer<'_>) -> Option<u32> {
        self.index.find(place, |row| self.get(row) == Some(customer))
    }

    /// The same for one that was given as a number.
    #[inline(always)]
    pub(crate) fn find_number(&self, place: u64, customer: u64) -> Option<u32> {
        let row = |row: u32| self.rows.get(usize::try_from(row).unwrap_or(usize::MAX));
        self.index
            .find(place, |own| matches!(row(own), Some(&Row::Number(number)) if number == customer))
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
        self.rows.push(row);
        let Self { key, index, rows, texts } = self;
        index.insert(place, number, |row| {
            let row = usize::try_from(row).ok().and_then(|row| rows.get(row));
            match row {
                Some(Row::Number(number)) => key.customer(Customer::Number(*number)),
                Some(Row::Text(place)) => {
                    let place = usize::try_from(*place).unwrap_or(usize::MAX);
                    let text = texts.as_strings().get(place).unwrap_or_default();
                    key.customer(Customer::Text(text))
                }
                None => 0,
            }
        });
        Some(number)
    }

    /// All customers in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Customer<'_>> {
        (0..).map_while(|number| self.get(number))
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
        let all: Vec<String> = names.iter().map(Customer::to_text).collect();
        assert_eq!(all, (0..3_000).map(name).collect::<Vec<_>>());
    }
}
