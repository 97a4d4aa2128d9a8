use super::*;
use crate::{DecodeProblem, decode};
use counterfoil_core::{Currency, Decimal12, Id, Timestamp, kind};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only their shape is read")]
struct Command {
    id: Id<kind::Price>,
    currency: Currency,
    at: Timestamp,
    #[serde(default)]
    recurring: Option<Recurring>,
    #[serde(default)]
    tiers: Vec<Tier>,
    #[serde(default)]
    currency_options: BTreeMap<Currency, Tier>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    end: Option<End>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only their shape is read")]
struct Recurring {
    interval: Interval,
    count: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Interval {
    Day,
    Month,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only their shape is read")]
struct Tier {
    up_to: u64,
    amount: Decimal12,
    #[serde(default)]
    inner: Option<Recurring>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only their shape is read")]
enum End {
    Never,
    At(Recurring),
    After { tier: Tier },
}

const WHOLE: &str = "
id: price_1
currency: usd
at: 2025-01-01T00:00:00Z
recurring: { interval: month, count: 1 }
tiers: [ { up_to: 1, amount: '0.5' }, { up_to: 2, amount: 1, inner: { interval: day, count: 1 } } ]
currency_options: { eur: { up_to: 1, amount: 1 } }
metadata: { anything: goes }
end: { after: { tier: { up_to: 1, amount: 1 } } }
";

fn paths(text: &str) -> Vec<String> {
    let found = check_shape::<Command>(&Node::parse_yaml(text).unwrap());
    found.into_iter().map(|field| field.path).collect()
}

#[test]
fn a_whole_value_has_no_unknown_field() {
    let node = Node::parse_yaml(WHOLE).unwrap();
    assert!(decode::<Command>(&node).is_ok());
    assert_eq!(check_shape::<Command>(&node), []);
}

#[test]
fn unknown_fields_are_found_at_any_depth() {
    for (good, bad, expected) in [
        ("id: price_1", "idd: price_1", vec!["idd"]),
        ("month, count", "month, cuont", vec!["recurring.cuont"]),
        ("up_to: 2", "upto: 2", vec!["tiers[1].upto"]),
        ("day, count", "day, x: 1, count", vec!["tiers[1].inner.x"]),
        ("{ eur: { up_to", "{ eur: { up", vec!["currency_options.eur.up"]),
        ("{ after: {", "{ afterwards: {", vec!["end.afterwards"]),
        (
            "{ after: { tier: {",
            "{ after: { x: 1, tier: { y: 2,",
            vec!["end.after.tier.y", "end.after.x"],
        ),
    ] {
        assert!(WHOLE.contains(good), "{good}");
        let mut found = paths(&WHOLE.replace(good, bad));
        found.sort();
        assert_eq!(found, expected, "{bad}");
    }
}

#[test]
fn wrong_values_hide_nothing_and_are_not_reported() {
    for (text, expected) in [
        ("5", vec![]),
        ("[]", vec![]),
        ("{}", vec![]),
        ("{id: 5, currency: [], at: {x: 1}}", vec![]),
        ("{id: 5, x: 1}", vec!["x"]),
        (
            "{currency: nope, tiers: [{up_to: x, y: 1}, 5, {z: 1}]}",
            vec!["tiers[0].y", "tiers[2].z"],
        ),
        ("{tiers: 5, recurring: {interval: year, y: 1}}", vec!["recurring.y"]),
        ("{tiers: [{inner: {a: 1}}, {inner: 5, b: 1}]}", vec!["tiers[0].inner.a", "tiers[1].b"]),
        ("{currency_options: {xyz: {a: 1}, eur: {b: 1}}}", vec!["currency_options.eur.b"]),
        ("{metadata: {a: 1, b: []}, z: 1}", vec!["z"]),
        ("{end: {at: {interval: 1, a: 1}}, at: x, zz: 1}", vec!["end.at.a", "zz"]),
        ("{end: {never: {a: 1}}, z: 1}", vec!["z"]),
        ("{end: {at: 5}, z: 1}", vec!["z"]),
        ("{end: {at: {}, after: {}}, z: 1}", vec!["z"]),
        ("{x: {y: {z: 1}}}", vec!["x"]),
    ] {
        assert_eq!(paths(text), expected, "{text}");
    }
}

#[test]
fn unknown_fields_come_with_their_line_in_the_order_of_the_file() {
    let text = "zeta: 1\ntiers:\n  - up_to: x\n    eta: 1\nalpha: 1\n";
    let found = check_shape::<Command>(&Node::parse_yaml(text).unwrap());
    let lines: Vec<_> = found.iter().map(|f| (f.line, f.path.as_str())).collect();
    assert_eq!(lines, [(1, "zeta"), (4, "tiers[0].eta"), (5, "alpha")]);
}

#[test]
fn the_search_is_bounded_and_decoding_refuses_what_it_leaves() {
    let broken = "{up_to: x}, ".repeat(SHAPE_PRUNINGS_MAX + 1);
    let text = format!("{{tiers: [{broken} {{up_to: 1, amount: 1, late: 1}}]}}");
    assert_eq!(paths(&text), Vec::<String>::new());
    let tier = Node::parse_yaml("{up_to: 1, amount: 1, late: 1}").unwrap();
    let problem = decode::<Tier>(&tier).unwrap_err().problem;
    assert_eq!(problem, DecodeProblem::UnknownField { field: "late".into() });
}
