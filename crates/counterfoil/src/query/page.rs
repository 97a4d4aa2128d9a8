//! Lists a page at a time (rule 1.8), and the filters that a service asks with.

use crate::engine::Engine;
use crate::error::Error;
use crate::handles::{Invoices, Subscriptions};
use crate::metering::Readings;
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::{CollectionMethod, InvoiceId, InvoiceStatus};
use counterfoil_billing::subscription::{Subscription, SubscriptionId, SubscriptionStatus};
use counterfoil_core::{Currency, Period, Refusal, Timestamp, limits};
use counterfoil_model::{InvoiceHead, InvoiceView, Shard, State};
use std::cmp::Reverse;

/// Which page of a list is asked for: the newest objects, unless a cursor says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<I> {
    /// How many objects at most: 1 to 100, 10 where absent.
    pub limit: Option<usize>,
    /// The objects that come after this one in the list.
    pub starting_after: Option<I>,
    /// The objects that come right before this one in the list; instead of `starting_after`.
    pub ending_before: Option<I>,
}

impl<I> Default for PageRequest<I> {
    fn default() -> Self {
        Self { limit: None, starting_after: None, ending_before: None }
    }
}

impl<I> PageRequest<I> {
    /// The first page.
    #[must_use]
    pub fn first() -> Self {
        Self::default()
    }

    /// The page after an object.
    #[must_use]
    pub fn after(id: I) -> Self {
        Self { starting_after: Some(id), ..Self::default() }
    }

    /// The page before an object.
    #[must_use]
    pub fn before(id: I) -> Self {
        Self { ending_before: Some(id), ..Self::default() }
    }

    /// With so many objects at most.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit: Some(limit), ..self }
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The objects, in the order of the list.
    pub data: Vec<T>,
    /// Whether there are more in the direction that was asked for.
    pub has_more: bool,
}

/// Bounds of a time; none of them where it may be any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// Later than this.
    pub gt: Option<Timestamp>,
    /// This, or later.
    pub gte: Option<Timestamp>,
    /// Earlier than this.
    pub lt: Option<Timestamp>,
    /// This, or earlier.
    pub lte: Option<Timestamp>,
}

impl TimeRange {
    /// Within a period: from its start, before its end.
    #[must_use]
    pub fn within(period: Period) -> Self {
        Self { gte: Some(period.start), lt: Some(period.end), ..Self::default() }
    }

    /// Whether a time lies within the bounds.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.gt.is_none_or(|bound| at > bound)
            && self.gte.is_none_or(|bound| at >= bound)
            && self.lt.is_none_or(|bound| at < bound)
            && self.lte.is_none_or(|bound| at <= bound)
    }

    /// Whether there are bounds at all.
    fn is_any(&self) -> bool {
        *self == Self::default()
    }
}

/// Which invoices are asked for; all of them where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvoiceFilter {
    /// Whose.
    pub customer: Option<CustomerId>,
    /// Of which subscription.
    pub subscription: Option<SubscriptionId>,
    /// Where they stand.
    pub status: Option<InvoiceStatus>,
    /// How they are collected.
    pub collection_method: Option<CollectionMethod>,
    /// In which currency.
    pub currency: Option<Currency>,
    /// When they were created.
    pub created: TimeRange,
    /// When they must be paid; with bounds, only those that have a due date.
    pub due_date: TimeRange,
}

impl InvoiceFilter {
    /// Where there are bounds for the due date, the invoice is read if all else fits.
    fn takes(&self, state: &State, invoice: &InvoiceHead<'_>) -> bool {
        let due = || {
            self.due_date.is_any()
                || state.invoice(invoice.id).is_ok_and(|invoice| {
                    invoice.due_date.is_some_and(|due| self.due_date.contains(due))
                })
        };
        let subscription = self.subscription.as_ref();
        subscription.is_none_or(|id| invoice.subscription == Some(id))
            && self.status.is_none_or(|status| invoice.status == status)
            && self.collection_method.is_none_or(|method| invoice.collection_method == method)
            && self.currency.is_none_or(|currency| invoice.currency == currency)
            && self.created.contains(invoice.created)
            && due()
    }
}

/// Which subscriptions are asked for; all of them where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscriptionFilter {
    /// Whose.
    pub customer: Option<CustomerId>,
    /// Where they stand.
    pub status: Option<SubscriptionStatus>,
    /// When they were created.
    pub created: TimeRange,
    /// When their current period ends: those that fall due within the bounds. Ended ones do not fall
    /// due, and are left out where there are bounds.
    pub current_period_end: TimeRange,
}

impl SubscriptionFilter {
    fn takes(&self, subscription: &Subscription) -> bool {
        let end = subscription.current_period().end;
        let due = self.current_period_end.is_any()
            || !subscription.is_ended() && self.current_period_end.contains(end);
        self.status.is_none_or(|status| subscription.status == status)
            && self.created.contains(subscription.created)
            && due
    }
}

impl Invoices<'_> {
    /// A page of invoices as they read now, newest first, those created in one second by the order of
    /// creation (point 54). Looks at every invoice of the customer that is named, else of the book.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing` for an unknown customer or cursor, and with
    /// `parameter_invalid` for a limit out of range or two cursors.
    pub fn page(
        &self,
        filter: &InvoiceFilter,
        request: &PageRequest<InvoiceId>,
    ) -> Result<Page<InvoiceView>, Error> {
        self.0.read(|book| {
            let shards = shards(&book.state, filter.customer.as_ref())?;
            let heads = shards.into_iter().flat_map(Shard::invoice_heads);
            let found = heads.filter(|head| filter.takes(&book.state, head)).collect();
            let place = |head: &InvoiceHead<'_>| Reverse((head.created, head.seq));
            let cursor = |id: &InvoiceId| {
                let invoice = book.state.invoice(id)?;
                Ok(Reverse((invoice.created, invoice.seq)))
            };
            let page = cut(found, request, place, cursor)?;
            let readings = Readings(&book.meters);
            let view = |head: InvoiceHead<'_>| book.state.view(head.id, &readings);
            let data = page.data.into_iter().map(view).collect::<Result<_, Refusal>>()?;
            Ok(Page { data, has_more: page.has_more })
        })
    }
}

impl Subscriptions<'_> {
    /// A page of subscriptions, newest first. Looks at every subscription of the customer that is
    /// named, else of the book.
    ///
    /// # Errors
    /// As [`Invoices::page`].
    pub fn page(
        &self,
        filter: &SubscriptionFilter,
        request: &PageRequest<SubscriptionId>,
    ) -> Result<Page<Subscription>, Error> {
        let place = |own: &Subscription| Reverse((own.created, own.seq));
        self.page_by(filter, request, place)
    }

    /// A page of the subscriptions whose current period ends within a period, the next ones first:
    /// what falls due, and in which order. A subscription is there once, with its next boundary.
    ///
    /// # Errors
    /// As [`Invoices::page`].
    pub fn falling_due(
        &self,
        within: Period,
        request: &PageRequest<SubscriptionId>,
    ) -> Result<Page<Subscription>, Error> {
        let within = TimeRange::within(within);
        let filter = SubscriptionFilter { current_period_end: within, ..Default::default() };
        self.page_by(&filter, request, |own| (own.current_period().end, own.seq))
    }

    fn page_by<P: Ord>(
        &self,
        filter: &SubscriptionFilter,
        request: &PageRequest<SubscriptionId>,
        place: impl Fn(&Subscription) -> P,
    ) -> Result<Page<Subscription>, Error> {
        self.0.read(|book| {
            let shards = shards(&book.state, filter.customer.as_ref())?;
            let own = shards.into_iter().flat_map(Shard::subscriptions);
            let found = own.filter(|own| filter.takes(own)).collect();
            let cursor = |id: &SubscriptionId| Ok(place(book.state.subscription(id)?));
            let page = cut(found, request, |own: &&Subscription| place(own), cursor)?;
            let data = page.data.into_iter().cloned().collect();
            Ok(Page { data, has_more: page.has_more })
        })
    }
}

impl Engine {
    /// How many subscriptions stand where, ended ones too.
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed.
    pub fn subscription_count(&self, status: SubscriptionStatus) -> Result<usize, Error> {
        self.read(|book| {
            let shards = book.state.shards();
            let all = shards.into_iter().flat_map(Shard::subscriptions);
            Ok(all.filter(|own| own.status == status).count())
        })
    }
}

fn shards<'s>(state: &'s State, customer: Option<&CustomerId>) -> Result<Vec<&'s Shard>, Refusal> {
    match customer {
        Some(id) => Ok(vec![state.shard(id)?]),
        None => Ok(state.shards()),
    }
}

/// Cuts a page out of what was found: in the order of `place`, which no two objects share. The cursor
/// need not be among what was found, so that a page goes on where an object left the list meanwhile.
fn cut<T, I, P: Ord>(
    mut found: Vec<T>,
    request: &PageRequest<I>,
    place: impl Fn(&T) -> P,
    cursor: impl Fn(&I) -> Result<P, Refusal>,
) -> Result<Page<T>, Refusal> {
    let limit = request.limit.unwrap_or(limits::PAGE_DEFAULT);
    if !(1..=limits::PAGE_MAX).contains(&limit) {
        let reason = format!("{limit} is not 1 to {}", limits::PAGE_MAX);
        return Err(Refusal::invalid("limit", reason));
    }
    found.sort_by_key(|object| place(object));
    match (&request.starting_after, &request.ending_before) {
        (Some(_), Some(_)) => {
            let reason = "give starting_after or ending_before, not both";
            return Err(Refusal::invalid("ending_before", reason));
        }
        (Some(id), None) => {
            let from = cursor(id)?;
            found.retain(|object| place(object) > from);
        }
        (None, Some(id)) => {
            let to = cursor(id)?;
            found.retain(|object| place(object) < to);
            let more = found.len().saturating_sub(limit);
            found.drain(..more);
            return Ok(Page { data: found, has_more: more > 0 });
        }
        (None, None) => {}
    }
    let has_more = found.len() > limit;
    found.truncate(limit);
    Ok(Page { data: found, has_more })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in falling order; those of the list are even.
    fn page(request: &PageRequest<u32>) -> Result<(Vec<u32>, bool), String> {
        let all: Vec<u32> = (0..10).map(|n| n * 2).collect();
        let cursor = |id: &u32| {
            if *id < 20 { Ok(Reverse(*id)) } else { Err(Refusal::unknown("number", id)) }
        };
        let page = cut(all, request, |n| Reverse(*n), cursor);
        let page = page.map_err(|refusal| refusal.to_string())?;
        Ok((page.data, page.has_more))
    }

    #[test]
    fn a_page_lies_after_or_before_its_cursor() {
        let first = PageRequest::first;
        for (request, expected, has_more) in [
            (first().limit(3), vec![18, 16, 14], true),
            (PageRequest::after(14).limit(3), vec![12, 10, 8], true),
            (PageRequest::after(6).limit(3), vec![4, 2, 0], false),
            (PageRequest::after(0).limit(3), vec![], false),
            (PageRequest::before(12).limit(2), vec![16, 14], true),
            (PageRequest::before(14).limit(2), vec![18, 16], false),
            (PageRequest::before(18).limit(2), vec![], false),
            // A cursor that is not in the list any more.
            (PageRequest::after(13).limit(2), vec![12, 10], true),
            (PageRequest::before(13).limit(2), vec![16, 14], true),
            (first(), (0..10).rev().map(|n| n * 2).collect(), false),
        ] {
            assert_eq!(page(&request), Ok((expected, has_more)), "{request:?}");
        }
    }

    #[test]
    fn pages_that_cannot_be_asked_for() {
        let both = PageRequest { starting_after: Some(1), ending_before: Some(2), limit: None };
        for (request, param) in [
            (PageRequest::first().limit(0), "limit"),
            (PageRequest::first().limit(101), "limit"),
            (both, "ending_before"),
            (PageRequest::after(99), "no such number"),
        ] {
            let refused = page(&request).unwrap_err();
            assert!(refused.starts_with(param), "{request:?}: {refused}");
        }
    }

    #[test]
    fn bounds_are_inclusive_or_not_as_they_say() {
        let at = |n: i64| Timestamp::from_unix(n).unwrap();
        let range = |bounds: [Option<i64>; 4]| {
            let [gt, gte, lt, lte] = bounds.map(|bound| bound.map(at));
            TimeRange { gt, gte, lt, lte }
        };
        for (bounds, inside) in [
            ([None; 4], 0..=9),
            ([Some(3), None, None, None], 4..=9),
            ([None, Some(3), None, None], 3..=9),
            ([None, None, Some(3), None], 0..=2),
            ([None, None, None, Some(3)], 0..=3),
            ([None, Some(2), Some(5), None], 2..=4),
        ] {
            for n in 0..=9 {
                assert_eq!(range(bounds).contains(at(n)), inside.contains(&n), "{bounds:?} {n}");
            }
        }
        let period = Period::new(at(2), at(5));
        assert_eq!(TimeRange::within(period), range([None, Some(2), Some(5), None]));
    }
}
