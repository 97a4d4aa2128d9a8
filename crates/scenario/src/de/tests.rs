use super::*;
use counterfoil_core::{Code, Currency, Decimal12, Id, Timestamp, kind};
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, PartialEq, Deserialize)]
struct Order {
    id: Id<kind::Price>,
    currency: Currency,
    #[serde(default)]
    at: Option<Timestamp>,
    #[serde(default)]
    amount: Option<Decimal12>,
    #[serde(default)]
    items: Vec<Item>,
    #[serde(default)]
    options: BTreeMap<Currency, i64>,
    #[serde(default)]
    limit: Option<Limit>,
    #[serde(default)]
    pair: Option<(u32, String)>,
    #[serde(default)]
    live: bool,
    #[serde(default)]
    ratio: Option<f64>,
    #[serde(default)]
    big: Option<i128>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Item {
    price: Quantity,
    #[serde(default)]
    note: Option<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Quantity(u32);

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Limit {
    None,
    UpTo(i64),
    Between { from: i64, to: i64 },
    Pair(i64, i64),
}

fn order(fields: &str) -> Result<Order, DecodeError> {
    let text = format!("id: price_1\ncurrency: usd\n{fields}\n");
    decode(&Node::parse_yaml(&text).unwrap())
}

#[test]
fn values_reach_their_types_exactly() {
    let read = order(
        "at: 2025-01-01T00:00:00Z
amount: 0.000000000001
items: [{price: 2, note: '5'}]
options: {eur: -3}
limit: {between: {from: 1, to: 2}}
pair: [7, x]
live: true
big: 170141183460469231731687303715884105727",
    )
    .unwrap();
    assert_eq!(read.at, Some(Timestamp::from_unix(1_735_689_600).unwrap()));
    assert_eq!(read.amount, Some(Decimal12::from_trillionths(1)));
    assert_eq!(read.items, [Item { price: Quantity(2), note: Some("5".into()) }]);
    assert_eq!(read.options.get(&"eur".parse().unwrap()), Some(&-3));
    assert_eq!(read.limit, Some(Limit::Between { from: 1, to: 2 }));
    assert_eq!(read.pair, Some((7, "x".into())));
    assert!(read.live);
    assert_eq!(read.big, Some(i128::MAX));
}

#[test]
fn enums_are_names_or_maps_of_one_name() {
    for (text, expected) in [
        ("none", Limit::None),
        ("{none: null}", Limit::None),
        ("{up_to: 5}", Limit::UpTo(5)),
        ("{pair: [1, 2]}", Limit::Pair(1, 2)),
    ] {
        assert_eq!(decode::<Limit>(&Node::parse_yaml(text).unwrap()), Ok(expected), "{text}");
    }
}

#[test]
fn faults_name_path_line_and_code() {
    use Code::{InvalidCurrency, ParameterInvalid, ParameterMissing};
    for (fields, line, param, code, reason) in [
        ("live: 1", 3, "live", ParameterInvalid, "expected true or false, not the number 1"),
        ("live: null", 3, "live", ParameterInvalid, "expected true or false, not null"),
        ("at: 2025-02-30T00:00:00Z", 3, "at", ParameterInvalid, "is not RFC 3339"),
        ("at: 1.5", 3, "at", ParameterInvalid, "is not RFC 3339"),
        ("at: []", 3, "at", ParameterInvalid, "expected a time: Unix seconds or RFC 3339, not"),
        ("amount: 0.0000000000001", 3, "amount", ParameterInvalid, "more than 12 fractional"),
        ("amount: 1e3", 3, "amount", ParameterInvalid, "is not a decimal number"),
        ("items:\n- price: 1\n- note: x", 5, "items[1].price", ParameterMissing, "is required"),
        (
            "items:\n- price: '1'",
            4,
            "items[0].price",
            ParameterInvalid,
            "a whole number, not the string \"1\"",
        ),
        (
            "items:\n- price: 1.0",
            4,
            "items[0].price",
            ParameterInvalid,
            "a whole number, not the number 1.0",
        ),
        (
            "items:\n- price: -1",
            4,
            "items[0].price",
            ParameterInvalid,
            "expected u32, not integer `-1`",
        ),
        ("items:\n- price: 4294967296", 4, "items[0].price", ParameterInvalid, "expected u32"),
        (
            "items:\n- price: 99999999999999999999",
            4,
            "items[0].price",
            ParameterInvalid,
            "at most 64 bits",
        ),
        (
            "items: [{price: 1, note: 5}]",
            3,
            "items[0].note",
            ParameterInvalid,
            "expected a string, not the number 5",
        ),
        (
            "items: [{price: 1, nope: 5}]",
            3,
            "items[0].nope",
            ParameterInvalid,
            "there is no such field",
        ),
        ("items: {price: 1}", 3, "items", ParameterInvalid, "expected a list, not a map"),
        ("items: [[1]]", 3, "items[0]", ParameterInvalid, "expected a map, not a list"),
        ("items: null", 3, "items", ParameterInvalid, "expected a list, not null"),
        ("options: {usd: x}", 3, "options.usd", ParameterInvalid, "a whole number, not the string"),
        ("options: {xyz: 1}", 3, "", InvalidCurrency, "\"xyz\" is not a currency code"),
        (
            "limit: nope",
            3,
            "limit",
            ParameterInvalid,
            "\"nope\" is not one of none, up_to, between, pair",
        ),
        ("limit: up_to", 3, "limit", ParameterInvalid, "up_to needs a value of its own"),
        ("limit: {none: 1}", 3, "limit", ParameterInvalid, "none takes no value"),
        ("limit: {nope: 1}", 3, "limit.nope", ParameterInvalid, "there is no such field"),
        ("limit: {up_to: 1, none: 1}", 3, "limit", ParameterInvalid, "expected one of none, up_to"),
        ("limit: {up_to: x}", 3, "limit.up_to", ParameterInvalid, "a whole number"),
        ("limit: {between: {from: 1}}", 3, "limit.between.to", ParameterMissing, "is required"),
        ("limit: 5", 3, "limit", ParameterInvalid, "expected one of"),
        ("pair: [1]", 3, "pair", ParameterInvalid, "invalid length 1"),
        ("pair: [1, x, y]", 3, "pair", ParameterInvalid, "3 elements, not 2"),
        ("ratio: 0.5", 3, "ratio", ParameterInvalid, "a float is never read"),
        ("ratio: 1", 3, "ratio", ParameterInvalid, "a float is never read"),
    ] {
        let error = order(fields).unwrap_err();
        assert_eq!(error.line, line, "{fields}: {error}");
        let refusal = Refusal::from(error.clone());
        assert_eq!(refusal.code(), code, "{fields}: {error}");
        assert!(error.to_string().contains(reason), "{fields}: {error}");
        if code != InvalidCurrency {
            assert_eq!(error.param(), param, "{fields}: {error}");
        }
    }
}

#[test]
fn faults_of_the_whole_have_an_empty_path() {
    for (text, param, code) in [
        ("currency: usd", "id", Code::ParameterMissing),
        ("{id: a, currency: xyz}", "currency", Code::InvalidCurrency),
        ("{id: a, currency: 5}", "currency", Code::ParameterInvalid),
        ("{id: '', currency: usd}", "id", Code::ParameterInvalid),
        ("{id: 'a b', currency: usd}", "id", Code::ParameterInvalid),
        ("[]", "", Code::ParameterInvalid),
        ("", "", Code::ParameterInvalid),
    ] {
        let error = decode::<Order>(&Node::parse_yaml(text).unwrap()).unwrap_err();
        assert_eq!((error.param().as_str(), error.line), (param, 1), "{text}");
        assert_eq!(Refusal::from(error).code(), code, "{text}");
    }
}

proptest! {
    #[test]
    fn whole_numbers_of_every_width_survive(signed in any::<i64>(), unsigned in any::<u64>()) {
        let node = |text: String| Node::parse_yaml(&text).unwrap();
        prop_assert_eq!(decode::<i64>(&node(signed.to_string())), Ok(signed));
        prop_assert_eq!(decode::<u64>(&node(unsigned.to_string())), Ok(unsigned));
        prop_assert_eq!(decode::<u8>(&node(unsigned.to_string())).ok(), u8::try_from(unsigned).ok());
    }

    #[test]
    fn decimals_survive(parts in any::<i64>()) {
        let decimal = Decimal12::from_trillionths(i128::from(parts));
        let plain = Node::parse_yaml(&decimal.to_string()).unwrap();
        let quoted = Node::parse_yaml(&format!("'{decimal}'")).unwrap();
        prop_assert_eq!(decode(&plain), Ok(decimal));
        prop_assert_eq!(decode(&quoted), Ok(decimal));
    }
}
