//! References to what the engine named itself: `{{invoice sub_1 2}}`.

use crate::node::{Node, excerpt};
use std::ops::Range;

/// Something that a scenario points at by its place, because its id is derived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `{{invoice sub_1 2}}`: the second invoice of a subscription in the order of creation.
    Invoice {
        /// The subscription's id.
        subscription: String,
        /// Which of its invoices, from 1.
        n: usize,
    },
    /// `{{payment_attempt sub_1 2}}`: the attempt that the second invoice of a subscription awaits.
    PaymentAttempt {
        /// The subscription's id.
        subscription: String,
        /// Which of its invoices, from 1.
        n: usize,
    },
    /// `{{line sub_1 2 price_pro}}`: the first line on a price in that invoice.
    Line {
        /// The subscription's id.
        subscription: String,
        /// Which of its invoices, from 1.
        n: usize,
        /// The price's id.
        price: String,
    },
}

/// Double braces around something that is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is none of {{{{invoice SUBSCRIPTION N}}}}, {{{{payment_attempt SUBSCRIPTION N}}}} and \
     {{{{line SUBSCRIPTION N PRICE}}}}"
)]
pub struct ReferenceError {
    /// What stands there, shortened.
    pub text: String,
}

/// The references in a text and the bytes they take up there, in their order.
///
/// # Errors
/// [`ReferenceError`] for `{{` that begins no reference.
pub fn references(text: &str) -> Result<Vec<(Range<usize>, Reference)>, ReferenceError> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some((start, rest)) = find(text, from, "{{") {
        let error = || ReferenceError { text: excerpt(rest, 60) };
        let (end, _) = find(text, start, "}}").ok_or_else(error)?;
        let inside = text.get(start.saturating_add(2)..end).unwrap_or_default();
        from = end.saturating_add(2);
        found.push((start..from, parse(inside).ok_or_else(error)?));
    }
    Ok(found)
}

/// Where `needle` stands at or behind a place, and the text from there.
fn find<'t>(text: &'t str, from: usize, needle: &str) -> Option<(usize, &'t str)> {
    let rest = text.get(from..)?;
    let at = rest.find(needle)?;
    Some((from.checked_add(at)?, rest.get(at..)?))
}

fn parse(inside: &str) -> Option<Reference> {
    let words: Vec<_> = inside.split_ascii_whitespace().collect();
    let nth = |text: &str| text.parse().ok().filter(|n: &usize| *n > 0);
    match words.as_slice() {
        ["invoice", subscription, n] => {
            Some(Reference::Invoice { subscription: (*subscription).to_owned(), n: nth(n)? })
        }
        ["payment_attempt", subscription, n] => {
            Some(Reference::PaymentAttempt { subscription: (*subscription).to_owned(), n: nth(n)? })
        }
        ["line", subscription, n, price] => Some(Reference::Line {
            subscription: (*subscription).to_owned(),
            n: nth(n)?,
            price: (*price).to_owned(),
        }),
        _ => None,
    }
}

/// The same tree with the ids that its references stand for.
///
/// # Errors
/// The first error of `resolve`, or of a text with a malformed reference.
pub fn resolve_references<E: From<ReferenceError>>(
    node: &Node,
    mut resolve: impl FnMut(&Reference) -> Result<String, E>,
) -> Result<Node, E> {
    node.map_strings(&mut |text| {
        let found = references(text)?;
        if found.is_empty() {
            return Ok(None);
        }
        let mut resolved = String::new();
        let mut from = 0;
        for (range, reference) in &found {
            resolved.push_str(text.get(from..range.start).unwrap_or_default());
            resolved.push_str(&resolve(reference)?);
            from = range.end;
        }
        resolved.push_str(text.get(from..).unwrap_or_default());
        Ok(Some(resolved))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn invoice(subscription: &str, n: usize) -> Reference {
        Reference::Invoice { subscription: subscription.into(), n }
    }

    #[test]
    fn references_are_found_where_they_stand() {
        let line =
            Reference::Line { subscription: "sub_1".into(), n: 2, price: "price_pro".into() };
        let attempt = Reference::PaymentAttempt { subscription: "sub_1".into(), n: 1 };
        for (text, expected) in [
            ("", vec![]),
            ("{invoice sub_1 2}", vec![]),
            ("}} {", vec![]),
            ("{{invoice sub_1 2}}", vec![(0..19, invoice("sub_1", 2))]),
            ("{{ line  sub_1 2 price_pro }}", vec![(0..29, line)]),
            ("{{payment_attempt sub_1 1}}", vec![(0..27, attempt)]),
            (
                "é {{invoice a 1}}{{invoice b 10}}.",
                vec![(3..18, invoice("a", 1)), (18..34, invoice("b", 10))],
            ),
        ] {
            assert_eq!(references(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn braces_around_anything_else_are_errors() {
        for text in [
            "{{}}",
            "{{invoice sub_1}}",
            "{{invoice sub_1 0}}",
            "{{invoice sub_1 -1}}",
            "{{invoice sub_1 x}}",
            "{{invoice sub_1 99999999999999999999}}",
            "{{invoice sub_1 1 x}}",
            "{{line sub_1 1}}",
            "{{customer cus_1}}",
            "{{invoice sub_1 1}",
            "{{invoice a 1}} {{",
        ] {
            let error = references(text).unwrap_err().to_string();
            let forms = "is none of {{invoice SUBSCRIPTION N}}, {{payment_attempt SUBSCRIPTION N}} and \
                         {{line SUBSCRIPTION N PRICE}}";
            assert!(error.ends_with(forms), "{error}");
        }
    }

    #[test]
    fn resolving_replaces_references_only() {
        let node = Node::parse_yaml("{a: 'x {{invoice s 1}} y {{invoice s 2}}', b: [z, 1]}");
        let resolve = |reference: &Reference| match reference {
            Reference::Invoice { subscription, n } => Ok(format!("in_{subscription}_{n}")),
            Reference::Line { .. } | Reference::PaymentAttempt { .. } => {
                Err(ReferenceError { text: "line".into() })
            }
        };
        let resolved = resolve_references(&node.unwrap(), resolve).unwrap();
        assert_eq!(resolved.to_string(), r#"{a: "x in_s_1 y in_s_2", b: ["z", 1]}"#);
        let line = Node::parse_yaml("'{{line s 1 p}}'").unwrap();
        assert!(resolve_references(&line, resolve).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[{}a1é ]{0,20}") {
            let _ = references(&text);
        }
    }
}
