use super::*;
use counterfoil_core::Timestamp;
use serde_json::json;

#[test]
fn a_new_book_has_every_key_in_its_order() {
    let engine = Engine::in_memory();
    assert!(matches!(Report::of(&engine, &[]), Err(Error::NoTime)));
    let start = Timestamp::parse("2025-01-01T00:00:00Z").unwrap();
    engine.advance_to(start, &mut crate::SimulatedGateway).unwrap();
    let rejected = RejectedRow { file: "a.csv".into(), line: 3, code: Code::NoMeter };
    let report = Report::of(&engine, &[rejected]).unwrap();
    let text = serde_json::to_string(&report).unwrap();
    let mut last = 0;
    for key in [
        "customers",
        "subscriptions",
        "invoices",
        "invoice_items",
        "credit_notes",
        "credit_grants",
        "credit_balance_transactions",
        "customer_balance_transactions",
        "meters",
        "unbilled_usage",
        "financial_accounts",
        "treasury_transactions",
        "treasury_flows",
        "journal",
        "events",
        "rejected",
    ] {
        let at = text.find(&format!("\"{key}\":")).unwrap_or_else(|| panic!("no {key}"));
        assert!(at >= last, "{key} comes too early");
        last = at;
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["treasury_flows"], json!([]));
    assert_eq!(json["journal"]["balanced"], json!(true));
    assert_eq!(json["events"], json!(1));
    assert_eq!(json["rejected"], json!([{ "file": "a.csv", "line": 3, "code": "no_meter" }]));
}

#[test]
fn quantities_are_integers_where_they_are_whole() {
    #[derive(Serialize)]
    struct Shown(#[serde(serialize_with = "quantity")] Decimal12);

    for (text, shown) in [
        ("0", json!(0)),
        ("-3", json!(-3)),
        ("2.0", json!(2)),
        ("2.5", json!("2.5")),
        ("99999999999999999999", json!("99999999999999999999")),
    ] {
        assert_eq!(serde_json::to_value(Shown(text.parse().unwrap())).unwrap(), shown, "{text}");
    }
}
