//! What a run says: tables in Markdown, and a plot beside them.

use std::{fmt::Write, fs, path::Path};

use counterfoil_compare::{
    Result,
    stats::{figure, range},
};

use crate::{
    Answer, Measured, Mode,
    child::{Kept, Percentiles, Recovery},
    page::{self, Section},
    plot,
    roster::Plan,
    rows::Totals,
    targets::{self, millions},
};

/// What was run.
pub struct Run<'a> {
    pub what: &'a str,
    pub detail: &'a str,
    /// Whether the targets are about it.
    pub target: bool,
    pub facts: Vec<(&'static str, String)>,
    pub plan: &'a Plan,
    pub rounds: usize,
    pub expected: Option<&'a Totals>,
    pub skipped: &'a [(String, String)],
    pub remark: Option<&'a str>,
    /// How the store was made that is opened again.
    pub built: Option<&'a Answer>,
}

/// The part of the processors that others may use before a figure says so.
const OTHERS_MAX: f64 = 0.15;

impl Run<'_> {
    fn title(&self) -> String {
        let what = self.what;
        let of = match self.plan.mode {
            Mode::Batch => "Batches",
            Mode::Online => "Online: a query after every batch",
            Mode::Singles => "Single events of eight threads",
            Mode::Growth if self.plan.durable => "Growth, durable",
            Mode::Growth => "Growth",
            Mode::Recovery => "Recovery",
        };
        format!("{of}, {what}")
    }

    fn key(&self) -> String {
        let durable = if self.plan.durable { "-durable" } else { "" };
        format!("{}{durable} {}", self.plan.mode.name(), self.what)
    }
}

/// Writes the section into the page and the plot beside it, and prints the section.
pub fn write(out: &Path, run: &Run<'_>, measured: &[Measured]) -> Result<()> {
    let plot = plot_of(out, run);
    let section = Section {
        key: run.key(),
        title: run.title(),
        targets: match run.target {
            true => targets::of(run.plan.mode, measured),
            false => Vec::new(),
        },
        body: body(run, measured, &plot)?,
    };
    if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let page = if out.exists() { fs::read_to_string(out)? } else { String::new() };
    fs::write(out, page::with_section(&page, &section))?;
    fs::write(out.with_file_name(&plot), svg(run, measured))?;
    println!("## {}\n\n{}", section.title, section.body);
    for target in &section.targets {
        let met = target.met.map_or("stated", |met| if met { "met" } else { "missed" });
        println!("{}: {}: {met}; aim: {}", target.id, target.figure, target.aim);
    }
    println!("\nwritten to {} and {plot} beside it", out.display());
    Ok(())
}

/// `METER-SPEED.md` has `METER-SPEED-online-W1.svg`.
fn plot_of(out: &Path, run: &Run<'_>) -> String {
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    let key = run.key().replace(|other: char| !other.is_ascii_alphanumeric() && other != '-', "-");
    format!("{stem}-{key}.svg")
}

fn svg(run: &Run<'_>, measured: &[Measured]) -> String {
    let bar = |one: &Measured| plot::Bar {
        name: one.side.name.clone(),
        value: one.rate(),
        range: range(&one.rates()),
        label: plot::rate(one.rate()),
        ours: one.side.ours,
    };
    let (about, bars): (_, Vec<plot::Bar>) = match run.plan.mode {
        Mode::Growth => ("nanoseconds of an event, of the last twentieth", growth_bars(measured)),
        Mode::Recovery => ("seconds until the first query is answered", recovery_bars(measured)),
        _ => ("million events/s", measured.iter().map(bar).collect()),
    };
    let subtitle = format!("{about}; medians of {} rounds; {}", run.rounds, run.detail);
    plot::svg(&run.title(), &subtitle, &bars)
}

fn growth_bars(measured: &[Measured]) -> Vec<plot::Bar> {
    let mut bars = Vec::new();
    for one in measured {
        for (at, name) in steps(one) {
            let of = |answer: &Answer| Some(answer.steps.get(at)?.here_nanos);
            let all: Vec<f64> = one.answers.iter().filter_map(of).collect();
            let value = one.middle(of);
            let (range, label) = (range(&all), format!("{} ns", figure(value)));
            bars.push(plot::Bar { name, value, range, label, ours: true });
        }
    }
    bars
}

/// Places of steps, and what a bar of each is called.
fn steps(one: &Measured) -> Vec<(usize, String)> {
    let steps = one.answers.first().map_or(&[][..], |answer| &answer.steps);
    let name = |events: u64| format!("{}, {} M", one.side.id, figure(events as f64 / 1e6));
    (0..).zip(steps).map(|(at, step)| (at, name(step.events))).collect()
}

fn recovery_bars(measured: &[Measured]) -> Vec<plot::Bar> {
    let of = |answer: &Answer| Some(answer.recovery?.first_query_seconds);
    let bar = |one: &Measured| {
        let all: Vec<f64> = one.answers.iter().filter_map(of).collect();
        let value = one.middle(of);
        let (name, label) = (one.side.name.clone(), format!("{} s", figure(value)));
        plot::Bar { name, value, range: range(&all), label, ours: true }
    };
    measured.iter().map(bar).collect()
}

fn body(run: &Run<'_>, measured: &[Measured], plot: &str) -> Result<String> {
    let mut text = String::new();
    let plan = run.plan;
    if let Some(remark) = run.remark {
        writeln!(text, "**{remark}**\n")?;
    }
    if cfg!(debug_assertions) {
        writeln!(text, "**Built without optimization: the figures mean nothing.**\n")?;
    }
    for (name, fact) in &run.facts {
        writeln!(text, "- {name}: {fact}")?;
    }
    writeln!(text, "- workload: {}: {}", run.what, run.detail)?;
    if let Some(Totals { rows, count, checksum, .. }) = run.expected {
        writeln!(
            text,
            "- events: {}, of which {} are different; {} rows of customer, meter and hour",
            grouped(plan.events),
            grouped(*count),
            grouped(*rows)
        )?;
        writeln!(text, "- results: equal on all sides, checksum {checksum:016x}")?;
    } else {
        writeln!(text, "- events: {}; their number and sum are right", grouped(plan.events))?;
    }
    writeln!(text, "- dedupe: exact; window: 35 days, the others for ever")?;
    writeln!(text, "- medians of {} rounds, each side in a process of its own\n", run.rounds)?;
    writeln!(text, "![{}]({plot})\n", run.title())?;
    match plan.mode {
        Mode::Growth => growth(&mut text, measured)?,
        Mode::Recovery => recovery(&mut text, run, measured)?,
        _ => speed(&mut text, plan.mode, measured)?,
    }
    used(&mut text, measured)?;
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

/// A table; all columns but the first are figures.
fn table(text: &mut String, head: &[&str], rows: &[Vec<String>]) -> Result<()> {
    writeln!(text, "| {} |", head.join(" | "))?;
    writeln!(text, "|---{}|", "|--:".repeat(head.len().saturating_sub(1)))?;
    for row in rows {
        writeln!(text, "| {} |", row.join(" | "))?;
    }
    writeln!(text)?;
    Ok(())
}

fn span(one: &Measured) -> String {
    let (low, high) = range(&one.rates());
    format!("{} – {}", millions(low), millions(high))
}

/// Median, 99 of 100, and the largest, in a unit of so many microseconds.
fn shares(one: &Measured, of: fn(&Answer) -> Option<Percentiles>, unit: f64) -> [String; 3] {
    let shares: [fn(Percentiles) -> f64; 3] = [|p| p.p50, |p| p.p99, |p| p.max];
    shares.map(|share| figure(one.middle(|answer| of(answer).map(share)) / unit))
}

fn speed(text: &mut String, mode: Mode, measured: &[Measured]) -> Result<()> {
    let first = measured.first().map_or(f64::NAN, Measured::rate);
    let row = |one: &Measured| {
        let events = one.side.events as f64;
        let per_event = |seconds: Option<f64>| seconds.map(|seconds| events / 1e6 / seconds);
        let nanos = |seconds: Option<f64>| seconds.map(|seconds| seconds * 1e9 / events);
        vec![
            one.side.name.clone(),
            grouped(one.side.events),
            one.side.threads.to_string(),
            millions(one.rate()),
            span(one),
            figure(one.middle(|answer| per_event(answer.first_seconds))),
            format!("{} ×", figure(first / one.rate())),
            figure(one.middle(|answer| nanos(answer.cpu_seconds))),
            figure(one.middle(|answer| Some(answer.load_seconds))),
            figure(one.middle(|answer| answer.read_seconds)),
        ]
    };
    let head = [
        "side",
        "events",
        "threads",
        "million events/s",
        "range",
        "first pass",
        "first ÷ this",
        "cpu ns",
        "load s",
        "read all s",
    ];
    table(text, &head, &measured.iter().map(row).collect::<Vec<_>>())?;
    writeln!(
        text,
        "*first pass*: the rate of the same before that, in memory as it came from the system, \
         where a side does it twice. *cpu ns*: of all processors, an event. *load*: until the \
         events were where the side starts from, not counted in the rate. *read all*: every row \
         read one by one afterwards, where a side does not end with a table of them.\n"
    )?;
    latencies(text, mode, measured)?;
    memory(text, measured)
}

fn latencies(text: &mut String, mode: Mode, measured: &[Measured]) -> Result<()> {
    let stall = |one: &Measured| {
        let stall = |answer: &Answer| answer.stall.map(|micros| micros / 1000.0);
        [figure(one.middle(stall)), figure(one.worst(stall))]
    };
    let mut rows = Vec::new();
    for one in measured {
        let mut row = vec![one.side.name.clone()];
        let answered = |of: fn(&Answer) -> Option<Percentiles>| {
            one.answers.iter().any(|answer| of(answer).is_some())
        };
        match mode {
            Mode::Singles => row.extend(shares(one, |answer| answer.ack, 1000.0)),
            Mode::Online => {
                row.extend(shares(one, |answer| answer.batch, 1000.0));
                row.extend(shares(one, |answer| answer.query, 1.0));
                row.extend(stall(one));
            }
            _ if answered(|answer| answer.batch) => {
                row.extend(shares(one, |answer| answer.batch, 1000.0));
                row.extend(stall(one));
            }
            _ => continue,
        }
        rows.push(row);
    }
    let (batch, stall) = (["batch ms p50", "p99", "max"], ["stall ms", "worst"]);
    let head: Vec<&str> = match mode {
        Mode::Singles => vec!["side", "acknowledgement ms p50", "p99", "max"],
        Mode::Online => {
            let query = ["query µs p50", "p99", "max"];
            [&["side"][..], &batch, &query, &stall].concat()
        }
        _ => [&["side"][..], &batch, &stall].concat(),
    };
    if rows.is_empty() {
        return Ok(());
    }
    table(text, &head, &rows)?;
    writeln!(
        text,
        "{} Medians over the rounds; *worst* is of all rounds.\n",
        match mode {
            Mode::Singles => "From giving an event to its acknowledgement.",
            Mode::Online =>
                "*batch*: from giving it to its acknowledgement. *query*: one customer's totals \
                 over all eight meters, for the month. *stall*: the longest time that a call \
                 kept its caller.",
            _ =>
                "*batch*: from giving it to its acknowledgement. *stall*: the longest time that \
                 a call kept its caller.",
        }
    )?;
    Ok(())
}

fn memory(text: &mut String, measured: &[Measured]) -> Result<()> {
    let row = |one: &Measured| {
        let kept: [fn(&Kept) -> f64; 4] = [
            |kept| kept.mib,
            |kept| kept.per_event,
            |kept| kept.per_identifier,
            |kept| kept.per_row,
        ];
        let kept = kept.map(|part| figure(one.middle(|answer| answer.kept.as_ref().map(part))));
        let peak = figure(one.middle(|answer| Some(answer.peak_mib)));
        [vec![one.side.name.clone(), peak], kept.to_vec()].concat()
    };
    let head = [
        "side",
        "peak MiB",
        "kept MiB",
        "bytes an event",
        "an identifier",
        "a row of customer, meter, hour",
    ];
    table(text, &head, &measured.iter().map(row).collect::<Vec<_>>())?;
    writeln!(
        text,
        "*peak*: of the process, with its input; of PostgreSQL without the server. *kept*: by \
         what it says of itself, room made ahead included.\n"
    )?;
    Ok(())
}

fn growth(text: &mut String, measured: &[Measured]) -> Result<()> {
    for one in measured {
        let rows: Vec<Vec<String>> = steps(one)
            .into_iter()
            .map(|(at, _)| {
                let of = |part: fn(&crate::child::Step) -> f64| {
                    figure(one.middle(|answer| answer.steps.get(at).map(part)))
                };
                let written = one.middle(|answer| answer.steps.get(at)?.checkpoint_seconds);
                vec![
                    of(|step| step.events as f64 / 1e6),
                    of(|step| step.mean_nanos),
                    of(|step| step.here_nanos),
                    of(|step| step.stall_millis),
                    of(|step| step.resident_mib),
                    of(|step| step.per_event),
                    of(|step| step.disk_mib),
                    figure(written),
                ]
            })
            .collect();
        let head = [
            "million events",
            "ns an event, of all",
            "of the last twentieth",
            "longest batch ms",
            "process MiB",
            "bytes an event",
            "disk MiB",
            "checkpoint s",
        ];
        let (mean, here) = targets::ratios(one);
        writeln!(
            text,
            "**{}**: at the end {} × what an event cost at the first step, of all so far; {} × \
             of the last twentieth. {} M events/s in all.\n",
            one.side.name,
            figure(mean),
            figure(here),
            figure(one.rate())
        )?;
        if let Some(why) = one.answers.iter().find_map(|answer| answer.stopped.as_deref()) {
            writeln!(text, "It was ended by a limit: {why}.\n")?;
        }
        table(text, &head, &rows)?;
    }
    writeln!(text, "Making the events is not counted. *longest batch*: so far.\n")?;
    Ok(())
}

fn recovery(text: &mut String, run: &Run<'_>, measured: &[Measured]) -> Result<()> {
    let none = || "-".to_owned();
    let row = |one: &Measured| {
        let replay = one.side.id.starts_with("replay");
        let of = |part: fn(&Recovery) -> f64| {
            figure(one.middle(|answer| answer.recovery.as_ref().map(part)))
        };
        vec![
            one.side.name.clone(),
            of(|recovery| recovery.open_seconds),
            of(|recovery| recovery.first_query_seconds),
            of(|recovery| recovery.warm_seconds),
            of(|recovery| recovery.replayed as f64),
            if replay { figure(one.rate()) } else { none() },
            if replay { span(one) } else { none() },
            figure(one.middle(|answer| Some(answer.peak_mib))),
        ]
    };
    let head = [
        "side",
        "open s",
        "first query s",
        "all warm s",
        "records replayed",
        "million events/s replayed",
        "range",
        "peak MiB",
    ];
    table(text, &head, &measured.iter().map(row).collect::<Vec<_>>())?;
    writeln!(
        text,
        "Seconds from the beginning of the opening. *all warm*: every customer's totals on every \
         meter were read. The rate is of all events in the store by the time until it is open.\n"
    )?;
    if let Some(Answer { seconds, recovery: Some(recovery), .. }) = run.built {
        writeln!(
            text,
            "The store was filled in {} s and its checkpoint written in {} s; it has {} MiB on \
             disk.\n",
            figure(*seconds),
            figure(recovery.open_seconds),
            figure(recovery.disk_mib)
        )?;
    }
    Ok(())
}

/// How each side is used.
fn used(text: &mut String, measured: &[Measured]) -> Result<()> {
    writeln!(text, "| side | durability | how it is used, and what was done before the clock |")?;
    writeln!(text, "|---|---|---|")?;
    for one in measured {
        writeln!(text, "| {} | {} | {} |", one.side.name, one.side.durability, one.side.remark)?;
    }
    Ok(())
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
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
