//! Scenarios that cannot be run as they are: nothing of them is done, and the error names the line.

use counterfoil::{Engine, Timestamp};
use counterfoil_scenario::{Document, Format, SimulatedGateway, Unreadable, run, settings_of};
use std::path::Path;

fn unreadable(text: &str, engine: &Engine) -> Unreadable {
    let document = match Document::parse(text, Format::Yaml, Path::new("/nonexistent")) {
        Ok(document) => document,
        Err(error) => return error,
    };
    match run(&document, engine, &mut ()) {
        Ok(outcome) => panic!("{text} ran: {:?}", outcome.failure),
        Err(error) => error,
    }
}

#[test]
fn nothing_is_done_of_what_cannot_be_read() {
    let begin = "steps:\n- at: 2025-01-01T00:00:00Z\n  do: customer.create\n  with: { id: a }\n";
    for (rest, line, needle) in [
        ("- do: customer.make\n", 5, "unknown operation \"customer.make\""),
        ("- do: treasury.received_credit.create\n", 5, "unknown operation"),
        ("- do: customer.create\n  with: { nmae: X }\n", 6, "unknown field nmae"),
        ("- do: customer.create\n  with:\n    name: 5\n    nmae: X\n", 8, "unknown field nmae"),
        (
            "- do: price.create\n  with: { tiers: [ { upto: 1 } ] }\n",
            6,
            "unknown field tiers[0].upto",
        ),
        ("- do: price.create\n  with: { recurring: { every: 1 } }\n", 6, "recurring.every"),
        ("- do: meter_event.create\n  with: { payload: { a: b }, valu: 1 }\n", 6, "valu"),
        ("- do: meter_event_adjustment.create\n  with: { cancel: { id: e } }\n", 6, "cancel.id"),
        (
            "- do: meter_event.create\n  idempotency_key: k\n",
            5,
            "a meter event is known by its identifier",
        ),
        ("- do: customer.create\n  expect: {}\n", 6, "beside do it is what a preview comes to"),
        (
            "- do: invoice.create_preview\n  with: { customer: a }\n  fails: x\n  expect: {}\n",
            8,
            "what is refused comes to nothing",
        ),
        (
            "- do: invoice.create_preview\n  with: { customer: a }\n  idempotency_key: k\n",
            5,
            "a preview changes nothing",
        ),
        ("- do: invoice.create_preview\n  with: { invoice: a }\n", 6, "unknown field invoice"),
        (
            "- do: invoice.create_preview\n  with: { command: { customer.create: { nme: a } } }\n",
            6,
            "unknown field command.customer.create.nme",
        ),
        ("- at: 2024-12-31T23:59:59Z\n", 5, "time goes back"),
        (
            "- usage: a.csv\n  columns: { event_name: a, customer: c, timestamp: t, value: v }\n",
            5,
            "a.csv",
        ),
        ("- expcet: {}\n", 5, "unknown key \"expcet\""),
        ("- do: [\n", 6, ""),
    ] {
        let engine = Engine::in_memory();
        let error = unreadable(&format!("{begin}{rest}"), &engine);
        assert!(error.to_string().contains(needle), "{error}");
        assert_eq!(error.line, Some(line), "{error}");
        assert_eq!(engine.now().unwrap(), None, "something was done");
    }
}

#[test]
fn settings_are_read_before_anything_runs() {
    let steps = "steps: [ { at: 2025-01-01T00:00:00Z } ]\n";
    for (settings, needle) in [
        ("{ currncy: usd }", "unknown field settings.currncy"),
        ("{ posting_rules: v1 }", "unknown field settings.posting_rules"),
        ("{ retries: { afterdays: [3] } }", "unknown field settings.retries.afterdays"),
        ("{ currency: xyz }", "xyz"),
        ("{ name: 5 }", "name"),
        ("{ retries: { then: forgotten } }", "retries.then"),
        ("{ retries: { after_days: [0] } }", "retries.after_days"),
        ("{ retries: { after_days: [91] } }", "90"),
    ] {
        let error = unreadable(&format!("settings: {settings}\n{steps}"), &Engine::in_memory());
        assert!(error.to_string().contains(needle), "{settings}: {error}");
        assert_eq!(error.line, Some(1));
    }
    let text = format!(
        "settings: {{ name: Acme, currency: eur, retries: {{ after_days: [1], then: canceled }} }}\n{steps}"
    );
    let document = Document::parse(&text, Format::Yaml, Path::new(".")).unwrap();
    let settings = settings_of(&document).unwrap();
    assert_eq!(settings.name, "Acme");
    assert_eq!(settings.currency.code(), "eur");
    assert_eq!(settings.retries.after_days, [1]);
}

#[test]
fn a_scenario_needs_a_time_and_may_not_go_back_behind_its_book() {
    let command = "steps:\n- do: customer.create\n";
    let error = unreadable(command, &Engine::in_memory());
    assert!(error.to_string().contains("the book has no time yet"), "{error}");
    let error = unreadable("steps: []", &Engine::in_memory());
    assert!(error.to_string().contains("steps"), "{error}");

    let later = Engine::in_memory();
    let time = Timestamp::parse("2025-06-01T00:00:00Z").unwrap();
    later.advance_to(time, &mut SimulatedGateway).unwrap();
    let error = unreadable("steps:\n- at: 2025-05-31T23:59:59Z\n", &later);
    assert!(error.to_string().contains("2025-06-01T00:00:00Z"), "{error}");
    assert_eq!(error.line, Some(2));

    // At the time of the book, or without a time, it goes on.
    for text in ["steps:\n- at: 2025-06-01T00:00:00Z\n", command] {
        let document = Document::parse(text, Format::Yaml, Path::new(".")).unwrap();
        assert!(run(&document, &later, &mut ()).unwrap().failure.is_none());
    }
}
