//! What a service asks a book: pages, what falls due, receivables, recurring and earned revenue.

mod support;

use counterfoil::{
    Account, Age, AsOf, Command, CreateInvoice, CreateInvoiceItem, Currency, Engine,
    FinalizeInvoice, InvoiceFilter, InvoiceStatus, MemStorage, Options, PageRequest, Period,
    RecurringMonth, RecurringRevenue, RevenueMonth, SubscriptionFilter, SubscriptionId,
    SubscriptionStatus, TimeRange, Timestamp,
};
use serde_json::json;
use support::{at, catalog, customer, customer_id, day, gateway, invoice_id, subscription};

const USD: Currency = Currency::USD;

fn book() -> Engine {
    let book = Engine::in_memory();
    book.advance_to(at(support::START), &mut gateway).unwrap();
    catalog(&book);
    book
}

/// A finalized invoice made by hand; `due` has days to pay, else it is to be charged.
fn invoice(book: &Engine, id: &str, owner: &str, amount: i64, due: Option<u32>) {
    let mut draft = CreateInvoice::new(customer_id(owner));
    draft.id = Some(invoice_id(id));
    if let Some(days) = due {
        draft.collection_method = counterfoil::CollectionMethod::SendInvoice;
        draft.days_until_due = Some(days);
    }
    book.invoices().create(draft).unwrap();
    let mut item = CreateInvoiceItem::amount(customer_id(owner), amount);
    item.invoice = Some(invoice_id(id));
    book.invoice_items().create(item).unwrap();
    book.invoices().finalize(FinalizeInvoice { id: invoice_id(id), auto_advance: None }).unwrap();
}

#[test]
fn invoices_are_found_a_page_at_a_time() {
    let book = book();
    for name in ["cus_1", "cus_2"] {
        book.customers().create(customer(name, "pm_good")).unwrap();
    }
    for n in 0..12 {
        if n == 6 {
            book.advance_to(day(3), &mut gateway).unwrap();
        }
        let owner = if n % 3 == 0 { "cus_2" } else { "cus_1" };
        invoice(&book, &format!("in_{n:02}"), owner, 1_000 + n, (n % 2 == 0).then_some(5));
    }
    let ids = |filter: &InvoiceFilter, request: &PageRequest<_>| {
        let page = book.invoices().page(filter, request).unwrap();
        let ids = page.data.iter().map(|view| view.invoice.id.to_string()[3..].to_owned());
        (ids.collect::<Vec<_>>().join(" "), page.has_more)
    };
    let all = InvoiceFilter::default();
    let first = PageRequest::first;
    assert_eq!(ids(&all, &first()), ("11 10 09 08 07 06 05 04 03 02".to_owned(), true));
    assert_eq!(ids(&all, &PageRequest::after(invoice_id("in_02"))), ("01 00".to_owned(), false));
    let before = PageRequest::before(invoice_id("in_08")).limit(2);
    assert_eq!(ids(&all, &before), ("10 09".to_owned(), true));
    // Every page after the other is the whole list, once.
    let (mut seen, mut request) = (Vec::new(), first().limit(5));
    loop {
        let page = book.invoices().page(&all, &request).unwrap();
        seen.extend(page.data.iter().map(|view| view.invoice.id.clone()));
        if !page.has_more {
            break;
        }
        request = PageRequest::after(seen.last().unwrap().clone()).limit(5);
    }
    assert_eq!(seen.len(), 12);
    assert!(seen.is_sorted_by(|newer, older| newer.as_str() > older.as_str()));
    // By customer, by how it is collected, by time, by status.
    let of = |customer| InvoiceFilter { customer: Some(customer_id(customer)), ..all.clone() };
    assert_eq!(ids(&of("cus_2"), &first()).0, "09 06 03 00");
    let early = TimeRange { lt: Some(day(1)), ..TimeRange::default() };
    let filter = InvoiceFilter { created: early, ..of("cus_2") };
    assert_eq!(ids(&filter, &first()).0, "03 00");
    let due = TimeRange::within(Period::new(day(8), day(9)));
    let filter = InvoiceFilter { due_date: due, ..all.clone() };
    assert_eq!(ids(&filter, &first()).0, "10 08 06");
    book.invoices().pay(counterfoil::PayInvoice::new(invoice_id("in_07"))).unwrap();
    book.advance_to(day(3), &mut gateway).unwrap();
    let filter = InvoiceFilter { status: Some(InvoiceStatus::Paid), ..all.clone() };
    assert_eq!(ids(&filter, &first()).0, "07");
    let unknown = InvoiceFilter { customer: Some(customer_id("cus_9")), ..all };
    book.invoices().page(&unknown, &first()).unwrap_err();
}

#[test]
fn subscriptions_fall_due_in_order() {
    let book = book();
    let names = ["cus_1", "cus_2", "cus_3", "cus_4"];
    let id = |n: usize| format!("sub_{n}");
    for (n, name) in names.iter().enumerate() {
        book.customers().create(customer(name, "pm_good")).unwrap();
        book.subscriptions().create(subscription(&id(n), name, "price_month")).unwrap();
        let next = book.now().unwrap().unwrap().checked_add_days(2).unwrap();
        book.advance_to(next, &mut gateway).unwrap();
    }
    let ended = json!({ "id": "sub_1" });
    book.subscriptions().cancel(serde_json::from_value(ended).unwrap()).unwrap();
    let start = at(support::START);
    let end_of = |n: usize| {
        let id: SubscriptionId = id(n).parse().unwrap();
        book.subscriptions().retrieve(&id).unwrap().current_period().end
    };
    let within = Period::new(start, end_of(3));
    let due = book.subscriptions().falling_due(within, &PageRequest::first()).unwrap();
    let found: Vec<_> = due.data.iter().map(|own| own.id.to_string()).collect();
    // The last one ends with the range, which is half-open; the canceled one never falls due.
    assert_eq!(found, [id(0), id(2)]);
    let one = PageRequest::first().limit(1);
    let page = book.subscriptions().falling_due(within, &one).unwrap();
    assert_eq!((page.data[0].id.to_string(), page.has_more), (id(0), true));
    let rest = PageRequest::after(page.data[0].id.clone());
    let page = book.subscriptions().falling_due(within, &rest).unwrap();
    assert_eq!((page.data[0].id.to_string(), page.has_more), (id(2), false));
    let canceled = SubscriptionStatus::Canceled;
    let filter = SubscriptionFilter { status: Some(canceled), ..Default::default() };
    let page = book.subscriptions().page(&filter, &PageRequest::first()).unwrap();
    assert_eq!(page.data.len(), 1);
    assert_eq!(book.subscription_count(canceled).unwrap(), 1);
}

#[test]
fn receivables_are_what_the_journal_says_by_age() {
    let book = book();
    book.customers().create(customer("cus_1", "")).unwrap();
    invoice(&book, "in_1", "cus_1", 1_000, Some(10));
    invoice(&book, "in_2", "cus_1", 2_000, Some(40));
    invoice(&book, "in_3", "cus_1", 4_000, None);
    let start = book.now().unwrap().unwrap();
    let after = |days: i64| start.checked_add_days(days).unwrap();
    let cases: &[(i64, [i128; 5])] = &[
        (0, [3_000, 4_000, 0, 0, 0]),
        (9, [3_000, 4_000, 0, 0, 0]),
        (10, [2_000, 5_000, 0, 0, 0]),
        (30, [2_000, 1_000, 4_000, 0, 0]),
        (40, [0, 2_000, 5_000, 0, 0]),
        (99, [0, 0, 2_000, 1_000, 4_000]),
        (130, [0, 0, 0, 0, 7_000]),
    ];
    for (days, expected) in cases {
        book.advance_to(after(*days), &mut gateway).unwrap();
        let found = book.receivables().unwrap()[&USD];
        assert_eq!(Age::ALL.map(|age| found.of(age)), *expected, "after {days} days");
        assert_eq!((found.invoices, found.total()), (3, 7_000));
        let balance = book.trial_balance(None).unwrap();
        let row = |row: &&counterfoil::Row| row.account == Account::AccountsReceivable;
        assert_eq!(balance.rows.iter().find(row).unwrap().debit, 7_000);
    }
    let open = book.open_receivables().unwrap();
    let order: Vec<_> = open.iter().map(|own| own.invoice.as_str()).collect();
    assert_eq!(order, ["in_3", "in_1", "in_2"]);
    // A part that is paid is no longer asked for.
    let wire = json!({ "id": "in_3", "amount": 1_500, "payment_record": "wire" });
    book.invoices().attach_payment(serde_json::from_value(wire).unwrap()).unwrap();
    assert_eq!(book.receivables().unwrap()[&USD].total(), 5_500);
    let view = book.as_of(AsOf::Time(after(10))).unwrap();
    assert_eq!(view.receivables(after(10))[&USD].total(), 7_000);
}

#[test]
fn recurring_revenue_moves_by_customer() {
    let book = book();
    let product = json!({ "id": "prod_mrr", "name": "Plan" });
    book.products().create(serde_json::from_value(product).unwrap()).unwrap();
    for (id, minor, interval) in
        [("price_1", 1_000, "month"), ("price_2", 3_000, "month"), ("price_y", 12_000, "year")]
    {
        let price = json!({
            "id": id, "product": "prod_mrr", "currency": "usd", "unit_amount": minor,
            "recurring": { "interval": interval },
        });
        book.prices().create(serde_json::from_value(price).unwrap()).unwrap();
    }
    let when = |text: &str| Timestamp::parse(&format!("{text}T00:00:00Z")).unwrap();
    let to = |text: &str| book.advance_to(when(text), &mut gateway).unwrap();
    let subscribe = |id: &str, name: &str, price: &str| {
        book.subscriptions().create(subscription(id, name, price)).unwrap();
    };
    let change = |change: serde_json::Value| {
        book.subscriptions().update(serde_json::from_value(change).unwrap()).unwrap();
    };
    let cancel = |id: &str| {
        let cancel = json!({ "id": id });
        book.subscriptions().cancel(serde_json::from_value(cancel).unwrap()).unwrap();
    };
    to("2024-02-10");
    for name in ["cus_1", "cus_2"] {
        book.customers().create(customer(name, "pm_good")).unwrap();
    }
    subscribe("sub_1", "cus_1", "price_1");
    subscribe("sub_2", "cus_2", "price_y");
    let items = |id: &str, quantity: i64| json!([{ "id": id, "quantity": quantity }]);
    let item =
        book.subscriptions().retrieve(&"sub_1".parse().unwrap()).unwrap().items[0].id.clone();
    to("2024-03-10");
    change(
        json!({ "id": "sub_1", "items": items(item.as_str(), 4), "proration_behavior": "none" }),
    );
    to("2024-04-10");
    change(
        json!({ "id": "sub_1", "items": items(item.as_str(), 2), "proration_behavior": "none" }),
    );
    cancel("sub_2");
    to("2024-05-01");
    // In the very second in which the month begins: it belongs to that month.
    subscribe("sub_3", "cus_2", "price_2");
    to("2024-06-15");
    let months = book.recurring_revenue(when("2024-02-20"), 12).unwrap();
    let row = |row: &RecurringMonth| {
        let moves = [row.new, row.reactivation, row.expansion, row.contraction, row.churn];
        (row.starting, moves, row.ending, row.customers)
    };
    let found: Vec<_> = months.iter().map(row).collect();
    assert_eq!(
        found,
        [
            (0, [2_000, 0, 0, 0, 0], 2_000, 2),
            (2_000, [0, 0, 3_000, 0, 0], 5_000, 2),
            (5_000, [0, 0, 0, 2_000, 1_000], 2_000, 1),
            (2_000, [0, 3_000, 0, 0, 0], 5_000, 2),
            (5_000, [0, 0, 0, 0, 0], 5_000, 2),
        ]
    );
    for month in &months {
        let up = month.new + month.reactivation + month.expansion;
        assert_eq!(month.ending, month.starting + up - month.contraction - month.churn);
    }
    // Kept, it says the same, and goes on from where it was; the state alone knows what is now.
    let (mut kept, from) = (RecurringRevenue::default(), when("2024-02-20"));
    assert_eq!(kept.follow(&book, from, 12).unwrap(), months);
    let stored = serde_json::to_string(&kept).unwrap();
    let mut kept: RecurringRevenue = serde_json::from_str(&stored).unwrap();
    assert_eq!(kept.position(), book.durable());
    assert_eq!(kept.follow(&book, from, 12).unwrap(), months);
    cancel("sub_3");
    to("2024-08-02");
    assert_eq!(kept.follow(&book, from, 12).unwrap(), book.recurring_revenue(from, 12).unwrap());
    let now = book.recurring().unwrap()[&USD];
    assert_eq!((now.amount, now.customers), (2_000, 1));
    // The month that runs is cut off at the book's time.
    assert_eq!(months.last().unwrap().month, Period::new(when("2024-06-01"), when("2024-06-15")));
    book.recurring_revenue(when("2024-02-20"), 1_201).unwrap_err();
}

/// What recurs less what discounts take off it each time.
#[test]
fn recurring_revenue_is_net_of_discounts_that_recur() {
    let book = book();
    let run = |operation: &str, params: serde_json::Value| {
        let command: Command = serde_json::from_value(json!({ operation: params })).unwrap();
        book.execute(command).unwrap();
    };
    let when = |text: &str| Timestamp::parse(&format!("{text}T00:00:00Z")).unwrap();
    let to = |text: &str| book.advance_to(when(text), &mut gateway).unwrap();
    to("2024-02-10");
    run("product.create", json!({ "id": "prod_mrr", "name": "Plan" }));
    run(
        "meter.create",
        json!({
            "id": "mtr_mrr", "display_name": "Hits", "event_name": "hits",
            "default_aggregation": { "formula": "sum" },
        }),
    );
    for (id, minor, recurring) in [
        ("month", 1_000, json!({ "interval": "month" })),
        ("year", 12_000, json!({ "interval": "year" })),
        ("hits", 5, json!({ "interval": "month", "usage_type": "metered", "meter": "mtr_mrr" })),
    ] {
        run(
            "price.create",
            json!({
                "id": id, "product": "prod_mrr", "currency": "usd", "unit_amount": minor,
                "recurring": recurring,
            }),
        );
    }
    for (id, coupon) in [
        ("TEN", json!({ "percent_off": 10, "duration": "forever" })),
        ("ONCE", json!({ "percent_off": 50, "duration": "once" })),
        (
            "THREE",
            json!({
                "amount_off": 300, "currency": "usd", "duration": "repeating", "duration_in_months": 3,
            }),
        ),
    ] {
        let mut coupon = coupon;
        coupon["id"] = json!(id);
        run("coupon.create", coupon);
    }
    for name in ["cus_1", "cus_2", "cus_3"] {
        book.customers().create(customer(name, "pm_good")).unwrap();
    }
    // 900 in a month, and 10800 in a year; usage, tax, setup and what is once do not recur.
    run(
        "tax_rate.create",
        json!({ "id": "vat", "display_name": "VAT", "percentage": 20, "inclusive": false }),
    );
    run(
        "subscription.create",
        json!({
            "id": "sub_1", "customer": "cus_1", "items": [{ "price": "month" }, { "price": "hits" }],
            "discounts": [{ "coupon": "TEN" }, { "coupon": "ONCE" }], "default_tax_rates": ["vat"],
            "add_invoice_items": [{ "price_data": { "product": "prod_mrr", "currency": "usd", "unit_amount": 77 } }],
        }),
    );
    run(
        "subscription.create",
        json!({
            "id": "sub_2", "customer": "cus_2", "items": [{ "price": "year" }], "discounts": [{ "coupon": "TEN" }],
        }),
    );
    // 2 × 1000 less 300 for three months; the customer's own discount counts after that.
    run("customer.update", json!({ "id": "cus_3", "coupon": "TEN" }));
    run(
        "subscription.create",
        json!({
            "id": "sub_3", "customer": "cus_3", "items": [{ "price": "month", "quantity": 2 }],
            "discounts": [{ "coupon": "THREE" }],
        }),
    );
    assert!(book.recurring().unwrap().is_empty());
    to("2024-02-10");
    assert_eq!(book.recurring().unwrap()[&USD].amount, 900 + 900 + 1_700);
    to("2024-07-15");
    let months = book.recurring_revenue(when("2024-02-01"), 6).unwrap();
    let row = |row: &RecurringMonth| (row.starting, row.new, row.expansion, row.ending);
    assert_eq!(
        months.iter().map(row).collect::<Vec<_>>(),
        [
            (0, 3_500, 0, 3_500),
            (3_500, 0, 0, 3_500),
            (3_500, 0, 0, 3_500),
            // From 10 May on 10 % of 2000 come off, where 300 did.
            (3_500, 0, 100, 3_600),
            (3_600, 0, 0, 3_600),
            (3_600, 0, 0, 3_600),
        ]
    );
    let now = book.recurring().unwrap()[&USD];
    assert_eq!((now.amount, now.customers), (3_600, 3));
}

/// Revenue is shown before and after discounts, and with credit notes; months are those of the
/// book's clock.
#[test]
fn revenue_by_month_is_net_of_discounts_and_credit_notes() {
    for (zone, start, edge) in [
        ("UTC", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        ("Europe/Berlin", "2024-01-31T23:00:00Z", "2024-02-29T23:00:00Z"),
    ] {
        let settings = json!({ "policies": { "time_zone": zone } });
        let options = Options::default().settings(serde_json::from_value(settings).unwrap());
        let book = Engine::on(MemStorage::new(), options).unwrap();
        let when = |text: &str| Timestamp::parse(text).unwrap();
        book.advance_to(when(start), &mut gateway).unwrap();
        let run = |operation: &str, params: serde_json::Value| {
            let command: Command = serde_json::from_value(json!({ operation: params })).unwrap();
            book.execute(command).unwrap();
        };
        run("product.create", json!({ "id": "prod_1", "name": "Plan" }));
        run(
            "price.create",
            json!({
                "id": "month", "product": "prod_1", "currency": "usd", "unit_amount": 2_900,
                "recurring": { "interval": "month" },
            }),
        );
        run("coupon.create", json!({ "id": "TEN", "percent_off": 10, "duration": "once" }));
        book.customers().create(customer("cus_1", "pm_good")).unwrap();
        run(
            "subscription.create",
            json!({
                "id": "sub_1", "customer": "cus_1", "items": [{ "price": "month" }],
                "discounts": [{ "coupon": "TEN" }],
            }),
        );
        book.advance_to(when(edge).checked_add_days(15).unwrap(), &mut gateway).unwrap();
        let row = |row: &RevenueMonth| (row.gross, row.discounts, row.revenue);
        let months = book.revenue_by_month(when(start), 3).unwrap();
        assert_eq!(months[0].month, Period::new(when(start), when(edge)), "{zone}");
        let rows: Vec<_> = months.iter().map(row).collect();
        assert_eq!(rows, [(2_900, 290, 2_610), (2_900, 0, 2_900), (0, 0, 0)], "{zone}");
        // Half of February's line is credited: 1450, with 145 of its discount.
        let invoices = book.invoices().list(&customer_id("cus_1")).unwrap();
        let invoice = &invoices[0].invoice;
        let line = &invoice.lines().next().unwrap().id;
        run(
            "credit_note.create",
            json!({
                "invoice": invoice.id, "credit_amount": 1_305,
                "lines": [{ "type": "invoice_line_item", "invoice_line_item": line, "amount": 1_450 }],
            }),
        );
        let months = book.revenue_by_month(when(start), 2).unwrap();
        let rows: Vec<_> = months.iter().map(row).collect();
        assert_eq!(rows, [(1_450, 145, 1_305), (2_900, 0, 2_900)], "{zone}");
    }
}

#[test]
fn the_months_of_a_service_period_earn_what_was_invoiced() {
    let book = book();
    let when = |text: &str| Timestamp::parse(&format!("{text}T00:00:00Z")).unwrap();
    book.advance_to(when("2024-02-15"), &mut gateway).unwrap();
    book.customers().create(customer("cus_1", "pm_good")).unwrap();
    book.invoices()
        .create(serde_json::from_value(json!({ "id": "in_1", "customer": "cus_1" })).unwrap())
        .unwrap();
    let item = json!({
        "customer": "cus_1", "invoice": "in_1", "amount": 6_000,
        "period": { "start": when("2024-02-15"), "end": when("2024-04-15") },
    });
    book.invoice_items().create(serde_json::from_value(item).unwrap()).unwrap();
    let finalize = FinalizeInvoice { id: invoice_id("in_1"), auto_advance: None };
    book.invoices().finalize(finalize).unwrap();
    let months = book.revenue_by_month(when("2024-02-01"), 4).unwrap();
    let earned: Vec<_> = months.iter().map(|month| month.revenue).collect();
    // 60 days: 15 in February, 31 in March, 14 in April.
    assert_eq!(earned, [1_500, 3_100, 1_400, 0]);
    assert_eq!(months[1].month, Period::new(when("2024-03-01"), when("2024-04-01")));
}
