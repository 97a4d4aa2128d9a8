//! The command as a user meets it: what it prints where, and its exit status.

mod support;

use counterfoil::{Engine, Options};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use support::{beside, book, counterfoil, example};
use tempfile::TempDir;

/// A directory with a scenario of these steps, and usage files.
fn scenario(steps: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scenario.yaml");
    fs::write(&path, format!("steps:\n{steps}")).unwrap();
    fs::write(dir.path().join("usage.csv"), "time,who,value\n2025-01-01,cus_1,5\n").unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn a_run_shows_invoices_the_trial_balance_and_one_explained_invoice() {
    for (name, fragments) in [
        ("saas", ["1200.00", "uncollectible", "2028-01-31 → 2028-02-29", "all 52 steps"]),
        ("api", ["331.05", "line 802: 3 fields under 4 headers", "1590", "no subscription"]),
        ("llm", ["4728117 × 0.0003 = 1418.4351", "194994", "17.10", "3600"]),
    ] {
        let stdout = counterfoil(&["run", &example(name)]).succeeds();
        let sections = ["Usage files", "Invoices", "Trial balance", "The books balance.", "├─ "];
        for fragment in sections.iter().chain(&fragments) {
            assert!(stdout.contains(fragment), "{name}: no {fragment:?} in {stdout}");
        }
    }
}

/// Checks that what is printed of each invoice adds up: its lines and what is between them and the
/// total, that and the amount due, that and what remains. Gives how many sums were looked at.
fn adds_up(page: &str) -> usize {
    let (mut sum, mut sums) = (None::<i64>, 0);
    for row in page.lines() {
        if row.starts_with("Description ") {
            sum = Some(0);
        }
        let Some(so_far) = sum else { continue };
        let figure = row.rsplit(' ').next().unwrap_or_default();
        let Ok(minor) = figure.replacen('.', "", 1).parse::<i64>() else {
            // A header, its line, or the end of the table.
            sum = sum.filter(|_| !row.is_empty() && !row.ends_with("amounts"));
            continue;
        };
        let name = row.split("  ").next().unwrap();
        if ["Total", "Amount due", "Remaining"].contains(&name) {
            assert_eq!(so_far, minor, "{row:?} in {page}");
            sums += 1;
            sum = Some(minor);
        } else {
            sum = Some(so_far + minor);
        }
    }
    sums
}

/// The printed invoices of `golden/invoices.yaml` are those of `golden/invoices.txt`.
#[test]
fn what_is_printed_of_an_invoice_adds_up() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = golden.join("invoices.yaml");
    let stdout = counterfoil(&["run", path.to_str().unwrap()]).succeeds();
    let (from, to) =
        (stdout.find("\nACME-0001 of").unwrap(), stdout.find("\nTrial balance").unwrap());
    let (printed, kept) = (&stdout[from..to], golden.join("invoices.txt"));
    if std::env::var_os("COUNTERFOIL_BLESS").is_some() {
        fs::write(&kept, printed).unwrap();
    }
    assert_eq!(fs::read_to_string(&kept).unwrap(), printed);
    assert_eq!(adds_up(printed), 7);
    let whole = golden.join("../../../scenario/tests/books/whole.yaml");
    let stdout = counterfoil(&["run", whole.to_str().unwrap(), "--all"]).succeeds();
    assert!(adds_up(&stdout[..stdout.find("\nTrial balance").unwrap()]) > 40);
}

#[test]
#[should_panic(expected = "Total")]
fn a_sum_that_is_wrong_is_noticed() {
    adds_up("Description  Amount USD\n────\nWork          1.00\nTotal         2.00\n");
}

#[test]
fn a_run_with_json_prints_one_object_and_nothing_else() {
    for name in ["saas", "api", "llm"] {
        let stdout = counterfoil(&["run", &example(name), "--json"]).succeeds();
        let report: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(report["journal"]["balanced"], Value::Bool(true), "{name}");
        assert!(report["invoices"].as_array().is_some_and(|list| !list.is_empty()), "{name}");
        // The same again, to the byte.
        assert_eq!(counterfoil(&["run", &example(name), "--json"]).succeeds(), stdout);
    }
}

#[test]
fn what_cannot_be_read_ends_with_2_before_anything_is_done() {
    let first = "  - at: 2025-01-01T00:00:00Z\n    ";
    for (steps, fragments) in [
        (format!("{first}do: customer.crate\n"), ["line 3", "unknown operation", "customer.crate"]),
        (
            format!("{first}do: customer.create\n    with:\n      id: cus_1\n      nane: Ada\n"),
            ["line 6", "unknown field", "nane"],
        ),
        (
            format!("{first}do: customer.create\n    with: {{ address: {{ town: Y }} }}\n"),
            ["step 1", "unknown field", "address.town"],
        ),
        (format!("{first}done: customer.create\n"), ["line 3", "unknown key", "done"]),
        (
            format!("{first}do: customer.create\n  - at: 2024-12-31T23:59:59Z\n"),
            ["step 2, line 4", "time goes back", "2024-12-31T23:59:59Z"],
        ),
        (
            format!(
                "{first}usage: missing.csv\n    columns: {{ event_name: e, customer: who, \
                 timestamp: time, value: value }}\n"
            ),
            ["line 2", "missing.csv", "No such file"],
        ),
        (
            format!(
                "{first}usage: usage.csv\n    columns: {{ event_name: e, customer: who, \
                 timestamp: zeit, value: value }}\n"
            ),
            ["usage.csv", "timestamp", "zeit"],
        ),
        (format!("{first}do: [customer.create\n"), ["scenario.yaml", "line", "column"]),
        ("  - do: customer.create\n".to_owned(), ["step 1", "at", "no time yet"]),
    ] {
        let (_dir, path) = scenario(&steps);
        let ran = counterfoil(&["run", &path]);
        ran.ends(2, &fragments);
        assert_eq!(ran.stdout, "", "{steps}");
    }
    counterfoil(&["run", "/no/such/scenario.yaml"]).ends(2, &["/no/such/scenario.yaml"]);
    counterfoil(&["run"]).ends(2, &["SCENARIO"]);
    counterfoil(&["walk"]).ends(2, &["walk"]);
}

#[test]
fn what_is_not_as_it_was_said_to_be_ends_with_1_and_the_report_of_what_went_before() {
    let first = "  - at: 2025-01-01T00:00:00Z\n    do: customer.create\n    with: { id: cus_1 }\n";
    for (steps, fragments) in [
        (
            "  - do: customer.create\n    with: { id: cus_1 }\n",
            ["step 2, line 5", "resource_already_exists", "cus_1"],
        ),
        (
            "  - do: customer.create\n    with: { id: cus_2 }\n    fails: resource_missing\n",
            ["step 2, line 5", "should have been refused", "resource_missing"],
        ),
        (
            "  - do: customer.create\n    with: { id: cus_1 }\n    fails: resource_missing\n",
            ["step 2", "resource_missing", "resource_already_exists"],
        ),
        (
            "  - expect: { customers: [ { id: cus_1, balance: 7 } ] }\n",
            ["step 2, line 5", "expected 7", "actual 0"],
        ),
        (
            "  - do: price.create\n    with: { product: p, currency: xyz, unit_amount: 1 }\n",
            ["step 2", "xyz", "invalid_currency"],
        ),
    ] {
        let (_dir, path) = scenario(&format!("{first}{steps}"));
        let ran = counterfoil(&["run", &path, "--json"]);
        ran.ends(1, &fragments);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(report["customers"][0]["id"], "cus_1", "{steps}");
        let ran = counterfoil(&["run", &path]);
        ran.ends(1, &fragments);
        assert!(ran.stdout.contains("stopped in step 2 of 2"), "{}", ran.stdout);
    }
}

#[test]
fn a_book_can_be_looked_into() {
    let (_dir, book) = book();
    let book = book.to_str().unwrap();

    let events = counterfoil(&["events", book]).succeeds();
    assert!(events.lines().next().unwrap().contains("book.created"), "{events}");
    for fragment in
        ["subscription.renewed", "next_payment_attempt=2028-01-08T09:00:00Z", "meter_events=29"]
    {
        assert!(events.contains(fragment), "no {fragment:?} in {events}");
    }
    let some = counterfoil(&["events", book, "--from", "11", "--limit", "3", "--json"]).succeeds();
    let some: Vec<Value> = some.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(some.len(), 3);
    assert_eq!(some[0]["lsn"], 11);
    assert_eq!(some[0]["type"], "subscription.created");
    assert_eq!(some[0]["event"]["id"], "sub_ada");

    let explained = counterfoil(&["explain", book, "in_manuals"]).succeeds();
    assert!(explained.contains("3 × 1250.5 = 3751.5"), "{explained}");
    let (_, number) = explained.lines().next().unwrap().split_once('(').unwrap();
    let number = number.split_once(')').unwrap().0;
    assert_eq!(counterfoil(&["explain", book, number]).succeeds(), explained);
    counterfoil(&["explain", book, "in_nowhere"]).ends(1, &["in_nowhere", "hint: "]);

    // Without a time it is that at which the book was closed.
    let balance = counterfoil(&["balance", book]).succeeds();
    assert!(balance.contains("2029-03-01T00:00:00Z"), "{balance}");
    let balance = counterfoil(&["balance", book, "--at", "2029-03-01T00:00:00Z"]).succeeds();
    for fragment in ["2322.68", "1196.71", "2399.97", "The books balance."] {
        assert!(balance.contains(fragment), "no {fragment:?} in {balance}");
    }
    let later = counterfoil(&["balance", book, "--at", "2030-02-28T00:00:00Z"]).succeeds();
    assert!(later.contains("3596.68") && !later.contains("1196.71"), "{later}");
    counterfoil(&["balance", book, "--at", "yesterday"]).ends(2, &["yesterday"]);

    let verified = counterfoil(&["verify", book]).succeeds();
    for fragment in ["every checksum right", "2 metered lines read again", "the book is sound"] {
        assert!(verified.contains(fragment), "no {fragment:?} in {verified}");
    }
    assert_eq!(counterfoil(&["verify", book]).succeeds(), verified);
}

#[test]
fn what_would_be_invoiced_is_shown_and_not_done() {
    let (dir, path) = scenario(
        r#"
  - at: 2025-01-01T00:00:00Z
    do: product.create
    with: { id: prod, name: Plan }
  - do: price.create
    with: { id: plan, product: prod, currency: usd, unit_amount: 1000, recurring: { interval: month } }
  - do: coupon.create
    with: { id: TEN, percent_off: 10, duration: forever }
  - do: tax_rate.create
    with: { id: txr, display_name: VAT, percentage: "5", inclusive: false }
  - do: customer.create
    with: { id: cus, payment_method: pm_card_visa }
  - do: subscription.create
    with: { id: sub, customer: cus, items: [ { price: plan } ], discounts: [ { coupon: TEN } ], default_tax_rates: [ txr ] }
  - at: 2025-01-16T12:00:00Z
"#,
    );
    let book = &beside(&dir, "book");
    counterfoil(&["run", &path, "--book", book]).succeeds();
    let verified = counterfoil(&["verify", book]).succeeds();

    let next = counterfoil(&["preview", book, "--subscription", "sub"]).succeeds();
    for fragment in [
        "The next invoice:",
        "upcoming_in_sub",
        "10.00",
        "Discount di_1",
        "Tax txr",
        "Total                                                   9.45",
    ] {
        assert!(next.contains(fragment), "no {fragment:?} in {next}");
    }
    assert_eq!(counterfoil(&["preview", book, "--customer", "cus"]).succeeds(), next);
    let cancel = r#"{"subscription.cancel": {"id": "sub", "invoice_now": true, "prorate": true}}"#;
    let at_once = counterfoil(&["preview", book, "--command", cancel]).succeeds();
    for fragment in ["Invoiced at once:", "-4.50", "No other invoice would come by itself."] {
        assert!(at_once.contains(fragment), "no {fragment:?} in {at_once}");
    }
    let json = counterfoil(&["preview", book, "--subscription", "sub", "--json"]).succeeds();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["made"], &json["upcoming"]["total"]), (&json!([]), &json!(945)));

    counterfoil(&["preview", book, "--subscription", "sub_none"]).ends(1, &["sub_none"]);
    counterfoil(&["preview", book, "--schedule", "sub_sched"]).ends(1, &["sub_sched"]);
    counterfoil(&["preview", book]).ends(2, &["--customer"]);
    counterfoil(&["preview", book, "--command", "{"]).ends(2, &["--command"]);
    counterfoil(&["preview", book, "--command", "{a.b: {}}"]).ends(2, &["a.b"]);
    assert_eq!(counterfoil(&["verify", book]).succeeds(), verified);
}

#[test]
fn alerts_are_listed_with_whom_they_went_off_for() {
    let usage = |time: &str, identifier: &str, value: u32| {
        let payload = format!("{{ stripe_customer_id: cus_1, value: \"{value}\" }}");
        format!(
            "  - at: {time}\n    do: meter_event.create\n    with: {{ event_name: calls, \
             identifier: {identifier}, payload: {payload} }}\n"
        )
    };
    let steps = format!(
        "  - at: 2025-01-01T00:00:00Z\n    do: customer.create\n    with: {{ id: cus_1 }}\n  \
         - do: meter.create\n    with: {{ id: mtr_1, display_name: Calls, event_name: calls, \
         default_aggregation: {{ formula: sum }} }}\n  \
         - do: alert.create\n    with: {{ id: alrt_1, title: Many calls, usage_threshold: \
         {{ meter: mtr_1, gte: \"10\" }} }}\n{}{}",
        usage("2025-01-02T00:00:00Z", "a", 4),
        usage("2025-01-03T00:00:00Z", "b", 7),
    );
    let (dir, path) = scenario(&steps);
    let book = beside(&dir, "book");
    counterfoil(&["run", &path, "--book", &book]).succeeds();
    let listed = counterfoil(&["alerts", &book]).succeeds();
    for fragment in ["alrt_1", "Many calls", "active", "each customer", "cus_1", "11"] {
        assert!(listed.contains(fragment), "no {fragment:?} in {listed}");
    }
    let before = counterfoil(&["alerts", &book, "--as-of", "2025-01-02"]).succeeds();
    assert!(before.contains("alrt_1") && !before.contains("cus_1"), "{before}");
    let listed = counterfoil(&["alerts", &book, "--json"]).succeeds();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["triggered"][0]["value"], "11");
    // The usage, and what it set off, are one record.
    let events = counterfoil(&["events", &book, "--reverse", "--limit", "2"]).succeeds();
    let lines: Vec<&str> = events.lines().collect();
    assert!(lines[0].contains("alert.triggered") && lines[0].contains("value=11"), "{events}");
    assert!(lines[1].contains("meter_event.taken"), "{events}");
    assert_eq!(positions(lines[0]), positions(lines[1]), "{events}");
    assert!(counterfoil(&["verify", &book]).succeeds().contains("the book is sound"));
}

/// The first column of a listing.
fn positions(listing: &str) -> Vec<u64> {
    let first = |line: &str| line.split_whitespace().next().unwrap().parse().unwrap();
    listing.lines().map(first).collect()
}

#[test]
fn events_are_listed_backwards_and_by_stream() {
    let (_dir, book) = book();
    let book = book.to_str().unwrap();
    let forward = counterfoil(&["events", book]).succeeds();
    let mut lines: Vec<&str> = forward.lines().collect();
    lines.reverse();
    let backward = counterfoil(&["events", book, "--reverse"]).succeeds();
    assert_eq!(backward.lines().collect::<Vec<_>>(), lines);

    let some = counterfoil(&["events", book, "--reverse", "--from", "11", "--limit", "3"]);
    let some = some.succeeds();
    assert_eq!(some.lines().count(), 3);
    assert!(positions(&some).is_sorted_by(|a, b| a >= b) && positions(&some)[0] == 11, "{some}");

    let ada = counterfoil(&["events", book, "--stream", "customer:cus_ada"]).succeeds();
    let expected: Vec<&str> =
        forward.lines().filter(|line| line.contains("  customer:cus_ada  ")).collect();
    assert!(expected.len() > 10);
    assert_eq!(ada.lines().collect::<Vec<_>>(), expected);
    let last = ["events", book, "--stream", "customer:cus_ada", "--reverse", "--limit", "1"];
    let last = counterfoil(&last).succeeds();
    assert_eq!(last.trim_end(), *expected.last().unwrap());
    assert_eq!(counterfoil(&["events", book, "--stream", "customer:nobody"]).succeeds(), "");
}

#[test]
fn balance_and_explanation_can_be_had_as_of_a_moment() {
    let (_dir, book) = book();
    let book = book.to_str().unwrap();
    let paid = counterfoil(&["events", book, "--json"]).succeeds();
    let events: Vec<Value> = paid.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let finalized = events.iter().find(|event| event["type"] == "invoice.finalized").unwrap();
    let (id, lsn) = (finalized["event"]["id"].as_str().unwrap(), &finalized["lsn"]);
    let now = counterfoil(&["explain", book, id]).succeeds();
    let then = counterfoil(&["explain", book, id, "--as-of", &lsn.to_string()]).succeeds();
    assert!(now.lines().next().unwrap().ends_with("paid"), "{now}");
    assert!(then.lines().next().unwrap().ends_with("open"), "{then}");
    let before = (lsn.as_u64().unwrap() - 1).to_string();
    let before = counterfoil(&["explain", book, id, "--as-of", &before]);
    assert!(before.stdout.contains("draft") || before.status == 1, "{}", before.stdout);

    let of = |moment: &str| counterfoil(&["balance", book, "--as-of", moment]).succeeds();
    let last = events.last().unwrap()["lsn"].to_string();
    assert!(of(&last).contains(&format!("after record {last}\n")), "{}", of(&last));
    let rows = |text: &str| text.split_once("\n\n").unwrap().1.to_owned();
    let balance = counterfoil(&["balance", book]).succeeds();
    assert_eq!(rows(&of("2029-03-01")), rows(&balance));
    assert_ne!(rows(&of("2028-01-31")), rows(&balance));
    assert_eq!(of("2028-01-31"), of("2028-01-31T23:59:59Z"));
    // What nobody knew yet is not in it, also where revenue is earned up to later.
    let later = ["balance", book, "--as-of", "2028-01-31", "--at", "2030-01-01T00:00:00Z"];
    assert_ne!(rows(&counterfoil(&later).succeeds()), rows(&balance));

    counterfoil(&["balance", book, "--as-of", "100000"]).ends(1, &["record 100000 is not there"]);
    counterfoil(&["balance", book, "--as-of", "soon"]).ends(2, &["soon"]);
    // Looking does not change: the book is closed and sound.
    counterfoil(&["verify", book]).succeeds();
}

/// The largest segment of a book.
fn segment(book: &Path) -> PathBuf {
    let files = fs::read_dir(book).unwrap().map(|entry| entry.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|ending| ending == "seg"));
    segments.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

/// Flips a bit in the last quarter of what is written to a book, well before its end.
fn damage(book: &Path) {
    let file = segment(book);
    let mut bytes = fs::read(&file).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[written / 4 * 3] ^= 0x10;
    fs::write(&file, bytes).unwrap();
}

#[test]
fn a_receipt_tells_whether_a_book_was_changed() {
    let (dir, book) = book();
    let path = book.to_str().unwrap();
    let receipt = counterfoil(&["receipt", path]).succeeds();
    assert_eq!(receipt.lines().count(), 1);
    let early = counterfoil(&["receipt", path, "--at", "7"]).succeeds();
    assert!(early.contains(" lsn=7 "), "{early}");
    counterfoil(&["receipt", path, "--at", "100000"]).ends(1, &["record 100000 is not there"]);

    let file = beside(&dir, "book.receipt");
    fs::write(&file, &receipt).unwrap();
    for receipt in [file.as_str(), receipt.trim(), early.trim()] {
        let verified = counterfoil(&["verify", path, "--receipt", receipt]).succeeds();
        for fragment in ["receipt     holds", "the book is sound"] {
            assert!(verified.contains(fragment), "no {fragment:?} in {verified}");
        }
    }
    counterfoil(&["verify", path, "--receipt", &receipt.trim().replace("lsn=", "lsn=1")])
        .ends(2, &["check sum"]);
    counterfoil(&["verify", path, "--receipt", &beside(&dir, "none")]).ends(2, &["none"]);

    // Another book, with all its sums right, is not the one of the receipt.
    let other = beside(&dir, "other");
    counterfoil(&["run", &example("llm"), "--book", &other]).succeeds();
    let ran = counterfoil(&["verify", &other, "--receipt", early.trim()]);
    ran.ends(1, &[&other, "not what the receipt says"]);
    assert!(ran.stdout.contains("receipt     differs"), "{}", ran.stdout);
    let ran = counterfoil(&["verify", &other, "--receipt", &file]);
    ran.ends(1, &["not what the receipt says"]);
    assert!(ran.stdout.contains("ends before it"), "{}", ran.stdout);
}

#[test]
fn an_invoice_is_proven_to_whoever_has_a_receipt() {
    let (dir, book) = book();
    let path = book.to_str().unwrap();
    let receipt = beside(&dir, "book.receipt");
    fs::write(&receipt, counterfoil(&["receipt", path]).succeeds()).unwrap();
    let proof = beside(&dir, "manuals.proof");
    let prove = ["prove", path, "in_manuals", "--receipt", &receipt, "--out", &proof];
    let said = counterfoil(&prove).succeeds();
    assert!(said.contains(fs::read_to_string(&receipt).unwrap().trim()), "{said}");

    // The book is gone, and the proof holds.
    fs::rename(&book, dir.path().join("elsewhere")).unwrap();
    let checked = counterfoil(&["check-proof", &proof, "--receipt", &receipt]).succeeds();
    for fragment in ["The proof holds", "invoice.finalized", "in_manuals"] {
        assert!(checked.contains(fragment), "no {fragment:?} in {checked}");
    }
    let checked = counterfoil(&["check-proof", &proof, "--receipt", &receipt, "--json"]);
    let checked: Value = serde_json::from_str(checked.succeeds().lines().next().unwrap()).unwrap();
    assert_eq!(checked["event"]["id"], "in_manuals");
    fs::rename(dir.path().join("elsewhere"), &book).unwrap();

    // One byte of it changed, it does not.
    let sound = fs::read(&proof).unwrap();
    for at in [100, sound.len() / 2, sound.len() - 1] {
        let mut forged = sound.clone();
        forged[at] ^= 1;
        fs::write(&proof, forged).unwrap();
        let ran = counterfoil(&["check-proof", &proof, "--receipt", &receipt]);
        ran.ends(1, &[&proof]);
        assert!(!ran.stdout.contains("holds"), "{}", ran.stdout);
    }
    fs::write(&proof, "not a proof").unwrap();
    counterfoil(&["check-proof", &proof, "--receipt", &receipt]).ends(2, &["not a proof"]);

    // Without a receipt it is for one of now; for one from before the invoice there is none.
    counterfoil(&["prove", path, "in_manuals", "--out", &proof]).succeeds();
    let early = counterfoil(&["receipt", path, "--at", "3"]).succeeds();
    counterfoil(&["prove", path, "in_manuals", "--receipt", early.trim(), "--out", &proof])
        .ends(1, &["after the receipt's, 3"]);
    counterfoil(&["prove", path, "in_nowhere", "--out", &proof]).ends(1, &["in_nowhere"]);
}

#[test]
fn a_backup_is_the_book_and_is_brought_up_to_date() {
    let (dir, book) = book();
    let (path, copy) = (book.to_str().unwrap(), beside(&dir, "copy"));
    let said = counterfoil(&["backup", path, &copy]).succeeds();
    let receipt = counterfoil(&["receipt", path]).succeeds();
    assert!(said.contains(receipt.trim()), "{said}");
    let verified = counterfoil(&["verify", &copy, "--receipt", receipt.trim()]).succeeds();
    assert_eq!(verified, counterfoil(&["verify", path, "--receipt", receipt.trim()]).succeeds());

    let engine = Engine::open_existing(&book, Options::default()).unwrap();
    engine.customers().create(counterfoil::CreateCustomer::default()).unwrap();
    engine.close().unwrap();
    drop(engine);
    counterfoil(&["backup", path, &copy]).succeeds();
    assert_eq!(
        counterfoil(&["receipt", &copy]).succeeds(),
        counterfoil(&["receipt", path]).succeeds()
    );
    let other = beside(&dir, "other");
    counterfoil(&["run", &example("llm"), "--book", &other]).succeeds();
    counterfoil(&["backup", path, &other]).ends(2, &[&other, "the target"]);
}

#[test]
fn a_snapshot_changes_nothing_that_can_be_seen() {
    let (_dir, book) = book();
    let path = book.to_str().unwrap();
    let answers = || {
        let balance = counterfoil(&["balance", path]).succeeds();
        [balance, counterfoil(&["explain", path, "in_manuals"]).succeeds()]
    };
    let before = answers();
    let snapshots = || {
        let names = fs::read_dir(&book).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.extension().is_some_and(|ending| ending == "snap")).count()
    };
    let had = snapshots();
    let said = counterfoil(&["snapshot", path]).succeeds();
    assert!(said.starts_with("snapshot    at record "), "{said}");
    assert!(snapshots() > had, "{said}");
    assert_eq!(answers(), before);
    counterfoil(&["verify", path]).succeeds();
    counterfoil(&["snapshot", "/no/such/book"]).ends(2, &["/no/such/book", "hint: "]);
}

#[test]
fn what_a_book_takes_up_is_told_by_kind() {
    let (_dir, book) = book();
    let path = book.to_str().unwrap();
    counterfoil(&["snapshot", path]).succeeds();
    let json = counterfoil(&["disk", path, "--json"]).succeeds();
    let json: Value = serde_json::from_str(&json).unwrap();
    let of = |kind: &str| json[kind].as_u64().unwrap();
    let on_disk = |ending: &str| -> u64 {
        let files = fs::read_dir(&book).unwrap().map(|entry| entry.unwrap());
        let files = files.filter(|entry| entry.path().to_str().unwrap().ends_with(ending));
        files.map(|entry| entry.metadata().unwrap().len()).sum()
    };
    for (kind, ending) in
        [("records", ".seg"), ("snapshots", ".snap"), ("keys", ".keys"), ("total", "")]
    {
        assert_eq!(of(kind), on_disk(ending), "{kind}");
        assert!(of(kind) > 0, "{kind}");
    }
    assert_eq!((of("ahead"), of("archived")), (0, 0));
    let table = counterfoil(&["disk", path]).succeeds();
    let row = table.lines().find(|line| line.starts_with("snapshots")).unwrap();
    assert!(row.ends_with(&of("snapshots").to_string()), "{table}");
    counterfoil(&["disk", "/no/such/book"]).ends(2, &["/no/such/book", "hint: "]);
}

#[test]
fn what_is_whole_of_a_damaged_book_is_saved() {
    let (dir, book) = book();
    let path = book.to_str().unwrap();
    let whole = beside(&dir, "whole");
    let said = counterfoil(&["salvage", path, &whole]).succeeds();
    assert!(said.contains("missing     nothing"), "{said}");
    let events = counterfoil(&["events", path]).succeeds();
    assert_eq!(counterfoil(&["events", &whole]).succeeds(), events);

    damage(&book);
    let file = segment(&book);
    let name = file.file_name().unwrap().to_str().unwrap();
    let before = fs::read(&file).unwrap();
    counterfoil(&["verify", path]).ends(2, &["damaged", name, "salvage"]);
    let (saved, orphans) = (beside(&dir, "saved"), beside(&dir, "orphans.ndjson"));
    let ran = counterfoil(&["salvage", path, &saved, "--orphans", &orphans]);
    ran.ends(1, &["missing: record", name]);
    assert_eq!(fs::read(&file).unwrap(), before, "the damaged book is as it was");

    counterfoil(&["verify", &saved]).succeeds();
    let kept = counterfoil(&["events", &saved]).succeeds();
    assert!(events.starts_with(&kept) && kept.len() > events.len() / 2);
    // What is neither saved nor an orphan is what was said to be missing.
    let behind: Vec<Value> = fs::read_to_string(&orphans)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let first = behind.first().unwrap()["lsn"].as_u64().unwrap();
    let last = *positions(&kept).last().unwrap();
    assert!(first > last + 1, "{first} {last}");
    let missing = if first == last + 2 {
        format!("missing: record {}", last + 1)
    } else {
        format!("missing: records {} to {}", last + 1, first - 1)
    };
    assert!(ran.stderr.contains(&missing), "no {missing:?} in {}", ran.stderr);

    counterfoil(&["salvage", path, &saved]).ends(2, &["already holds"]);
    counterfoil(&["salvage", "/no/such/book", &saved]).ends(2, &["/no/such/book"]);
}

#[test]
fn a_book_that_is_ahead_of_a_scenario_refuses_it() {
    let (_dir, book) = book();
    let ran = counterfoil(&["run", &example("saas"), "--book", book.to_str().unwrap()]);
    ran.ends(2, &["step 1", "2027-10-31T09:00:00Z", "2029-03-01T00:00:00Z"]);
    assert_eq!(ran.stdout, "");
    counterfoil(&["verify", book.to_str().unwrap()]).succeeds();
}

#[test]
fn a_book_has_one_writer_at_a_time() {
    let (_dir, book) = book();
    let held = Engine::open_existing(&book, Options::default()).unwrap();
    let book = book.to_str().unwrap();
    let scenario = example("saas");
    for arguments in [vec!["run", &scenario, "--book", book], vec!["snapshot", book]] {
        counterfoil(&arguments).ends(2, &[book, "in use", "one writer at a time"]);
    }
    held.close().unwrap();
    drop(held);
    counterfoil(&["snapshot", book]).succeeds();
}

#[test]
fn a_damaged_book_is_refused_wherever_a_byte_was_flipped() {
    let (_dir, book) = book();
    let log = fs::read_dir(&book)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ending| ending == "seg"))
        .unwrap();
    let sound = fs::read(&log).unwrap();
    let written = sound.iter().rposition(|byte| *byte != 0).unwrap();
    for share in [2, 3, 5, 50] {
        let mut damaged = sound.clone();
        damaged[written / share] ^= 0x10;
        fs::write(&log, damaged).unwrap();
        let ran = counterfoil(&["verify", book.to_str().unwrap()]);
        ran.ends(2, &["damaged", log.file_name().unwrap().to_str().unwrap(), "hint: "]);
        counterfoil(&["balance", book.to_str().unwrap()]).ends(2, &["damaged"]);
    }
    fs::write(&log, sound).unwrap();
    counterfoil(&["verify", book.to_str().unwrap()]).succeeds();
}

#[test]
fn damage_to_keys_and_snapshots_is_told_and_keeps_nobody_out() {
    let (_dir, book) = book();
    let path = book.to_str().unwrap();
    counterfoil(&["snapshot", path]).succeeds();
    for ending in ["keys", "snap"] {
        let files = fs::read_dir(&book).unwrap().map(|entry| entry.unwrap().path());
        let file = files.filter(|path| path.extension().is_some_and(|found| found == ending)).max();
        let file = file.unwrap();
        let sound = fs::read(&file).unwrap();
        let mut damaged = sound.clone();
        // The first secret that no customer has yet, and the first section.
        let byte = if ending == "keys" { 1_000 * 64 + 20 } else { 4_096 };
        damaged[byte] ^= 1;
        fs::write(&file, damaged).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        counterfoil(&["verify", path]).ends(1, &[name, "not sound"]);
        counterfoil(&["balance", path]).succeeds();
        fs::write(&file, sound).unwrap();
    }
    counterfoil(&["verify", path]).succeeds();
}

#[test]
fn a_directory_that_is_no_book_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("notes.txt");
    fs::write(&other, "not a book").unwrap();
    let path = dir.path().to_str().unwrap();
    for arguments in [
        vec!["events", path],
        vec!["balance", path],
        vec!["verify", path],
        vec!["verify", "/no/such/book"],
    ] {
        counterfoil(&arguments).ends(2, &[arguments[1], "not a book", "hint: "]);
    }
    let saas = example("saas");
    counterfoil(&["run", &saas, "--book", path]).ends(2, &[path, "not a book"]);
    assert_eq!(fs::read_to_string(&other).unwrap(), "not a book");
    assert!(!dir.path().join("MANIFEST").exists());
}

#[test]
fn it_says_what_it_is() {
    let version = counterfoil(&["--version"]).succeeds();
    assert_eq!(version, format!("counterfoil {}\n", env!("CARGO_PKG_VERSION")));
    let help = counterfoil(&["--help"]).succeeds();
    for fragment in ["run", "events", "explain", "balance", "verify", "Exit status", "Start here"] {
        assert!(help.contains(fragment), "no {fragment:?} in {help}");
    }
}

#[test]
fn the_meter_is_measured_and_loses_no_event() {
    let arguments = ["bench", "meter", "--events", "20000", "--batch", "700", "--threads", "2"];
    let json = counterfoil(&[&arguments[..], &["--json", "--repeats", "100"]].concat()).succeeds();
    let json: Value = serde_json::from_str(&json).unwrap();
    let of = |key: &str| json[key].as_u64().unwrap();
    assert_eq!(of("taken") + of("duplicates"), 20_000, "{json}");
    assert!((1_800..2_200).contains(&of("duplicates")), "{json}");
    assert_eq!(json["memory"]["identifiers"], json["taken"]);
    assert!(json["events_per_second"].as_f64().unwrap() > 0.0);
    let text = counterfoil(&[&arguments[..], &["--no-reserve"]].concat()).succeeds();
    for fragment in ["million events/s", "batches     of 700, 2 threads", "p99.9", "Bytes each"] {
        assert!(text.contains(fragment), "no {fragment:?} in {text}");
    }
    let dir = tempfile::tempdir().unwrap();
    let meters = beside(&dir, "meters");
    let durable = [&arguments[..], &["--durable", &meters, "--json"]].concat();
    let json: Value = serde_json::from_str(&counterfoil(&durable).succeeds()).unwrap();
    assert_eq!(json["durability"], "synced");
    assert!(fs::read_dir(&meters).unwrap().count() > 1);
    // It is not empty any more.
    counterfoil(&durable).ends(2, &[&meters, "already"]);
    counterfoil(&["bench", "meter", "--events", "3"]).ends(2, &["31..=4000000000"]);
}

#[test]
fn the_meter_is_measured_online_and_by_single_events() {
    let dir = tempfile::tempdir().unwrap();
    let (online, tickets, blocking) =
        (beside(&dir, "online"), beside(&dir, "tickets"), beside(&dir, "blocking"));
    let bench = ["bench", "meter", "--events", "5000", "--repeats", "100"];
    // More arguments, what says how long something took, and what the text says.
    let cases: [(&[&str], &str, &str); 4] = [
        (&["--online", "--batch", "500"], "query_seconds", "a query     p50"),
        (&["--online", "--durable", &online], "query_seconds", "batches     of 10000"),
        (&["--singles", "--durable", &tickets], "ack_seconds", "tickets     1024 unanswered of 8"),
        (
            &["--singles", "--tickets", "1", "--threads", "3", "--durable", &blocking],
            "ack_seconds",
            "one by one, from 3 threads",
        ),
    ];
    for (more, latencies, said) in cases {
        let words = [&bench[..], more].concat();
        let json = counterfoil(&[&words[..], &["--json"]].concat()).succeeds();
        let json: Value = serde_json::from_str(&json).unwrap();
        let of = |key: &str| json[key].as_u64().unwrap();
        assert_eq!((of("taken") + of("duplicates"), of("refused")), (5_000, 0), "{json}");
        assert!(json[latencies]["p99"].as_f64().unwrap() > 0.0, "{json}");
        for store in [&online, &tickets, &blocking] {
            let _ = fs::remove_dir_all(store);
        }
        let text = counterfoil(&words).succeeds();
        assert!(text.contains(said), "no {said:?} in {text}");
    }
    let alone = [&bench[..], &["--singles"]].concat();
    counterfoil(&alone).ends(2, &["--durable"]);
    let both = [&bench[..], &["--singles", "--online", "--durable", &tickets]].concat();
    counterfoil(&both).ends(2, &["cannot be used with"]);
}
