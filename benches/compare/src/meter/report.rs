//! What a run says: a table in Markdown, and a plot beside it.

use std::{fmt::Write, fs, path::Path};

use counterfoil_compare::{
    Result,
    stats::{figure, median, range},
};

use crate::{Measured, child::Percentiles, plot, roster::Plan, rows::Totals};

/// What was run.
pub struct Run<'a> {
    pub what: String,
    pub facts: Vec<(&'static str, String)>,
    pub plan: &'a Plan,
    pub rounds: usize,
    pub expected: &'a Totals,
    pub skipped: &'a [(String, String)],
    pub remark: Option<&'a str>,
}

/// The part of the processors that others may use before a figure says so.
const OTHERS_MAX: f64 = 0.15;

impl Measured {
    fn rates(&self) -> Vec<f64> {
        let events = self.side.events as f64;
        self.answers.iter().map(|answer| events / answer.seconds / 1e6).collect()
    }

    fn rate(&self) -> f64 {
        median(self.rates())
    }

    /// Million events a second, in memory as it came.
    fn first_pass(&self) -> f64 {
        let events = self.side.events as f64 / 1e6;
        self.middle(|answer| answer.first_seconds.map(|seconds| events / seconds))
    }

    /// Processor time of an event.
    fn cpu_nanos(&self) -> f64 {
        let events = self.side.events as f64;
        self.middle(|answer| answer.cpu_seconds.map(|seconds| seconds * 1e9 / events))
    }

    fn middle(&self, of: impl Fn(&crate::Answer) -> Option<f64>) -> f64 {
        median(self.answers.iter().filter_map(of))
    }
}

/// Writes the table to a file and the plot beside it, and prints the table.
pub fn write(out: &Path, run: &Run<'_>, measured: &[Measured]) -> Result<()> {
    let plot = out.with_extension("svg");
    let text = markdown(run, measured, &plot)?;
    if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    fs::write(out, &text)?;
    let bars: Vec<plot::Bar> = measured
        .iter()
        .map(|one| plot::Bar {
            name: one.side.name.clone(),
            rate: one.rate(),
            range: range(&one.rates()),
            ours: one.side.ours,
        })
        .collect();
    let title = match run.plan.online {
        true => "Usage events taken in, with a query after each batch",
        false => "Usage events deduplicated and added up, per customer, meter and hour",
    };
    let subtitle = format!("million events/s, medians of {} rounds; {}", run.rounds, run.what);
    fs::write(&plot, plot::svg(title, &subtitle, &bars))?;
    println!("{text}");
    println!("written to {} and {}", out.display(), plot.display());
    Ok(())
}

fn markdown(run: &Run<'_>, measured: &[Measured], plot: &Path) -> Result<String> {
    let mut text = String::new();
    let plan = run.plan;
    writeln!(text, "# The meter beside others\n")?;
    writeln!(
        text,
        "Written by `just bench-meter`; [benches/compare](../benches/compare/README.md)"
    )?;
    writeln!(text, "says what runs and how to read it.\n")?;
    if let Some(remark) = run.remark {
        writeln!(text, "**{remark}**\n")?;
    }
    if cfg!(debug_assertions) {
        writeln!(text, "**Built without optimization: the figures mean nothing.**\n")?;
    }
    for (name, fact) in &run.facts {
        writeln!(text, "- {name}: {fact}")?;
    }
    let Totals { rows, count, checksum, .. } = run.expected;
    writeln!(text, "- workload: {}", run.what)?;
    writeln!(
        text,
        "- events: {}, of which {} are different; {} rows of customer, meter and hour",
        grouped(plan.events),
        grouped(*count),
        grouped(*rows)
    )?;
    writeln!(text, "- results: equal on all sides, checksum {checksum:016x}")?;
    writeln!(text, "- batches of {}; dedupe: exact; window: 35 days, the others for ever", {
        grouped(plan.batch.into())
    })?;
    writeln!(text, "- medians of {} rounds, each side in a process of its own\n", run.rounds)?;
    let name = plot.file_name().unwrap_or_default().to_string_lossy();
    writeln!(text, "![events per second]({name})\n")?;
    if plan.online {
        online(&mut text, measured)?
    } else {
        batch(&mut text, measured)?
    }
    for (engine, reason) in run.skipped {
        writeln!(text, "\n{engine} was skipped: {reason}.")?;
    }
    let busy = measured.iter().filter(|one| one.others > OTHERS_MAX);
    let busy: Vec<&str> = busy.map(|one| one.side.name.as_str()).collect();
    if !busy.is_empty() {
        writeln!(text, "\nOthers used the processors while these ran: {}.", busy.join("; "))?;
    }
    Ok(text)
}

/// How many times as fast as a side the first one is.
fn ratio(first: f64, one: &Measured) -> String {
    format!("{} ×", figure(first / one.rate()))
}

fn span(one: &Measured) -> String {
    let (low, high) = range(&one.rates());
    format!("{} – {}", figure(low), figure(high))
}

fn batch(text: &mut String, measured: &[Measured]) -> Result<()> {
    writeln!(
        text,
        "| side | events | threads | million events/s | range | first pass | first ÷ this | cpu ns | load s | \
         read all s | peak MiB | kept MiB | durability | before the clock; how it is used |"
    )?;
    writeln!(text, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|---|")?;
    let first = measured.first().map_or(f64::NAN, Measured::rate);
    for one in measured {
        let cells = [
            one.side.name.clone(),
            grouped(one.side.events),
            one.side.threads.to_string(),
            figure(one.rate()),
            span(one),
            figure(one.first_pass()),
            ratio(first, one),
            figure(one.cpu_nanos()),
            figure(one.middle(|answer| Some(answer.load_seconds))),
            figure(one.middle(|answer| answer.read_seconds)),
            figure(one.middle(|answer| Some(answer.peak_mib))),
            figure(one.middle(|answer| answer.kept_mib)),
            one.side.durability.to_owned(),
            one.side.remark.to_owned(),
        ];
        writeln!(text, "| {} |", cells.join(" | "))?;
    }
    writeln!(
        text,
        "\n*first pass*: the rate of the same before that, in memory as it came from the system. \
         *cpu ns*: \
         of all processors, an event. *load*: until the events were where the side starts from, not counted in the rate. *read \
         all*: every row\nread one by one afterwards, where a side does not end with a table of \
         them. *peak*: of the process, with its input."
    )?;
    Ok(())
}

fn online(text: &mut String, measured: &[Measured]) -> Result<()> {
    writeln!(
        text,
        "| side | events | million events/s | range | first pass | first ÷ this | cpu ns | batch µs p50 | p99 | max | \
         query µs p50 | p99 | max | durability | before the clock; how it is used |"
    )?;
    writeln!(text, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|---|")?;
    let first = measured.first().map_or(f64::NAN, Measured::rate);
    for one in measured {
        let mut cells = vec![
            one.side.name.clone(),
            grouped(one.side.events),
            figure(one.rate()),
            span(one),
            figure(one.first_pass()),
            ratio(first, one),
            figure(one.cpu_nanos()),
        ];
        let parts: [fn(&crate::Answer) -> Option<Percentiles>; 2] = [|a| a.batch, |a| a.query];
        for part in parts {
            let shares: [fn(Percentiles) -> f64; 3] = [|p| p.p50, |p| p.p99, |p| p.max];
            cells.extend(shares.map(|share| figure(one.middle(|answer| part(answer).map(share)))));
        }
        cells.extend([one.side.durability.to_owned(), one.side.remark.to_owned()]);
        writeln!(text, "| {} |", cells.join(" | "))?;
    }
    writeln!(text, "\nA query is of one customer's totals over all eight meters.")?;
    Ok(())
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
