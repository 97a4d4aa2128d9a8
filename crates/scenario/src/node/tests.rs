use super::*;
use proptest::prelude::*;

fn shown(text: &str, format: Format) -> String {
    Node::parse(text, format).map_or_else(|error| error.to_string(), |node| node.to_string())
}

#[test]
fn plain_scalars_follow_json() {
    for (text, expected) in [
        ("", "null"),
        ("~", "null"),
        ("null", "null"),
        ("true", "true"),
        ("False", "false"),
        ("0", "0"),
        ("-12", "-12"),
        ("1.50", "1.50"),
        (
            "123456789012345678901234567890.000000000001",
            "123456789012345678901234567890.000000000001",
        ),
        ("1e3", "1e3"),
        ("007", "\"007\""),
        ("+5", "\"+5\""),
        (".5", "\".5\""),
        ("5.", "\"5.\""),
        ("1_000", "\"1_000\""),
        ("0x1F", "\"0x1F\""),
        (".inf", "\".inf\""),
        ("inf", "\"inf\""),
        ("yes", "\"yes\""),
        ("2025-01-01T00:00:00Z", "\"2025-01-01T00:00:00Z\""),
        ("\"5\"", "\"5\""),
        ("'true'", "\"true\""),
        ("\"\"", "\"\""),
        ("|\n  two\n  lines\n", "\"two\\nlines\\n\""),
    ] {
        assert_eq!(shown(text, Format::Yaml), expected, "{text:?}");
    }
}

#[test]
fn yaml_and_json_read_the_same_tree() {
    let yaml = "a: [1, 'x', { b: null }]\nc:\n  - d: true\n    e: \"{{invoice sub_1 2}}\"\n";
    let json = r#"{"a": [1, "x", {"b": null}], "c": [{"d": true, "e": "{{invoice sub_1 2}}"}]}"#;
    assert_eq!(Node::parse_yaml(yaml), Node::parse_json(json));
    assert_eq!(Node::parse_yaml(json), Node::parse_json(json));
}

#[test]
fn every_value_and_key_knows_its_line() {
    for (text, format) in [
        ("steps:\n  - do: x\n    with:\n      id: a\n  - at: 1\n", Format::Yaml),
        (
            "{\"steps\": [\n{\"do\": \"x\",\n \"with\": {\n\"id\": \"a\"}},\n{\"at\": 1}]}",
            Format::Json,
        ),
    ] {
        let node = Node::parse(text, format).unwrap();
        let steps = node.get("steps").unwrap().elements().unwrap();
        let lines: Vec<_> = steps.iter().map(|step| step.line).collect();
        assert_eq!(lines, [2, 5], "{format:?}");
        let with = &steps[0].entries().unwrap()[1];
        assert_eq!((with.0.line, with.1.line), (3, if format == Format::Yaml { 4 } else { 3 }));
        assert_eq!(with.1.get("id").unwrap().line, 4);
    }
}

#[test]
fn json_strings_are_decoded() {
    for (text, expected) in [
        (r#""\uD83D\uDE00""#, "😀"),
        (r#""\u00e9\/\\\"\b\f\n\r\t""#, "é/\\\"\u{8}\u{c}\n\r\t"),
        (r#""\u0000""#, "\0"),
        ("\"日本 😀\"", "日本 😀"),
        ("\u{feff}\"x\"", "x"),
    ] {
        assert_eq!(Node::parse_json(text).unwrap().as_str(), Some(expected), "{text}");
    }
}

#[test]
fn faults_name_their_place() {
    for (text, format, expected) in [
        (
            "a: 1\nb: 2\na: 3\n",
            Format::Yaml,
            "line 3, column 1: the key \"a\" stands twice in one map",
        ),
        (
            "{\"a\": 1,\n \"a\": 2}",
            Format::Json,
            "line 2, column 2: the key \"a\" stands twice in one map",
        ),
        ("a: &x 1\n", Format::Yaml, "anchors and tags are not supported"),
        ("a: &x [1]\nb: *x\n", Format::Yaml, "anchors and tags are not supported"),
        ("a: !!int 5\n", Format::Yaml, "anchors and tags are not supported"),
        ("- a\n- !x {}\n", Format::Yaml, "line 2"),
        ("<<: { a: 1 }\n", Format::Yaml, "line 1, column 1: merge keys are not supported"),
        ("a: 1\n---\nb: 2\n", Format::Yaml, "a second document; one file holds one"),
        ("? [a]\n: 1\n", Format::Yaml, "a key that is not a scalar"),
        ("{ ? {a: 1} : 1 }\n", Format::Yaml, "a key that is not a scalar"),
        (": 1\n", Format::Yaml, "a key without a name"),
        ("a: 1\nb: x\0y\n", Format::Yaml, "line 2, column 5: a control character"),
        ("a: [1, 2\nb: 3\n", Format::Yaml, "line 2"),
        ("a: \"open\n", Format::Yaml, "line"),
        ("a:\n\t- b\n", Format::Yaml, "line 2"),
        ("", Format::Json, "line 1, column 1: the text ends where a value should stand"),
        ("{} x", Format::Json, "line 1, column 4: something after the end of the value"),
        ("[1,]", Format::Json, "line 1, column 4: \"]\" is no JSON value"),
        ("[1 2]", Format::Json, "line 1, column 4: expected `,` or `]`"),
        ("{\"a\" 1}", Format::Json, "line 1, column 6: expected `:`"),
        ("{\"a\": 1 \"b\": 2}", Format::Json, "expected `,` or `}`"),
        ("{a: 1}", Format::Json, "line 1, column 2: expected a key in double quotes"),
        ("[01]", Format::Json, "\"01\" is no JSON value"),
        ("[NaN]", Format::Json, "\"NaN\" is no JSON value"),
        ("[+1]", Format::Json, "\"+1\" is no JSON value"),
        ("\"a\nb\"", Format::Json, "line 1, column 3: a control character in a string"),
        ("\"a", Format::Json, "a string without its closing quote"),
        (r#""\x""#, Format::Json, "line 1, column 2: an unknown escape"),
        (r#""\uD83D""#, Format::Json, "a \\u escape that names no character"),
        (r#""\uD83D\u0041""#, Format::Json, "a \\u escape that names no character"),
        (r#""\uDE00""#, Format::Json, "a \\u escape that names no character"),
        (r#""\u+123""#, Format::Json, "a \\u escape that names no character"),
        (r#""\u12"#, Format::Json, "a \\u escape that names no character"),
    ] {
        let error = Node::parse(text, format).map(|node| node.to_string()).unwrap_err();
        assert!(error.to_string().contains(expected), "{text:?}: {error}");
    }
}

#[test]
fn depth_nodes_and_bytes_are_bounded() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    for format in [Format::Yaml, Format::Json] {
        assert!(Node::parse(&deep(64), format).is_ok());
        let error = Node::parse(&deep(65), format).unwrap_err();
        assert_eq!(error.reason, "nested more than 64 deep", "{format:?}");
        assert!(Node::parse(&deep(100_000), format).is_err());
        assert!(Node::parse(&"[".repeat(1_000_000), format).is_err());
        assert!(Node::parse(&"{\"a\":".repeat(100_000), format).is_err());
    }
    assert!(Node::parse_yaml(&"- ".repeat(100_000)).is_err());
    let many = format!("[{}1]", "1,".repeat(crate::limits::SCENARIO_NODES_MAX));
    assert_eq!(Node::parse_json(&many).unwrap_err().reason, "more than 4000000 values");
    let long = " ".repeat(crate::limits::SCENARIO_BYTES_MAX + 1);
    let error = Node::parse_yaml(&long).unwrap_err();
    assert_eq!(error.reason, "33554433 bytes (the limit is 33554432)");
}

#[test]
fn strings_are_replaced_and_the_rest_is_kept() {
    let node = Node::parse_yaml("{a: x, x: [x, 1, {b: y}]}").unwrap();
    let replaced = node.map_strings(&mut |text| Ok::<_, ()>((text == "x").then(|| "z".into())));
    assert_eq!(replaced, Ok(Node::parse_yaml("{a: z, x: [z, 1, {b: y}]}").unwrap()));
    assert_eq!(node.map_strings(&mut |text| Err(text.to_owned())), Err("x".to_owned()));
}

/// Pieces that a YAML or JSON parser cares about, in any order.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "a",
        "b: ",
        "- ",
        "? ",
        ": ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\n",
        "\n  ",
        "\n    ",
        "\t",
        "\"",
        "'",
        "\\u",
        "D83D",
        "\\",
        "#",
        "&x ",
        "*x",
        "!t ",
        "|",
        ">",
        "---",
        "...",
        "%YAML 1.2",
        "~",
        "1",
        "-",
        ".",
        "e5",
        "\r",
        "\u{85}",
        "\u{feff}",
        "é",
        "<<",
        "@",
        "`",
        "\0",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

fn tree() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn same(node: &Node, value: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    match (&node.value, value) {
        (Value::Null, Json::Null) => true,
        (Value::Bool(left), Json::Bool(right)) => left == right,
        (Value::Number(left), Json::Number(right)) => *left == right.to_string(),
        (Value::String(left), Json::String(right)) => left == right,
        (Value::List(left), Json::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
        }
        (Value::Map(left), Json::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, l)| right.get(&key.name).is_some_and(|r| same(l, r)))
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_makes_a_parser_panic(text in hostile()) {
        let _ = Node::parse_yaml(&text);
        let _ = Node::parse_json(&text);
    }

    #[test]
    fn no_character_makes_a_parser_panic(text in any::<String>()) {
        let _ = Node::parse_yaml(&text);
        let _ = Node::parse_json(&text);
    }

    #[test]
    fn what_another_writer_writes_is_read_back(value in tree(), pretty in any::<bool>()) {
        let text = if pretty {
            serde_json::to_string_pretty(&value)
        } else {
            serde_json::to_string(&value)
        };
        let node = Node::parse_json(&text.unwrap()).unwrap();
        prop_assert!(same(&node, &value), "{node}");
    }
}
