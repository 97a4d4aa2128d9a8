//! What changes in the middle of a period come to, whenever they are made (rules 6.6 and 19).

#[path = "support/ada.rs"]
mod ada;

use ada::*;
use counterfoil::*;
use proptest::prelude::*;

const START: &str = "2024-01-31T06:30:00Z";

fn in_mode(kind: BillingModeKind) -> Option<BillingModeInput> {
    Some(BillingModeInput { kind, flexible: None })
}

/// A book with a subscription to one item, and the prices that it may have.
struct Plan {
    book: Book,
    prices: Vec<PriceId>,
    sub: SubscriptionId,
    item: SubscriptionItemId,
}

impl Plan {
    fn of(amounts: &[i64], quantity: i64, kind: BillingModeKind) -> Self {
        let book = Book::at(START);
        let price = |amount: &i64| book.price(*amount, IntervalUnit::Month);
        let prices: Vec<_> = amounts.iter().map(price).collect();
        let mut create = book.plan(&[&prices[0]]);
        create.items[0].quantity = Some(quantity);
        create.billing_mode = in_mode(kind);
        let sub = book.subscribe(create, ok);
        let item = book.book.subscriptions().retrieve(&sub).unwrap().items[0].id.clone();
        Self { book, prices, sub, item }
    }

    /// Prices in thousandths of a minor unit, and so much percent off for ever.
    fn discounted(first: i64, second: i64, percent: i64, itemized: bool) -> Self {
        let book = Book::at(START);
        let price = |thousandths: i64| {
            let decimal = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
            let mut price = CreatePrice::new(book.product.clone(), Currency::USD);
            price.unit_amount_decimal = Some(decimal.parse().unwrap());
            price.recurring = Some(RecurringInput::every(IntervalUnit::Month));
            book.book.prices().create(price).unwrap().id
        };
        let prices = vec![price(first), price(second)];
        let coupon =
            serde_json::json!({ "id": "OFF", "percent_off": percent, "duration": "forever" });
        let coupon: CreateCoupon = serde_json::from_value(coupon).unwrap();
        book.book.coupons().create(coupon).unwrap();
        let shown = if itemized { "itemized" } else { "included" };
        let create = serde_json::json!({
            "customer": book.ada,
            "items": [{ "price": prices[0] }],
            "discounts": [{ "coupon": "OFF" }],
            "billing_mode": { "type": "flexible", "flexible": { "proration_discounts": shown } },
        });
        let sub = book.subscribe(serde_json::from_value(create).unwrap(), ok);
        let item = book.book.subscriptions().retrieve(&sub).unwrap().items[0].id.clone();
        Self { book, prices, sub, item }
    }

    /// A price in three tiers of thousandths of a minor unit, and a plain one.
    fn tiered(units: [i64; 3], flats: [i64; 3], volume: bool, quantity: i64) -> Self {
        let book = Book::at(START);
        let ends = [serde_json::json!(4), serde_json::json!(9), serde_json::json!("inf")];
        let tier = |((unit, flat), end): ((i64, i64), serde_json::Value)| {
            let unit = format!("{}.{:03}", unit / 1_000, unit % 1_000);
            serde_json::json!({ "up_to": end, "unit_amount_decimal": unit, "flat_amount": flat })
        };
        let tiers: Vec<_> = units.into_iter().zip(flats).zip(ends).map(tier).collect();
        let create = serde_json::json!({
            "product": book.product, "currency": "usd", "recurring": { "interval": "month" },
            "billing_scheme": "tiered", "tiers": tiers,
            "tiers_mode": if volume { "volume" } else { "graduated" },
        });
        let tiered = book.book.prices().create(serde_json::from_value(create).unwrap()).unwrap().id;
        let prices = vec![tiered, book.price(900, IntervalUnit::Month)];
        let mut create = book.plan(&[&prices[0]]);
        create.items[0].quantity = Some(quantity);
        let sub = book.subscribe(create, ok);
        let item = book.book.subscriptions().retrieve(&sub).unwrap().items[0].id.clone();
        Self { book, prices, sub, item }
    }

    /// Time goes on, within the first period.
    fn later(&self, seconds: i64) {
        let at = t(START).checked_add_seconds(seconds).unwrap();
        self.book.until(&at.to_string(), ok);
    }

    fn change(&self, price: usize, quantity: i64) {
        let mut update = UpdateSubscription::new(self.sub.clone());
        update.items = vec![ItemChange {
            id: Some(self.item.clone()),
            price: Some(self.prices[price].clone()),
            quantity: Some(quantity),
            ..ItemChange::default()
        }];
        self.book.book.subscriptions().update(update).unwrap();
    }

    /// The prorations that wait, oldest first.
    fn waiting(&self) -> Vec<InvoiceItem> {
        let state = self.book.book.state().unwrap();
        let items = state.shard(&self.book.ada).unwrap().invoice_items();
        items.into_iter().cloned().collect()
    }

    fn waiting_net(&self) -> i64 {
        self.waiting().iter().map(InvoiceItem::net_amount).sum()
    }

    fn waiting_sum(&self) -> i64 {
        self.waiting().iter().map(|item| item.amount).sum()
    }

    /// What is given back, without what waits on a draft.
    fn waiting_credits(&self) -> Vec<i64> {
        let free = |item: &&InvoiceItem| item.invoice.is_none() && item.amount < 0;
        self.waiting().iter().filter(free).map(|item| item.amount).collect()
    }

    /// How many seconds the first period has.
    fn seconds(&self) -> i64 {
        let found = self.book.book.subscriptions().retrieve(&self.sub).unwrap();
        found.items[0].period.seconds()
    }
}

/// 29 days: from 31 January to 29 February.
const PERIOD: i64 = 29 * 86_400;

fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0i64), 1i64..100, 1i64..100_000]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..<_>::default() })]

    /// Rule 19.5.
    #[test]
    fn a_change_and_its_reversal_in_the_same_second_come_to_nothing(
        amounts in (amount(), amount()), quantities in (1i64..9, 1i64..9), at in 0..PERIOD,
    ) {
        let plan = Plan::of(&[amounts.0, amounts.1], quantities.0, BillingModeKind::Flexible);
        plan.later(at);
        plan.change(1, quantities.1);
        plan.change(0, quantities.0);
        prop_assert_eq!(plan.waiting_sum(), 0, "{:#?}", plan.waiting());
    }

    /// The same where amounts are no whole numbers of minor units, with a discount, and however often
    /// it is done.
    #[test]
    fn a_reversal_of_what_is_no_whole_number_comes_to_nothing_too(
        thousandths in (1i64..9_000_000, 1i64..9_000_000), percent in 1i64..100, at in 0..PERIOD,
        itemized in any::<bool>(), quantities in (1i64..9, 1i64..9), times in 1..4,
    ) {
        let plan = Plan::discounted(thousandths.0, thousandths.1, percent, itemized);
        plan.change(0, quantities.0);
        plan.later(at);
        let before = plan.waiting_net();
        for _ in 0..times {
            plan.change(1, quantities.1);
            plan.change(0, quantities.0);
        }
        prop_assert_eq!(plan.waiting_net(), before, "{:#?}", plan.waiting());
    }

    /// The same of a price in tiers, each of whose lines is given back and charged again.
    #[test]
    fn a_reversal_of_what_is_in_tiers_comes_to_nothing_too(
        units in prop::array::uniform3(1i64..9_000_000), flats in prop::array::uniform3(0i64..500),
        quantity in 2i64..30, at in 0..PERIOD, volume in any::<bool>(), times in 1..4,
    ) {
        let plan = Plan::tiered(units, flats, volume, quantity);
        plan.later(at);
        for _ in 0..times {
            plan.change(1, 1);
            plan.change(0, quantity);
        }
        prop_assert_eq!(plan.waiting_net(), 0, "{:#?}", plan.waiting());
    }

    /// Rule 19.6: what is given back and what was used are the whole, but for one unit.
    #[test]
    fn a_period_that_is_split_stays_whole(
        amount in amount(), at in 1..PERIOD, classic in any::<bool>(),
    ) {
        let kind = if classic { BillingModeKind::Classic } else { BillingModeKind::Flexible };
        let plan = Plan::of(&[amount, 0], 1, kind);
        plan.later(at);
        plan.change(1, 1);
        let given_back = -plan.waiting().iter().map(|item| item.amount).sum::<i64>();
        let used = (amount * at + PERIOD / 2) / PERIOD;
        prop_assert!((used + given_back - amount).abs() <= 1, "{} and {} of {}", used, given_back, amount);
    }

    /// However often it changes: no debit is given back beyond its amount, and the whole comes to
    /// what each second cost, but for one unit a line.
    #[test]
    fn a_chain_of_changes_charges_for_each_second_once(
        amounts in prop::array::uniform3(amount()),
        steps in prop::collection::vec((0..PERIOD, 0usize..3, 0i64..4), 1..12),
    ) {
        let plan = Plan::of(&amounts, 1, BillingModeKind::Flexible);
        prop_assert_eq!(plan.seconds(), PERIOD);
        let mut steps = steps;
        steps.sort_unstable();
        let (mut exact, mut since, mut rate) = (0i128, 0, i128::from(amounts[0]));
        for (at, price, quantity) in steps {
            plan.later(at);
            plan.change(price, quantity);
            exact += rate * i128::from(at - since);
            (since, rate) = (at, i128::from(amounts[price] * quantity));
        }
        exact += rate * i128::from(PERIOD - since);
        let waiting = plan.waiting();
        let charged = i128::from(amounts[0]) + i128::from(plan.waiting_sum());
        let off = (charged * i128::from(PERIOD) - exact).abs();
        let lines = i128::try_from(waiting.len() + 1).unwrap();
        prop_assert!(off <= lines * i128::from(PERIOD), "{} of {}", charged, exact / i128::from(PERIOD));
        for item in &waiting {
            if let Some(Derivation::Changed(details)) = &item.derivation {
                prop_assert!(0 < details.fraction.part && details.fraction.part <= details.fraction.whole);
                let base = match &details.base {
                    ProrationBase::Price | ProrationBase::Added { .. } => continue,
                    ProrationBase::Line { amount, .. } | ProrationBase::Item { amount, .. } => *amount,
                };
                let back = match details.kind {
                    ProrationKind::Unused => item.amount,
                    // What was given back in this second is charged again.
                    ProrationKind::Remaining => -item.amount,
                };
                prop_assert!((-base..=0).contains(&back), "{} of {}", item.amount, base);
            }
        }
        for debit in waiting.iter().filter(|item| item.amount > 0) {
            let back: i64 = waiting.iter().filter(|item| gives_back(item, &debit.id)).map(|item| item.amount).sum();
            prop_assert!(-back <= debit.amount, "{} of {}", back, debit.amount);
        }
    }

    /// Where nothing intervened, both billing modes come to the same.
    #[test]
    fn classic_and_flexible_agree_on_a_first_change(
        amounts in (amount(), amount()), quantities in (0i64..9, 0i64..9), at in 0..PERIOD,
    ) {
        // The first price that costs something begins a new period in the classic mode only.
        prop_assume!(amounts.0 > 0);
        let of = |kind| {
            let plan = Plan::of(&[amounts.0, amounts.1], quantities.0, kind);
            plan.later(at);
            plan.change(1, quantities.1);
            let shown = |item: &InvoiceItem| (item.amount, item.period, item.quantity);
            let shown: Vec<_> = plan.waiting().iter().map(shown).collect();
            // What cost nothing has no line to give back.
            shown.into_iter().filter(|(amount, ..)| *amount != 0).collect::<Vec<_>>()
        };
        prop_assert_eq!(of(BillingModeKind::Classic), of(BillingModeKind::Flexible));
    }
}

fn gives_back(item: &InvoiceItem, debit: &InvoiceItemId) -> bool {
    let Some(Derivation::Changed(details)) = &item.derivation else { return false };
    matches!(&details.base, ProrationBase::Item { invoice_item, .. } if invoice_item == debit)
}

#[test]
fn rule_6_6_an_invoice_explains_what_it_gives_back_and_charges() {
    let plan = Plan::of(&[2_900, 5_800], 1, BillingModeKind::Flexible);
    plan.later(10 * 86_400);
    plan.change(1, 2);
    plan.book.until("2024-03-01", ok);
    let invoices = plan.book.invoices();
    let told = plan.book.book.invoices().explain(&invoices[1].invoice.id).unwrap().to_string();
    let line = &invoices[0].lines[0].id;
    let first = &invoices[0].invoice.id;
    for part in [
        format!(
            "given back: 2900 of line {line} of {first} for 2024-01-31T06:30:00Z to \
             2024-02-29T06:30:00Z, 1641600 of 2505600 seconds of it, rounded once: -1900 minor \
             units of USD"
        ),
        "charged: 2 × 5800 for 2024-01-31T06:30:00Z to 2024-02-29T06:30:00Z, 1641600 of 2505600 \
         seconds of it, rounded once: 7600 minor units of USD"
            .to_owned(),
    ] {
        assert!(told.contains(&part), "{part} is not in\n{told}");
    }
}

/// Time that an invoice charged for which was voided is not given back: it never counted.
#[test]
fn rule_6_6_what_a_voided_invoice_charged_is_not_given_back() {
    let plan = Plan::of(&[3_000, 0], 1, BillingModeKind::Flexible);
    plan.book.until("2024-02-29T06:30:00Z", ok);
    plan.book.until("2024-02-29T07:30:00Z", declined);
    let id = plan.book.invoices()[1].invoice.id.clone();
    plan.book.book.invoices().void(VoidInvoice { id }).unwrap();
    plan.change(1, 1);
    assert!(plan.waiting().iter().all(|item| item.amount == 0), "{:#?}", plan.waiting());
}

/// What waits can be deleted by hand; then what it gave back stands again.
#[test]
fn rule_6_6_a_proration_is_deleted_but_not_changed() {
    let plan = Plan::of(&[2_900, 0], 1, BillingModeKind::Flexible);
    plan.later(19 * 86_400);
    plan.change(1, 1);
    let credit = plan.waiting().into_iter().find(|item| item.amount == -1_000).unwrap();
    let mut update: UpdateInvoiceItem =
        serde_json::from_value(serde_json::json!({ "id": credit.id, "amount": -5 })).unwrap();
    let refused = plan.book.book.invoice_items().update(update.clone());
    assert!(
        matches!(refused, Err(Error::Refused(Refusal::ParameterInvalid { .. }))),
        "{refused:?}"
    );
    (update.amount, update.description) = (None, Some("as agreed".to_owned()));
    plan.book.book.invoice_items().update(update).unwrap();
    plan.book.book.invoice_items().delete(DeleteInvoiceItem { id: credit.id }).unwrap();
    plan.change(0, 1);
    let amounts: Vec<_> = plan.waiting().iter().map(|item| item.amount).collect();
    assert_eq!(amounts.iter().filter(|amount| **amount == -1_000).count(), 1, "{amounts:?}");
}

/// A revision takes the place of an invoice: its lines charged for the time, and only once.
#[test]
fn rule_6_6_the_lines_of_a_revision_are_given_back() {
    let plan = Plan::of(&[2_900, 0], 1, BillingModeKind::Flexible);
    plan.book.until("2024-02-29T06:30:00Z", ok);
    plan.book.until("2024-02-29T07:30:00Z", declined);
    let original = plan.book.invoices()[1].invoice.id.clone();
    let revise: CreateInvoice = serde_json::from_value(serde_json::json!({
        "customer": plan.book.ada,
        "from_invoice": { "action": "revision", "invoice": original },
    }))
    .unwrap();
    let draft = plan.book.book.invoices().create(revise).unwrap().id;
    // While the original counts, its copy does not.
    plan.book.until("2024-03-15T06:30:00Z", declined);
    plan.change(1, 1);
    assert_eq!(plan.waiting_credits(), [-1_497]);
    plan.change(0, 1);
    let finalize = FinalizeInvoice { id: draft, auto_advance: None };
    plan.book.book.invoices().finalize(finalize).unwrap();
    plan.book.sound();
}

#[test]
fn rule_6_6_an_invoice_explains_the_discounts_of_a_part() {
    for itemized in [false, true] {
        let plan = Plan::discounted(1_000_000, 3_000_000, 50, itemized);
        plan.later(PERIOD / 2);
        plan.change(1, 1);
        plan.book.until("2024-03-01", ok);
        let told = plan.book.book.invoices().explain(&plan.book.invoices()[1].invoice.id);
        let told = told.unwrap().to_string();
        let charged = if itemized {
            "1252800 of 2505600 seconds of it, less 750 of discounts beside it, rounded once: 1500"
        } else {
            "1252800 of 2505600 seconds of it, less 750 of discounts in it, rounded once: 750"
        };
        assert!(told.contains(charged), "{charged} is not in\n{told}");
    }
}
