use super::*;

fn compare(expected: &str, actual: &str) -> Result<(), Mismatch> {
    let actual = serde_json::from_str(actual).unwrap();
    match_subset(&Node::parse_yaml(expected).unwrap(), &actual)
}

#[test]
fn what_matches() {
    for (expected, actual) in [
        ("{}", r#"{"a": 1}"#),
        ("{a: 1}", r#"{"a": 1, "b": 2}"#),
        ("{a: null}", r#"{"a": null}"#),
        ("{a: null}", "{}"),
        ("{a: true}", r#"{"a": true}"#),
        ("{a: {b: {c: x}}}", r#"{"a": {"b": {"c": "x", "d": 1}}}"#),
        ("{a: []}", r#"{"a": []}"#),
        ("{a: [1]}", r#"{"a": [3, 2, 1]}"#),
        ("{a: [2, 1]}", r#"{"a": [1, 2, 3]}"#),
        ("{a: [1, 1]}", r#"{"a": [1, 2, 1]}"#),
        ("{a: [{b: 1}, {b: 1, c: 2}]}", r#"{"a": [{"b": 1, "c": 2}, {"b": 1}]}"#),
        ("{a: {exactly: [2, 1]}}", r#"{"a": [1, 2]}"#),
        ("{a: {exactly: []}}", r#"{"a": []}"#),
        ("{a: [{exactly: [1]}]}", r#"{"a": [[1, 2], [1]]}"#),
        ("{a: 1.50}", r#"{"a": "1.5"}"#),
        ("{a: '1.50'}", r#"{"a": "1.5"}"#),
        ("{a: '3'}", r#"{"a": 3}"#),
        ("{a: 18446744073709551615}", r#"{"a": 18446744073709551615}"#),
        ("{a: 2025-01-01T00:00:00Z}", r#"{"a": 1735689600}"#),
        ("{a: 1735689600}", r#"{"a": 1735689600}"#),
    ] {
        assert_eq!(compare(expected, actual), Ok(()), "{expected} {actual}");
    }
}

#[test]
fn what_does_not_match_shows_both_sides() {
    for (expected, actual, shown) in [
        ("{a: 1}", r#"{"a": 2}"#, "line 1: a\n  expected: 1\n  actual:   2"),
        ("{a: 1}", "{}", "expected: 1\n  actual:   there is no such field"),
        ("{a: x}", r#"{"a": "y"}"#, "expected: \"x\"\n  actual:   \"y\""),
        ("{a: x}", r#"{"a": null}"#, "expected: \"x\"\n  actual:   null"),
        ("{a: null}", r#"{"a": 1}"#, "expected: null\n  actual:   1"),
        ("{a: true}", r#"{"a": "true"}"#, "expected: true\n  actual:   \"true\""),
        ("{a: {b: 1}}", r#"{"a": []}"#, "line 1: a\n  expected: {b: 1}\n  actual:   []"),
        ("{a: [1]}", r#"{"a": {"b": 1}}"#, "expected: [1]\n  actual:   {\"b\":1}"),
        ("5", "{}", "line 1: the report\n  expected: 5\n  actual:   {}"),
        (
            "{a: []}",
            r#"{"a": [7]}"#,
            "a\n  expected: 0 elements and no others\n  actual:   1 besides:\n            7",
        ),
        ("{a: [1]}", r#"{"a": []}"#, "a[0]\n  expected: 1\n  actual:   the list is empty"),
        ("{a: [1, 1]}", r#"{"a": [1, 2]}"#, "[0] is taken by expected element 0"),
        (
            "{a: {exactly: [1]}}",
            r#"{"a": [1, 2, 3, 4, 5]}"#,
            "actual:   4 besides:\n            2\n            3\n            4\n            and 1 more",
        ),
        ("{a: {exactly: [1, 2]}}", r#"{"a": [1]}"#, "a[1]\n  expected: 2"),
        ("{a: {exactly: 5}}", r#"{"a": [5]}"#, "expected: {exactly: 5}"),
        ("{a: {exactly: []}}", r#"{"a": {}}"#, "expected: {exactly: []}"),
        ("{a: 2025-01-01T00:00:01Z}", r#"{"a": 1735689600}"#, "actual:   1735689600"),
        ("{a: 1}", r#"{"a": "one"}"#, "actual:   \"one\""),
        (
            "a:\n  b: 1\n  c: 2\n  d: 3\n",
            r#"{"a": {"b": 2, "c": 2, "d": 4}}"#,
            "line 2: a.b\n  expected: 1\n  actual:   2\nline 4: a.d",
        ),
    ] {
        let mismatch = compare(expected, actual).unwrap_err().to_string();
        assert!(mismatch.contains(shown), "{expected} {actual}\n{mismatch}");
    }
}

#[test]
fn an_element_without_partner_shows_its_nearest() {
    let expected = "invoices:\n  - { id: a, total: 1 }\n  - { id: b, status: paid, total: 7700 }\n";
    let actual = r#"{"invoices": [{"id": "a", "status": "paid", "total": 1},
        {"id": "c", "status": "open", "total": 0}, {"id": "b", "status": "open", "total": 7700}]}"#;
    assert_eq!(
        compare(expected, actual).unwrap_err().to_string(),
        "line 3: invoices[1]\n\
         \x20 expected: {id: \"b\", status: \"paid\", total: 7700}\n\
         \x20 actual:   no match in 3 elements\n\
         \x20           [2] status: expected \"paid\", actual \"open\"\n\
         \x20           [0] id: expected \"b\", actual \"a\"; total: expected 7700, actual 1\n\
         \x20           [1] id: expected \"b\", actual \"c\"; status: expected \"paid\", \
         actual \"open\"; total: expected 7700, actual 0"
    );
}

#[test]
fn long_lists_are_matched_in_reasonable_time() {
    let n = 3_000;
    let expected: Vec<_> = (0..n).map(|i| format!("{{id: in_{i}}}")).collect();
    let actual: Vec<_> = (0..n).rev().map(|i| format!("{{\"id\": \"in_{i}\"}}")).collect();
    let (expected, actual) = (expected.join(", "), actual.join(", "));
    assert_eq!(compare(&format!("[{expected}]"), &format!("[{actual}]")), Ok(()));
}
