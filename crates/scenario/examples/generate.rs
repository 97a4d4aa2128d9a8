//! Writes the usage files of the scenarios under `examples/`.
//!
//! ```text
//! cargo run -p counterfoil-scenario --example generate
//! ```
//!
//! The files are committed; a test compares them with what this program makes, byte for byte. It
//! knows no clock and no other source of chance than the seeds below.

use std::fmt::Write as _;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for (name, text) in files() {
        let path = examples.join(name);
        std::fs::write(&path, &text)?;
        println!("{name}: {} lines", text.lines().count());
    }
    Ok(())
}

/// The usage files: a path under `examples/`, and what it holds.
pub fn files() -> Vec<(&'static str, String)> {
    vec![
        ("saas/storage-2028-02.csv", storage(4, (1_832_889_600, 29), 400)),
        ("saas/storage-2028-03.csv", storage(5, (1_835_395_200, 31), 490)),
        ("api/calls-2026-03.csv", calls()),
        ("api/late-2026-04-01.ndjson", late_calls()),
        ("llm/trace-2026-01.csv", trace()),
    ]
}

/// SplitMix64: every seed a sequence of its own, the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number from 0 to `bound` - 1, nearly even.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Whether one chance in `chances` came.
    fn once_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// A second of UTC, written in the forms that senders use.
#[derive(Clone, Copy)]
struct Time {
    unix: i64,
    nanos: u32,
}

impl Time {
    fn date_and_time(unix: i64) -> (String, String) {
        // The date of a day number, by years of 400 as they begin in March.
        let (days, second) = (unix.div_euclid(86_400) + 719_468, unix.rem_euclid(86_400));
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        (
            format!("{year:04}-{month:02}-{day:02}"),
            format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60),
        )
    }

    /// As a trace writes it: a space, seven digits, no zone.
    fn as_trace(self) -> String {
        let (date, time) = Self::date_and_time(self.unix);
        format!("{date} {time}.{:07}", self.nanos / 100)
    }

    /// In one of the six forms that the senders of the API's calls use.
    fn messy(self, form: u64) -> String {
        let (date, time) = Self::date_and_time(self.unix);
        let east = Self::date_and_time(self.unix + 2 * 3_600);
        let west = Self::date_and_time(self.unix - 5 * 3_600);
        match form {
            0 => format!("{date} {time}.{:09}", self.nanos),
            1 => format!("{date}T{time}.{:03}Z", self.nanos / 1_000_000),
            2 => format!("{}T{}+02:00", east.0, east.1),
            3 => format!("{} {}.{:06}-0500", west.0, west.1, self.nanos / 1_000),
            4 => self.unix.to_string(),
            _ => format!("{date} {time}"),
        }
    }
}

const MARCH: i64 = 1_772_323_200;
const JANUARY: i64 = 1_767_225_600;
const DAY: i64 = 86_400;

/// The gigabytes that one customer stores, read at noon of each day.
fn storage(seed: u64, (first, days): (i64, i64), gigabytes: u64) -> String {
    let mut random = Random(seed);
    let mut text = "day,customer,gigabytes\n".to_owned();
    let mut tenths = 10 * gigabytes;
    for day in 0..days {
        let (date, time) = Time::date_and_time(first + day * DAY + DAY / 2);
        tenths += random.below(60);
        let _ = writeln!(text, "{date}T{time}Z,cus_ada,{}.{}", tenths / 10, tenths % 10);
    }
    text
}

/// A call of the API, as a sender reports it.
struct Call {
    time: Time,
    form: u64,
    customer: &'static str,
    calls: String,
    request: String,
}

impl Call {
    fn row(&self) -> String {
        let time = self.time.messy(self.form);
        format!("{time},{},{},{}\r\n", self.customer, self.calls, self.request)
    }

    fn json(&self) -> String {
        format!(
            "{{\"time\":\"{}\",\"customer\":\"{}\",\"calls\":{},\"request_id\":\"{}\"}}\n",
            self.time.messy(self.form),
            self.customer,
            self.calls,
            self.request
        )
    }
}

/// Calls at the edges of periods, to the nanosecond: the last instant outside, and the first in.
fn edge_calls() -> Vec<Call> {
    let vega = MARCH + 13 * 3_600 + 37 * 60 + 42;
    let edges = [
        ("cus_orion", MARCH - 1, 999_999_999, "1001", "edge-orion-before"),
        ("cus_orion", MARCH, 0, "2002", "edge-orion-first"),
        ("cus_orion", MARCH + 31 * DAY - 1, 999_999_999, "3003", "edge-orion-last"),
        ("cus_orion", MARCH + 31 * DAY, 0, "4004", "edge-orion-after"),
        ("cus_vega", vega - 1, 999_999_999, "1001", "edge-vega-before"),
        ("cus_vega", vega, 0, "2002", "edge-vega-first"),
    ];
    edges
        .map(|(customer, unix, nanos, calls, request)| Call {
            time: Time { unix, nanos },
            form: 0,
            customer,
            calls: calls.into(),
            request: request.into(),
        })
        .into()
}

/// A month of calls in the order in which they arrived: late by up to a day, some sent twice, some
/// broken.
fn calls() -> String {
    let mut random = Random(2);
    let mut arrivals = Vec::new();
    for number in 0..1_500_u64 {
        let unix = MARCH + i64::try_from(random.below(31 * 86_400)).unwrap_or(0);
        let time = Time { unix, nanos: u32::try_from(random.below(1_000_000_000)).unwrap_or(0) };
        let form = random.below(6);
        let customer = ["cus_orion", "cus_orion", "cus_vega", "cus_lyra"]
            [usize::try_from(random.below(4)).unwrap_or(0)];
        let calls = (1 + random.below(300)).to_string();
        let delay = if random.once_in(5) { random.below(86_400) } else { random.below(60) };
        let arrived = unix + i64::try_from(delay).unwrap_or(0);
        let mut call = Call { time, form, customer, calls, request: format!("req-{number:05}") };
        let row = call.row();
        if random.once_in(25) {
            // Sent again, as it was.
            arrivals.push((arrived + 30, 2 * number + 1, row.clone()));
        } else if random.once_in(60) {
            // The same request with another count: the first one to arrive counts.
            call.calls = "9999".into();
            arrivals.push((arrived + 90, 2 * number + 1, call.row()));
        }
        arrivals.push((arrived, 2 * number, row));
    }
    for (place, call) in (3_000..).zip(edge_calls()) {
        arrivals.push((call.time.unix + 5, place, call.row()));
    }
    arrivals.sort();
    let mut rows: Vec<String> = arrivals.into_iter().map(|(_, _, row)| row).collect();
    for (place, broken) in [
        (200, "2026-03-05T25:00:00Z,cus_orion,10,broken-time"),
        (400, "2026-03-09 08:00:00,cus_nobody,10,broken-customer"),
        (600, "2026-03-13 08:00:00,cus_vega,ten,broken-value"),
        (800, "2026-03-17 08:00:00,cus_vega,10"),
        (1_000, "2025-03-21 08:00:00,cus_lyra,10,broken-year"),
    ] {
        rows.insert(place, format!("{broken}\r\n"));
    }
    format!("time,customer,calls,request_id\r\n{}", rows.concat())
}

/// What arrived after the month was over, as JSON lines: for one customer too late, for the other
/// just in time; and the same calls once more.
fn late_calls() -> String {
    let mut random = Random(3);
    let vega = MARCH + 31 * DAY + 13 * 3_600 + 37 * 60 + 42;
    let mut calls = Vec::new();
    for number in 0..60 {
        let unix = MARCH + 30 * DAY + i64::try_from(random.below(86_400)).unwrap_or(0);
        let customer = if random.once_in(3) { "cus_orion" } else { "cus_vega" };
        calls.push(Call {
            time: Time { unix, nanos: 0 },
            form: 1 + random.below(2),
            customer,
            calls: (1 + random.below(300)).to_string(),
            request: format!("late-{number:03}"),
        });
    }
    for (unix, nanos, calls_, request) in
        [(vega - 1, 999_999_999, "5005", "edge-vega-last"), (vega, 0, "6006", "edge-vega-after")]
    {
        calls.push(Call {
            time: Time { unix, nanos },
            form: 0,
            customer: "cus_vega",
            calls: calls_.into(),
            request: request.into(),
        });
    }
    let mut lines: Vec<String> = calls.iter().map(Call::json).collect();
    let again: Vec<String> = lines.iter().step_by(7).cloned().collect();
    lines.extend(again);
    lines.concat()
}

/// A month of completions in the columns of a trace, with the customer added. Lines end in CRLF,
/// the last one without.
fn trace() -> String {
    let mut random = Random(1);
    let mut rows = Vec::new();
    for number in 0..3_600_u64 {
        let unix = JANUARY + i64::try_from(random.below(31 * 86_400)).unwrap_or(0);
        let nanos = u32::try_from(random.below(1_000_000_000)).unwrap_or(0);
        let time = Time { unix, nanos };
        let customer =
            ["cus_atlas", "cus_atlas", "cus_atlas", "cus_borea", "cus_borea", "cus_coral"]
                [usize::try_from(random.below(6)).unwrap_or(0)];
        // Contexts spread evenly over powers of two, from 32 to 16,383 tokens.
        let scale = 32 << random.below(9);
        let context = scale + random.below(scale);
        let generated = 3 + random.below(12) * random.below(40);
        rows.push((
            unix,
            nanos,
            number,
            format!("{},{customer},{context},{generated}", time.as_trace()),
        ));
    }
    rows.sort();
    let mut text = "TIMESTAMP,Customer,ContextTokens,GeneratedTokens".to_owned();
    for (_, _, _, row) in &rows {
        text.push_str("\r\n");
        text.push_str(row);
    }
    text
}
