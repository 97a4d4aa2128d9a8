//! Blocks of every form ever written are read: a log keeps them for good.
//!
//! `tests/blocks` holds, for each form, the bytes of three blocks and what they say. With
//! `COUNTERFOIL_BLESS=1` the files of the present form are written where they are missing, and
//! never written again: a new form gets new files, and a reader for the old ones.
#![allow(clippy::disallowed_methods, reason = "the test keeps files, the crate does not")]

mod fixture;

use counterfoil_core::{EventTime, Timestamp};
use counterfoil_meter::{
    AdjustPolicy, Adjustment, AdmitContext, Aggregator, Anyone, Block, CustomerIds,
    DimensionColumn, EventColumns, EventNames, Formula, Identifiers, MeterConfig, Position,
    Strings, Values,
};
use fixture::{at, decimal, meter};
use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

/// The form that blocks are written in.
const FORM: u16 = 3;
const NOW: &str = "2025-03-15T12:00:00Z";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/blocks")
}

fn meters() -> Aggregator {
    let mut meters = Aggregator::default();
    let config = MeterConfig::new("tokens", Formula::Sum).with_dimensions(["model", "kind"]);
    meters.define(meter(1), config).unwrap();
    meters.define(meter(2), MeterConfig::new("calls", Formula::Count)).unwrap();
    meters
}

/// Texts, dimensions, and a value that is no millionths; numbers and two meters; adjustments.
fn blocks() -> [(&'static str, Block); 3] {
    let mut meters = meters();
    let ctx = AdmitContext::new(at(NOW), &Anyone);
    let time = EventTime::from_timestamp(at(NOW)).unwrap().nanos();
    let times = [time, time - 1];
    let earlier = [time - 3_600_000_000_000, time];
    let values = [decimal("-1.5"), decimal("0.000000000001")];
    let texts = EventColumns::of(
        EventNames::One("tokens"),
        Identifiers::Texts(Strings::new("ab\u{e9}", &[1, 4]).unwrap()),
        CustomerIds::Texts(Strings::new("cus_1cus_2", &[5, 10]).unwrap()),
        Some(&times),
        Values::Decimals(&values),
    );
    let of = |name, text, ends| {
        let values = Strings::new(text, ends).unwrap();
        DimensionColumn { name, values, codes: &[0, 1] }
    };
    let dimensions = [of("model", "largesmall", &[5, 10]), of("kind", "inout", &[2, 5])];
    let texts = texts.unwrap().with_dimensions(&dimensions).unwrap();
    let texts = meters.admit(texts, &ctx).block.unwrap();
    meters.apply(Position(1), &texts);
    let mut plain = Aggregator::default();
    plain.define(meter(2), MeterConfig::new("calls", Formula::Count)).unwrap();
    plain.define(meter(3), MeterConfig::new("bytes", Formula::Max)).unwrap();
    let numbers = EventColumns::of(
        EventNames::Coded { names: &["calls", "bytes"], codes: &[0, 1] },
        Identifiers::Numbers(&[1, u128::MAX]),
        CustomerIds::Numbers(&[7, 8]),
        Some(&earlier),
        Values::Units { units: &[5, i64::MAX / 10], digits: 6 },
    );
    let numbers = plain.admit(numbers.unwrap(), &ctx).block.unwrap();
    let correct = Adjustment::Correct(decimal("2.25"));
    let adjusted =
        meters.admit_adjustment("tokens", "a", correct, AdjustPolicy::Day, at(NOW)).unwrap();
    [("texts", texts), ("numbers", numbers), ("adjusted", adjusted)]
}

/// All that a block says.
fn said(block: &Block) -> String {
    let received: Timestamp = block.received_at();
    let mut text = format!("received {received}\n");
    for id in block.meters() {
        writeln!(text, "meter {id}").unwrap();
    }
    for event in block.events() {
        let (time, named) = (event.time.nanos(), event.dimensions.join(","));
        let (meter, identifier, customer) = (event.meter, event.identifier, event.customer);
        writeln!(text, "{meter} {identifier} {customer} {time} {} [{named}]", event.value).unwrap();
    }
    block.cancelled().for_each(|identifier| writeln!(text, "cancelled {identifier}").unwrap());
    for (identifier, value) in block.corrected() {
        writeln!(text, "corrected {identifier} {value}").unwrap();
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    let lines = bytes.chunks(32).map(|line| {
        line.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        }) + "\n"
    });
    lines.collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

#[test]
fn blocks_of_every_form_are_read() {
    let bless = env::var_os("COUNTERFOIL_BLESS").is_some();
    for (name, block) in blocks() {
        let bytes = folder().join(format!("{name}-{FORM}.hex"));
        if !bytes.exists() && bless {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&bytes, hex(&block.encode().unwrap())).unwrap();
            fs::write(bytes.with_extension("txt"), said(&block)).unwrap();
        }
        assert_eq!(
            hex(&block.encode().unwrap()),
            fs::read_to_string(&bytes).unwrap(),
            "{name}: the form of blocks changed: raise FORM here and VERSION of blocks, read the \
             old form too, and run once with COUNTERFOIL_BLESS=1"
        );
    }
    let mut read = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "hex") {
            let block = Block::decode(&unhex(&fs::read_to_string(&path).unwrap())).unwrap();
            let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
            assert_eq!(said(&block), expected, "{}", path.display());
            read += 1;
        }
    }
    assert!(read >= 3, "{read}");
}
