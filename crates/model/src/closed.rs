//! The invoices of a customer: those that may still change as they are, and the closed ones packed.
//!
//! A closed invoice is read seldom and stays for ever. So its content is encoded and lies on a
//! [`Shelf`], in memory or elsewhere, and what remains here is a row: where the content is, and what
//! decisions and lists ask of invoices that they pass over. What is personal stays here as well, so
//! that it lies in no file and goes with an erasure. A change takes an invoice out; once it rests
//! again, it is packed again.

use crate::base::{Tree, Unreadable, decode, encode};
use counterfoil_billing::PersonalData;
use counterfoil_billing::catalog::PriceId;
use counterfoil_billing::invoice::{
    CollectionMethod, Derivation, Invoice, InvoiceId, InvoiceStatus, Line,
};
use counterfoil_billing::subscription::{SubscriptionId, SubscriptionItemId};
use counterfoil_core::{Currency, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Where the contents of closed invoices lie, outside of memory. It is scratch: what is put there is
/// asked for by the same process only, and never changed.
pub trait ClosedStore: Send + Sync + fmt::Debug {
    /// Puts bytes there and says where.
    ///
    /// # Errors
    /// Why they cannot be put there; they stay in memory then.
    fn put(&self, bytes: &[u8]) -> Result<u64, Unreadable>;

    /// The bytes that were put at a place.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn get(&self, place: u64, len: usize) -> Result<Vec<u8>, Unreadable>;
}

/// What the closed invoices of a state lie on: memory, unless it has a store.
#[derive(Debug, Default)]
pub struct Shelf {
    store: Option<Box<dyn ClosedStore>>,
    fault: OnceLock<Unreadable>,
}

impl Shelf {
    /// A shelf in a store.
    #[must_use]
    pub fn in_store(store: Box<dyn ClosedStore>) -> Self {
        Self { store: Some(store), fault: OnceLock::new() }
    }

    /// Why something on it could not be read when it was needed, if so.
    pub(crate) fn fault(&self) -> Option<&Unreadable> {
        self.fault.get()
    }

    fn put(&self, bytes: &[u8]) -> Content {
        let placed = self.store.as_ref().and_then(|store| {
            let len = u32::try_from(bytes.len()).ok()?;
            Some(Content::Stored { place: store.put(bytes).ok()?, len, sum: sum_of(bytes) })
        });
        placed.unwrap_or_else(|| Content::Here(bytes.into()))
    }

    fn read(&self, content: &Content) -> Result<Invoice, Unreadable> {
        match (content, &self.store) {
            (Content::Here(bytes), _) => decode(bytes),
            (Content::Stored { place, len, sum }, Some(store)) => {
                let len = usize::try_from(*len).map_err(Unreadable::because)?;
                let bytes = store.get(*place, len)?;
                if sum_of(&bytes) != *sum {
                    return Err(Unreadable::because("a closed invoice is not what was stored"));
                }
                decode(&bytes)
            }
            (Content::Stored { .. }, None) => Err(Unreadable::because("no store")),
        }
    }
}

/// Where the content of an invoice is.
#[derive(Debug, Clone)]
enum Content {
    Here(Arc<[u8]>),
    Stored { place: u64, len: u32, sum: u32 },
}

/// A closed invoice.
#[derive(Debug, Clone)]
struct Row {
    id: InvoiceId,
    seq: u64,
    created: Timestamp,
    content: Content,
    /// What is personal in it, encoded.
    personal: Option<Arc<[u8]>>,
    /// Some bits for each item, price and beginning that a line has: where those of a line are not
    /// all there, there is no such line.
    traces: u64,
    /// The latest end of a line's period, in seconds; the earliest of all times without a line.
    until: i64,
    /// The same of those that bill usage.
    usage_until: i64,
    /// The place of its subscription among those of the customer that have rows.
    subscription: Option<u32>,
    lines: u32,
    /// A hash of its number.
    number: u32,
    currency: Currency,
    status: InvoiceStatus,
    collection_method: CollectionMethod,
    says: Says,
}

/// What else is asked of a closed invoice.
#[derive(Debug, Clone, Copy)]
struct Says(u8);

const CORRECTS: u8 = 1;
const BILLS_AHEAD: u8 = 2;
const HAS_CHANGES: u8 = 4;
const ASKED: u8 = 8;

impl Says {
    fn of(invoice: &Invoice) -> Self {
        let changed = |line: &Arc<Line>| matches!(line.derivation, Derivation::Changed(_));
        let mut bits = 0;
        for (bit, holds) in [
            (CORRECTS, invoice.corrects.is_some()),
            (BILLS_AHEAD, invoice.bills_ahead_of_period_end()),
            (HAS_CHANGES, invoice.lines().any(changed)),
            (ASKED, invoice.amount_due > 0 || invoice.attempts_made > 0),
        ] {
            bits |= if holds { bit } else { 0 };
        }
        Self(bits)
    }

    const fn all(self, bits: u8) -> bool {
        self.0 & bits == bits
    }
}

/// The bits of an item, a price and the beginning of a period.
#[must_use]
pub(crate) fn trace(item: &SubscriptionItemId, price: &PriceId, start: Timestamp) -> u64 {
    let hash = spread(item.as_str().as_bytes(), SEED);
    let hash = spread(price.as_str().as_bytes(), hash);
    let hash = spread(&start.unix().to_le_bytes(), hash);
    let bit = |from: u32| 1_u64.rotate_left(u32::try_from((hash >> from) & 63).unwrap_or(0));
    bit(0) | bit(16) | bit(40)
}

fn trace_of(line: &Line) -> Option<u64> {
    Some(trace(line.subscription_item.as_ref()?, line.price.as_ref()?, line.period.start))
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over words in place of bytes, with a turn for the bits that a product does not reach.
fn spread(bytes: &[u8], seed: u64) -> u64 {
    let mut hash = seed;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 29;
    }
    hash
}

/// A sum over bytes, for what is compared within one process.
fn sum_of(bytes: &[u8]) -> u32 {
    let [a, b, c, d, ..] = spread(bytes, SEED).to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// The closed invoices of a customer.
#[derive(Clone)]
struct Closed {
    /// By id.
    rows: Vec<Row>,
    subscriptions: Vec<SubscriptionId>,
    shelf: Arc<Shelf>,
}

impl Closed {
    fn place(&self, id: &InvoiceId) -> Result<usize, usize> {
        // What was created last is nearly always behind all others.
        match self.rows.last() {
            Some(last) if last.id < *id => Err(self.rows.len()),
            _ => self.rows.binary_search_by(|row| row.id.cmp(id)),
        }
    }

    fn row(&self, id: &InvoiceId) -> Option<&Row> {
        self.rows.get(self.place(id).ok()?)
    }

    fn read(&self, row: &Row) -> Result<Arc<Invoice>, Unreadable> {
        let mut invoice = self.shelf.read(&row.content)?;
        if let Some(personal) = &row.personal {
            invoice.set_personal(decode(personal)?);
        }
        Ok(Arc::new(invoice))
    }

    /// The invoice, unless it cannot be read, which is a fault that stays.
    fn unpacked(&self, row: &Row) -> Option<Arc<Invoice>> {
        match self.read(row) {
            Ok(invoice) => Some(invoice),
            Err(fault) => {
                drop(self.shelf.fault.set(fault));
                None
            }
        }
    }

    fn subscription(&mut self, id: &SubscriptionId) -> Option<u32> {
        let known = self.subscriptions.iter().position(|own| own == id);
        let place = known.unwrap_or_else(|| {
            self.subscriptions.reserve_exact(1);
            self.subscriptions.push(id.clone());
            self.subscriptions.len().saturating_sub(1)
        });
        u32::try_from(place).ok()
    }

    fn insert(&mut self, invoice: &Invoice, content: Content) {
        let subscription = invoice.subscription.as_ref().and_then(|id| self.subscription(id));
        let latest = |ends: &mut dyn Iterator<Item = &Arc<Line>>| {
            ends.map(|line| line.period.end.unix()).max().unwrap_or(i64::MIN)
        };
        let is_usage = |line: &&Arc<Line>| line.derivation.reading().is_some();
        let row = Row {
            id: invoice.id.clone(),
            seq: invoice.seq,
            created: invoice.created,
            content,
            personal: None,
            traces: invoice.lines().filter_map(|line| trace_of(line)).fold(0, |all, own| all | own),
            until: latest(&mut invoice.lines()),
            usage_until: latest(&mut invoice.lines().filter(is_usage)),
            subscription,
            lines: u32::try_from(invoice.lines().count()).unwrap_or(u32::MAX),
            number: invoice.number.as_deref().map_or(0, |number| sum_of(number.as_bytes())),
            currency: invoice.currency,
            status: invoice.status,
            collection_method: invoice.collection_method,
            says: Says::of(invoice),
        };
        let place = self.place(&row.id).unwrap_or_else(|place| place);
        if self.rows.len() == self.rows.capacity() {
            // A history grows for ever: no more room than an eighth is there for what is to come.
            self.rows.reserve_exact(self.rows.len().div_euclid(8).saturating_add(1));
        }
        self.rows.insert(place.min(self.rows.len()), row);
        self.set_personal(place, &invoice.personal());
    }

    fn set_personal(&mut self, place: usize, data: &PersonalData) {
        let mut bytes = Vec::new();
        if !data.is_empty() && encode(data, &mut bytes).is_err() {
            return;
        }
        // Who the customer is stands on every invoice, and is mostly what it was.
        let before = place.checked_sub(1).and_then(|place| self.rows.get(place));
        let before = before.and_then(|row| row.personal.clone());
        let own = match before {
            _ if bytes.is_empty() => None,
            Some(before) if *before == *bytes => Some(before),
            _ => Some(bytes.into()),
        };
        if let Some(row) = self.rows.get_mut(place) {
            row.personal = own;
        }
    }
}

/// What lists and decisions ask of an invoice that they may pass over.
#[derive(Debug, Clone, Copy)]
pub struct InvoiceHead<'a> {
    /// Its id.
    pub id: &'a InvoiceId,
    /// Its place in the order of creation.
    pub seq: u64,
    /// When it was created.
    pub created: Timestamp,
    /// The subscription that it bills.
    pub subscription: Option<&'a SubscriptionId>,
    /// Where it stands.
    pub status: InvoiceStatus,
    /// Its currency.
    pub currency: Currency,
    /// How it is collected.
    pub collection_method: CollectionMethod,
    from: From<'a>,
}

#[derive(Debug, Clone, Copy)]
enum From<'a> {
    Row(&'a Row),
    Invoice(&'a Invoice),
}

impl<'a> InvoiceHead<'a> {
    pub(crate) fn of(invoice: &'a Invoice) -> Self {
        Self {
            id: &invoice.id,
            seq: invoice.seq,
            created: invoice.created,
            subscription: invoice.subscription.as_ref(),
            status: invoice.status,
            currency: invoice.currency,
            collection_method: invoice.collection_method,
            from: From::Invoice(invoice),
        }
    }

    fn of_row(row: &'a Row, subscriptions: &'a [SubscriptionId]) -> Self {
        let place = row.subscription.and_then(|place| usize::try_from(place).ok());
        Self {
            id: &row.id,
            seq: row.seq,
            created: row.created,
            subscription: place.and_then(|place| subscriptions.get(place)),
            status: row.status,
            currency: row.currency,
            collection_method: row.collection_method,
            from: From::Row(row),
        }
    }

    /// Whether it was finalized and not voided since.
    #[must_use]
    pub fn counts(&self) -> bool {
        !matches!(self.status, InvoiceStatus::Draft | InvoiceStatus::Void)
    }

    /// Whether it may have a number; where not, it has another one or none.
    #[must_use]
    pub fn may_have_number(&self, number: &str) -> bool {
        match self.from {
            From::Row(row) => row.number == sum_of(number.as_bytes()),
            From::Invoice(invoice) => invoice.number.as_deref() == Some(number),
        }
    }

    /// How many fixed lines it has.
    pub(crate) fn line_count(&self) -> usize {
        match self.from {
            From::Row(row) => usize::try_from(row.lines).unwrap_or(usize::MAX),
            From::Invoice(invoice) => invoice.lines().count(),
        }
    }

    /// Whether it may have a line with all bits of a [`trace`].
    pub(crate) fn may_have(&self, trace: u64) -> bool {
        match self.from {
            From::Row(row) => row.traces & trace == trace,
            From::Invoice(_) => true,
        }
    }

    /// Whether it may bill usage of a period that ends at an instant or later.
    pub(crate) fn may_bill_usage_since(&self, since: Timestamp) -> bool {
        match self.from {
            From::Row(row) => row.usage_until >= since.unix(),
            From::Invoice(_) => true,
        }
    }

    /// Whether it may have a line for a period that ends at an instant or later.
    pub(crate) fn may_charge_since(&self, since: Timestamp) -> bool {
        match self.from {
            From::Row(row) => row.until >= since.unix(),
            From::Invoice(_) => true,
        }
    }

    fn says(&self, bits: u8) -> bool {
        match self.from {
            From::Row(row) => row.says.all(bits),
            From::Invoice(invoice) => Says::of(invoice).all(bits),
        }
    }

    /// Whether it corrects another one (rule 12.8).
    pub(crate) fn corrects(&self) -> bool {
        match self.from {
            From::Row(row) => row.says.all(CORRECTS),
            From::Invoice(invoice) => invoice.corrects.is_some(),
        }
    }

    /// Whether it bills usage of periods that go on (rule 6.13).
    pub(crate) fn bills_ahead_of_period_end(&self) -> bool {
        match self.from {
            From::Row(row) => row.says.all(BILLS_AHEAD),
            From::Invoice(invoice) => invoice.bills_ahead_of_period_end(),
        }
    }

    /// Whether a line is of a change in mid-period.
    pub(crate) fn has_changes(&self) -> bool {
        self.says(HAS_CHANGES)
    }

    /// Whether anything was to be paid, or somebody outside was asked to.
    pub(crate) fn asked_for_payment(&self) -> bool {
        self.says(ASKED)
    }
}

/// All that it says, for whoever compares two.
impl fmt::Display for InvoiceHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, seq, created, status, currency, collection_method, .. } = self;
        let subscription = self.subscription.map_or("none", |id| id.as_str());
        let lines = self.line_count();
        let says = [CORRECTS, BILLS_AHEAD, HAS_CHANGES, ASKED].map(|bit| self.says(bit));
        write!(
            f,
            "{id} {seq} {created} {subscription} {status} {currency} {collection_method:?} {lines} \
             {says:?}"
        )
    }
}

/// The invoices of a customer, by id. In what is kept they are an ordinary map, packed or not.
#[derive(Clone, Default)]
pub(crate) struct Invoices {
    live: Tree<InvoiceId, Arc<Invoice>>,
    closed: Option<Arc<Closed>>,
}

/// Whether nothing is going to happen to an invoice by itself, nor is anything owed.
fn is_at_rest(invoice: &Invoice) -> bool {
    invoice.status.is_closed() && !invoice.auto_advance && invoice.open_attempt.is_none()
}

/// An invoice, packed or not.
enum Held<'a> {
    Live(&'a Arc<Invoice>),
    Packed(&'a Closed, &'a Row),
}

impl Held<'_> {
    fn read(&self) -> Option<Arc<Invoice>> {
        match self {
            Self::Live(invoice) => Some(Arc::clone(invoice)),
            Self::Packed(closed, row) => closed.unpacked(row),
        }
    }
}

impl Invoices {
    /// An invoice; none where there is no such or it cannot be read, which is a fault then.
    pub(crate) fn get(&self, id: &InvoiceId) -> Option<Arc<Invoice>> {
        if let Some(invoice) = self.live.get(id) {
            return Some(Arc::clone(invoice));
        }
        let closed = self.closed.as_ref()?;
        closed.unpacked(closed.row(id)?)
    }

    /// An invoice that is not packed.
    pub(crate) fn get_live(&self, id: &InvoiceId) -> Option<&Arc<Invoice>> {
        self.live.get(id)
    }

    /// The invoices that are not packed, by id: all but those that are paid or void, and of these
    /// those that changed just now.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Arc<Invoice>> {
        self.live.values()
    }

    /// An invoice, to be changed. A packed one is taken out.
    pub(crate) fn get_mut(&mut self, id: &InvoiceId) -> Option<&mut Arc<Invoice>> {
        if self.closed.is_some() && !self.live.contains_key(id) {
            self.take_out(id);
        }
        self.live.get_mut(id)
    }

    fn take_out(&mut self, id: &InvoiceId) {
        let Some(invoice) = self.get(id) else { return };
        self.remove_row(id);
        self.live.insert_mut(id.clone(), invoice);
    }

    fn remove_row(&mut self, id: &InvoiceId) {
        let Some(closed) = &mut self.closed else { return };
        let Ok(place) = closed.place(id) else { return };
        Arc::make_mut(closed).rows.remove(place);
    }

    pub(crate) fn insert_mut(&mut self, id: InvoiceId, invoice: Arc<Invoice>) {
        self.remove_row(&id);
        self.live.insert_mut(id, invoice);
    }

    pub(crate) fn remove_mut(&mut self, id: &InvoiceId) {
        self.remove_row(id);
        self.live.remove_mut(id);
    }

    /// What is asked of invoices that are passed over, in no order.
    pub(crate) fn heads(&self) -> impl Iterator<Item = InvoiceHead<'_>> {
        let live = self.live.values().map(|invoice| InvoiceHead::of(invoice));
        let closed = self.closed.iter().flat_map(|closed| {
            closed.rows.iter().map(|row| InvoiceHead::of_row(row, &closed.subscriptions))
        });
        live.chain(closed)
    }

    /// The invoices with such heads, each read; in no order.
    pub(crate) fn with_heads<'a>(
        &'a self,
        wanted: impl Fn(&InvoiceHead<'a>) -> bool + 'a,
    ) -> impl Iterator<Item = Arc<Invoice>> + 'a {
        self.heads().filter(wanted).map(|head| head.id).filter_map(|id| self.get(id))
    }

    fn all(&self) -> impl Iterator<Item = (&InvoiceId, Held<'_>)> {
        let closed = self.closed.iter();
        let rows = closed.flat_map(|closed| closed.rows.iter().map(|row| (&**closed, row)));
        let (mut live, mut rows) = (self.live.iter().peekable(), rows.peekable());
        std::iter::from_fn(move || match (live.peek(), rows.peek()) {
            (Some((id, _)), row) if row.is_none_or(|(_, row)| **id < row.id) => {
                live.next().map(|(id, invoice)| (id, Held::Live(invoice)))
            }
            _ => rows.next().map(|(closed, row)| (&row.id, Held::Packed(closed, row))),
        })
    }

    /// All invoices by id, each read.
    pub(crate) fn values(&self) -> impl Iterator<Item = Arc<Invoice>> {
        self.all().filter_map(|(_, held)| held.read())
    }

    pub(crate) fn len(&self) -> usize {
        let packed = self.closed.as_ref().map_or(0, |closed| closed.rows.len());
        self.live.len().saturating_add(packed)
    }

    pub(crate) fn is_packed(&self, id: &InvoiceId) -> bool {
        self.closed.as_ref().is_some_and(|closed| closed.place(id).is_ok())
    }

    /// Packs an invoice if it is at rest.
    pub(crate) fn pack(&mut self, id: &InvoiceId, shelf: &Arc<Shelf>, buffer: &mut Vec<u8>) {
        let Some(invoice) = self.live.get(id).filter(|invoice| is_at_rest(invoice)) else {
            return;
        };
        buffer.clear();
        // What cannot be encoded stays as it is; nothing on an invoice is like that.
        if encode(&**invoice, buffer).is_err() {
            return;
        }
        let closed = self.closed.get_or_insert_with(|| {
            let shelf = Arc::clone(shelf);
            Arc::new(Closed { rows: Vec::new(), subscriptions: Vec::new(), shelf })
        });
        let content = closed.shelf.put(buffer);
        Arc::make_mut(closed).insert(invoice, content);
        self.live.remove_mut(id);
    }

    /// Packs all that are at rest.
    pub(crate) fn pack_all(&mut self, shelf: &Arc<Shelf>) {
        let resting = self.live.values().filter(|invoice| is_at_rest(invoice));
        let resting: Vec<InvoiceId> = resting.map(|invoice| invoice.id.clone()).collect();
        let mut buffer = Vec::new();
        for id in resting {
            self.pack(&id, shelf, &mut buffer);
        }
    }

    /// What is personal in each that has anything personal.
    pub(crate) fn personal(&self) -> impl Iterator<Item = (&InvoiceId, PersonalData)> {
        self.all().filter_map(|(id, held)| match held {
            Held::Live(invoice) => Some((id, invoice.personal())),
            Held::Packed(closed, row) => match decode(row.personal.as_ref()?) {
                Ok(personal) => Some((id, personal)),
                Err(fault) => {
                    drop(closed.shelf.fault.set(fault));
                    None
                }
            },
        })
    }

    /// Puts something else in the place of what is personal.
    pub(crate) fn set_personal(&mut self, id: &InvoiceId, data: PersonalData) {
        if let Some(invoice) = self.live.get_mut(id) {
            Arc::make_mut(invoice).set_personal(data);
        } else if let Some(closed) = &mut self.closed
            && let Ok(place) = closed.place(id)
        {
            Arc::make_mut(closed).set_personal(place, &data);
        }
    }

    /// Takes out what is personal everywhere.
    pub(crate) fn erase(&mut self) {
        let ids: Vec<InvoiceId> = self.all().map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.set_personal(&id, PersonalData::default());
        }
    }
}

impl fmt::Debug for Invoices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.all().map(|(id, held)| (id, held.read()))).finish()
    }
}

impl Serialize for Invoices {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (id, held) in self.all() {
            match held {
                Held::Live(invoice) => map.serialize_entry(id, invoice)?,
                Held::Packed(closed, row) => {
                    let invoice = closed.read(row).inspect_err(|fault| {
                        drop(closed.shelf.fault.set(fault.clone()));
                    });
                    map.serialize_entry(id, &invoice.map_err(ser::Error::custom)?)?;
                }
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Invoices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { live: Tree::deserialize(deserializer)?, closed: None })
    }
}
