use super::*;
use crate::catalog::{PriceId, ProductId};
use crate::customer::CustomerId;
use crate::discount::{Benefit, Coupon, CouponId};
use crate::invoice::{Derivation, InvoiceId};
use crate::tax::TaxabilityReason;
use counterfoil_core::{Currency, Decimal12, Id, Metadata, Period, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A catalog of what a test names.
#[derive(Default)]
struct Book {
    coupons: BTreeMap<CouponId, Coupon>,
    rates: BTreeMap<TaxRateId, TaxRate>,
    products: BTreeMap<PriceId, ProductId>,
}

impl Terms for Book {
    fn coupon(&self, id: &CouponId) -> Result<&Coupon, Refusal> {
        self.coupons.get(id).ok_or_else(|| Refusal::unknown("coupon", id))
    }

    fn tax_rate(&self, id: &TaxRateId) -> Result<&TaxRate, Refusal> {
        self.rates.get(id).ok_or_else(|| Refusal::unknown("tax_rate", id))
    }

    fn product_of(&self, price: &PriceId) -> Result<&ProductId, Refusal> {
        self.products.get(price).ok_or_else(|| Refusal::unknown("price", price))
    }
}

impl Book {
    fn discount(&mut self, benefit: Benefit) -> Discount {
        self.discount_for(benefit, CouponDuration::Forever)
    }

    fn discount_for(&mut self, benefit: Benefit, duration: CouponDuration) -> Discount {
        let n = u64::try_from(self.coupons.len()).unwrap() + 1;
        let coupon = Coupon { id: Id::derived(n), ..Coupon::of(benefit, duration) };
        let discount = Discount::of(
            &coupon,
            None,
            Id::derived(n),
            (Timestamp::MIN, counterfoil_core::Zone::UTC),
        )
        .unwrap();
        self.coupons.insert(coupon.id.clone(), coupon);
        discount
    }

    /// A rate written as `10i` (in the price) or `10` (on top).
    fn rate(&mut self, text: &str) -> TaxRateId {
        let id: TaxRateId = Id::new(&format!("txr_{text}")).unwrap();
        let rate = TaxRate {
            id: id.clone(),
            seq: 1,
            display_name: "VAT".into(),
            description: None,
            percentage: text.trim_end_matches('i').parse().unwrap(),
            inclusive: text.ends_with('i'),
            active: true,
            country: None,
            state: None,
            jurisdiction: None,
            tax_type: None,
            created: Timestamp::MIN,
            metadata: Metadata::default(),
        };
        self.rates.insert(id.clone(), rate);
        id
    }

    fn rates(&mut self, texts: &[&str]) -> Vec<TaxRateId> {
        texts.iter().map(|text| self.rate(text)).collect()
    }
}

fn percent(text: &str) -> Benefit {
    Benefit::Percent { percent_off: text.parse().unwrap() }
}

fn off(amount_off: i64) -> Benefit {
    Benefit::Amount { currency: Currency::USD, amount_off, options: BTreeMap::new() }
}

fn invoice() -> Invoice {
    let customer = CustomerId::new("cus_1").unwrap();
    Invoice::draft(InvoiceId::derived(1), 1, customer, Currency::USD, Timestamp::MIN)
}

fn line(n: u64, amount: i64) -> Line {
    let period = Period::instant(Timestamp::MIN);
    Line::new(Id::derived(n), "Line".into(), amount, period, Derivation::Given)
}

fn lines(amounts: &[i64]) -> Vec<Arc<Line>> {
    (1..).zip(amounts).map(|(n, amount)| Arc::new(line(n, *amount))).collect()
}

fn computed(book: &Book, invoice: &Invoice, lines: Vec<Arc<Line>>) -> Totals {
    compute(invoice, lines, TaxExempt::None, TaxRounding::Line, book).unwrap()
}

/// What each line's discounts and taxes are, in order.
fn shown(totals: &Totals) -> Vec<(Vec<i64>, Vec<i64>)> {
    let of = |line: &Arc<Line>| {
        let discounts = line.discount_amounts.iter().map(|own| own.amount).collect();
        (discounts, line.taxes.iter().map(|own| own.amount).collect())
    };
    totals.lines.iter().map(of).collect()
}

#[test]
fn a_line_is_spared_a_discount_of_the_invoice() {
    let mut book = Book::default();
    let (ten, fixed) = (book.discount(percent("10")), book.discount(off(300)));
    let mut spared = line(2, 2_000);
    spared.spared_discounts = vec![fixed.id.clone()];
    let invoice = Invoice { discounts: vec![ten, fixed], ..invoice() };
    let totals = computed(&book, &invoice, vec![Arc::new(line(1, 1_000)), Arc::new(spared)]);
    assert_eq!(shown(&totals), [(vec![100, 300], vec![]), (vec![200], vec![])]);
    assert_eq!((totals.subtotal, totals.total), (3_000, 2_400));
}

#[test]
fn e20_tax_is_rounded_line_by_line_or_once() {
    let mut book = Book::default();
    let invoice = Invoice { default_tax_rates: book.rates(&["10i"]), ..invoice() };
    for (rounding, taxes, sum) in
        [(TaxRounding::Line, [9_091, 455], 9_546), (TaxRounding::Invoice, [9_091, 454], 9_545)]
    {
        let lines = lines(&[100_000, 5_000]);
        let totals = compute(&invoice, lines, TaxExempt::None, rounding, &book).unwrap();
        assert_eq!(totals.total, 105_000);
        assert_eq!(shown(&totals), taxes.map(|tax| (vec![], vec![tax])));
        assert_eq!(totals.total_taxes.iter().map(|tax| tax.amount).collect::<Vec<_>>(), [sum]);
    }
}

#[test]
fn e21_tax_is_on_what_discounts_leave() {
    for (rates, taxes, total) in [
        (&["5"][..], [vec![23], vec![45]], 1_418),
        (&["5i"], [vec![21], vec![43]], 1_350),
        (&["5i", "7"], [vec![21, 30], vec![43, 60]], 1_440),
    ] {
        let mut book = Book::default();
        let discounts = vec![book.discount(percent("10"))];
        let invoice = Invoice { discounts, default_tax_rates: book.rates(rates), ..invoice() };
        let totals = computed(&book, &invoice, lines(&[500, 1_000]));
        let found: Vec<_> = shown(&totals).into_iter().map(|(_, taxes)| taxes).collect();
        assert_eq!(found, taxes, "{rates:?}");
        assert_eq!((totals.subtotal, totals.total), (1_500, total), "{rates:?}");
    }
}

#[test]
fn e22_one_rate_in_the_price_or_on_top_and_an_exempt_customer() {
    for (rate, amount, exempt, tax, waived, total) in [
        ("25", 500, TaxExempt::None, 125, 0, 625),
        ("25i", 500, TaxExempt::None, 100, 0, 500),
        ("10i", 10_000, TaxExempt::Exempt, 0, 909, 9_091),
        ("10i", 10_000, TaxExempt::Reverse, 0, 909, 9_091),
        ("10", 10_000, TaxExempt::Reverse, 0, 0, 10_000),
        ("0", 10_000, TaxExempt::None, 0, 0, 10_000),
    ] {
        let mut book = Book::default();
        let invoice = Invoice { default_tax_rates: book.rates(&[rate]), ..invoice() };
        let totals = compute(&invoice, lines(&[amount]), exempt, TaxRounding::Line, &book).unwrap();
        let taxed = &totals.total_taxes[0];
        assert_eq!((taxed.amount, taxed.waived, totals.total), (tax, waived, total), "{rate}");
        let reason = match exempt {
            TaxExempt::None if rate == "0" => TaxabilityReason::ZeroRated,
            TaxExempt::None => TaxabilityReason::StandardRated,
            TaxExempt::Exempt => TaxabilityReason::CustomerExempt,
            TaxExempt::Reverse => TaxabilityReason::ReverseCharge,
        };
        assert_eq!(taxed.taxability_reason, reason);
    }
}

#[test]
fn e23_the_order_of_discounts_matters() {
    for (benefits, total) in
        [([percent("20"), off(500)], 7_500), ([off(500), percent("20")], 7_600)]
    {
        let mut book = Book::default();
        let discounts = benefits.map(|benefit| book.discount(benefit)).to_vec();
        let invoice = Invoice { discounts, ..invoice() };
        let totals = computed(&book, &invoice, lines(&[10_000]));
        assert_eq!((totals.subtotal, totals.total), (10_000, total));
    }
}

#[test]
fn e24_percent_then_amount_then_tax() {
    let mut book = Book::default();
    let discounts = vec![book.discount(percent("15")), book.discount(off(700))];
    let invoice = Invoice { discounts, ..invoice() };
    let (a, b) = (book.rates(&["20i"]), book.rates(&["7.25"]));
    let a = Line { tax_rates: a, ..line(1, 3_333) };
    let b = Line { tax_rates: b, ..line(2, 6_667) };
    let totals = computed(&book, &invoice, vec![a.into(), b.into()]);
    assert_eq!(shown(&totals), [(vec![500, 233], vec![433]), (vec![1_000, 467], vec![377])]);
    assert_eq!((totals.subtotal, totals.total), (10_000, 8_177));
    let taxes: i64 = totals.total_taxes.iter().map(|tax| tax.amount).sum();
    assert_eq!(totals.total - taxes, 7_367);
}

/// Point 7: what is in the price is one amount for all rates, shared out with the rest to the last.
#[test]
fn several_rates_in_the_price_share_one_amount() {
    for (rates, amount, expected) in [
        (&["10i", "5i"][..], 1_000, &[86, 44][..]),
        (&["5i", "10i"], 1_000, &[43, 87]),
        (&["10i", "5i"], -1_000, &[-86, -44]),
        (&["0i", "0i"], 1_000, &[0, 0]),
        // 130 is in the price, and what is added is on 870 (point 34).
        (&["10i", "8", "5i"], 1_000, &[86, 70, 44]),
    ] {
        let mut book = Book::default();
        let invoice = Invoice { default_tax_rates: book.rates(rates), ..invoice() };
        let totals = computed(&book, &invoice, lines(&[amount]));
        assert_eq!(shown(&totals)[0].1, expected, "{rates:?} of {amount}");
    }
}

#[test]
fn what_discounts_apply_to() {
    let mut book = Book::default();
    let (one, two) = (ProductId::new("one").unwrap(), ProductId::new("two").unwrap());
    for (price, product) in [("p1", &one), ("p2", &two)] {
        book.products.insert(PriceId::new(price).unwrap(), product.clone());
    }
    let discount = book.discount(percent("50"));
    book.coupons.get_mut(&discount.coupon).unwrap().products = vec![one];
    let invoice = Invoice { discounts: vec![discount], ..invoice() };
    let of = |price: &str| Line { price: PriceId::new(price).ok(), ..line(1, 100) };
    for (line, expected) in [
        (of("p1"), 50),
        (of("p2"), 0),
        (line(1, 100), 0),
        (Line { discountable: false, ..of("p1") }, 0),
        (Line { proration: true, ..of("p1") }, 0),
        (Line { amount: -100, ..of("p1") }, 0),
    ] {
        let totals = computed(&book, &invoice, vec![line.clone().into()]);
        let off: i64 = totals.total_discount_amounts.iter().map(|own| own.amount).sum();
        assert_eq!(off, expected, "{line:?}");
    }
}

/// Lines of one item share a fixed amount, which comes off before what is off the invoice.
#[test]
fn discounts_of_lines_come_first_and_lower_the_subtotal() {
    let mut book = Book::default();
    let (own, shared) = (book.discount(off(300)), book.discount(percent("10")));
    let invoice = Invoice { discounts: vec![shared], ..invoice() };
    let tier = |n, amount| Line { discounts: vec![own.clone()], ..line(n, amount) };
    let all = vec![tier(1, 1_000).into(), tier(2, 2_000).into(), line(3, 500).into()];
    let totals = computed(&book, &invoice, all);
    let off: Vec<_> = shown(&totals).into_iter().map(|(discounts, _)| discounts).collect();
    assert_eq!(off, [vec![100, 90], vec![200, 180], vec![50]]);
    assert_eq!((totals.subtotal, totals.total), (3_200, 2_880));
}

/// Point 31: only what took something off is used up.
#[test]
fn a_discount_for_one_invoice_is_used_up_where_it_took_something_off() {
    let mut book = Book::default();
    let once = book.discount_for(percent("10"), CouponDuration::Once);
    let ever = book.discount(percent("10"));
    let invoice = Invoice { discounts: vec![once.clone(), ever], ..invoice() };
    let taken = vec![DiscountAmount { amount: 5, discount: once.id.clone() }];
    let stub = Line { proration: true, included_discounts: taken, ..line(1, 45) };
    for (line, used) in
        [(line(1, 100), true), (line(1, 0), false), (line(1, -9), false), (stub, true)]
    {
        let totals = computed(&book, &invoice, vec![line.clone().into()]);
        assert_eq!(totals.used_up == [once.id.clone()], used, "{line:?}");
        assert_eq!(totals.used_up.len(), usize::from(used));
    }
}

#[test]
fn shipping_is_taxed_by_its_own_rates_after_the_lines() {
    for (own, exempt, (taxes, total)) in [
        // The rates of the invoice are for its lines.
        (&[][..], TaxExempt::None, (&[100][..], 1_000 + 100 + 505)),
        (&["10"], TaxExempt::None, (&[151], 1_000 + 100 + 505 + 51)),
        (&["5i", "10"], TaxExempt::None, (&[148, 24], 1_000 + 100 + 505 + 48)),
        // 1 % of 1000 and 505 is 15.05 in all, and 5.05 of shipping alone.
        (&["10"], TaxExempt::Exempt, (&[0], 1_000 + 505)),
        (&["5i"], TaxExempt::Exempt, (&[0, 0], 1_000 + 505 - 24)),
    ] {
        let mut book = Book::default();
        let default_tax_rates = book.rates(&["10"]);
        let tax_rates = book.rates(own);
        let cost = ShippingCost { amount: 505, tax_rates, taxes: Vec::new() };
        let invoice = Invoice { default_tax_rates, shipping_cost: Some(cost), ..invoice() };
        let totals = compute(&invoice, lines(&[1_000]), exempt, TaxRounding::Line, &book).unwrap();
        let shown: Vec<_> = totals.total_taxes.iter().map(|tax| tax.amount).collect();
        assert_eq!((shown.as_slice(), totals.total), (taxes, total), "{own:?} {exempt:?}");
        assert_eq!(totals.subtotal, 1_000);
    }
}

/// 10 % of 1005 and of 505 is 151 in all: 101 and 50, or 51 where each is rounded.
#[test]
fn shipping_is_rounded_with_the_lines_where_the_book_says_so() {
    for (rounding, of_shipping, sum) in
        [(TaxRounding::Line, 51, 152), (TaxRounding::Invoice, 50, 151)]
    {
        let mut book = Book::default();
        let rates = book.rates(&["10"]);
        let cost = ShippingCost { amount: 505, tax_rates: rates.clone(), taxes: Vec::new() };
        let invoice = Invoice { default_tax_rates: rates, shipping_cost: Some(cost), ..invoice() };
        let lines = lines(&[1_005]);
        let totals = compute(&invoice, lines, TaxExempt::None, rounding, &book).unwrap();
        assert_eq!(totals.total_taxes[0].amount, sum);
        assert_eq!(totals.shipping_cost.unwrap().amount_tax(), of_shipping);
    }
}

#[test]
fn discounts_leave_shipping_alone() {
    let mut book = Book::default();
    let discounts = vec![book.discount(percent("100")), book.discount(off(700))];
    let cost = ShippingCost { amount: 505, tax_rates: Vec::new(), taxes: Vec::new() };
    let invoice = Invoice { discounts, shipping_cost: Some(cost), ..invoice() };
    let totals = computed(&book, &invoice, lines(&[1_000]));
    assert_eq!((totals.subtotal, totals.total), (1_000, 505));
}

#[test]
fn an_invoice_without_terms_is_the_sum_of_its_lines() {
    let given = lines(&[7, -3, 0]);
    let totals = computed(&Book::default(), &invoice(), given.clone());
    assert_eq!((totals.subtotal, totals.total), (4, 4));
    assert!(totals.lines.iter().zip(&given).all(|(line, given)| Arc::ptr_eq(line, given)));
    let beyond = compute(
        &invoice(),
        lines(&[i64::MAX, 1]),
        TaxExempt::None,
        TaxRounding::Line,
        &Book::default(),
    );
    assert_eq!(beyond.unwrap_err().code(), counterfoil_core::Code::AmountTooLarge);
}

fn benefit() -> impl Strategy<Value = Benefit> {
    prop_oneof![
        (1_i64..=10_000).prop_map(|hundredths| Benefit::Percent {
            percent_off: Decimal12::from_trillionths(i128::from(hundredths) * 10_000_000_000)
        }),
        (1_i64..=5_000).prop_map(off),
    ]
}

proptest! {
    /// Rules 8.4 and 19.8, in every rounding and for every customer.
    #[test]
    fn totals_follow_from_lines(
        amounts in prop::collection::vec(-5_000_i64..=20_000, 1..8),
        own in prop::collection::vec(benefit(), 0..3),
        shared in prop::collection::vec(benefit(), 0..3),
        rates in prop::sample::subsequence(vec!["10i", "5.5i", "7.25", "20", "0"], 0..5),
        exempt in prop::sample::select(vec![TaxExempt::None, TaxExempt::Exempt, TaxExempt::Reverse]),
        rounding in prop::sample::select(vec![TaxRounding::Line, TaxRounding::Invoice]),
    ) {
        let mut book = Book::default();
        let own: Vec<_> = own.into_iter().map(|benefit| book.discount(benefit)).collect();
        let discounts: Vec<_> = shared.into_iter().map(|benefit| book.discount(benefit)).collect();
        let default_tax_rates = book.rates(&rates);
        let invoice = Invoice { discounts, default_tax_rates, ..invoice() };
        let given = lines(&amounts).into_iter().enumerate().map(|(n, line)| {
            let discounts = if n % 2 == 0 { own.clone() } else { Vec::new() };
            Arc::new(Line { discounts, ..Line::clone(&line) })
        });
        let totals = compute(&invoice, given.collect(), exempt, rounding, &book).unwrap();
        let (mut subtotal, mut total) = (0, 0);
        for line in &totals.lines {
            let left = line.amount - line.discounted();
            prop_assert!(line.amount < 0 || left >= 0);
            let of_line = line.discount_amounts.iter().filter(|own_amount| {
                own.iter().any(|discount| discount.id == own_amount.discount)
            });
            subtotal += line.amount - of_line.map(|own| own.amount).sum::<i64>();
            let on_top = line.taxes.iter().filter(|tax| !tax.inclusive).map(|tax| tax.amount);
            let waived: i64 = line.taxes.iter().map(|tax| tax.waived).sum();
            total += left + on_top.sum::<i64>() - waived;
            // What is earned and what is owed to authorities is all that is asked for.
            let paid: i64 = line.taxes.iter().map(|tax| tax.amount).sum();
            prop_assert!(exempt == TaxExempt::None || paid == 0);
        }
        prop_assert_eq!((subtotal, total), (totals.subtotal, totals.total));
        let taxes: i64 = totals.total_taxes.iter().map(|tax| tax.amount).sum();
        let earned: i64 = totals.lines.iter().map(|line| line.deferral().amount).sum();
        prop_assert_eq!(earned + taxes, totals.total);
        for own in &totals.total_discount_amounts {
            let shares = totals.lines.iter().flat_map(|line| &line.discount_amounts);
            let shares = shares.filter(|share| share.discount == own.discount);
            prop_assert_eq!(shares.map(|share| share.amount).sum::<i64>(), own.amount);
        }
    }

    /// Rounded once, the tax of a rate on top is that of all lines together; and rounded line by line
    /// it is off by less than half a unit a line.
    #[test]
    fn one_rounding_is_that_of_the_sum(
        amounts in prop::collection::vec(-5_000_i64..=20_000, 1..8),
    ) {
        let mut book = Book::default();
        let invoice = Invoice { default_tax_rates: book.rates(&["7.25"]), ..invoice() };
        let sum: i64 = amounts.iter().sum();
        let taxed = |amounts: &[i64], rounding| {
            let totals = compute(&invoice, lines(amounts), TaxExempt::None, rounding, &book);
            totals.unwrap().total_taxes[0].amount
        };
        let once = taxed(&amounts, TaxRounding::Invoice);
        prop_assert_eq!(once, taxed(&[sum], TaxRounding::Line));
        let each = taxed(&amounts, TaxRounding::Line);
        prop_assert!((once - each).unsigned_abs() <= u64::try_from(amounts.len()).unwrap() / 2 + 1);
    }
}
