//! The targets P1 to P8, and what a run says of them. They are about the workload W1 on two cores.

use counterfoil_compare::stats::{figure, median, range};

use crate::{Measured, Mode, child::Percentiles, page::Target, report::grouped};

impl Measured {
    pub fn rates(&self) -> Vec<f64> {
        let events = |answer: &crate::Answer| match answer.steps.last() {
            Some(step) => step.events,
            None => self.side.events,
        };
        let rate = |answer| events(answer) as f64 / answer.seconds / 1e6;
        self.answers.iter().map(rate).collect()
    }

    /// Million events a second, the median of all rounds.
    pub fn rate(&self) -> f64 {
        median(self.rates())
    }

    /// The median of what a part of the answers says.
    pub fn middle(&self, of: impl Fn(&crate::Answer) -> Option<f64>) -> f64 {
        median(self.answers.iter().filter_map(of))
    }

    /// The largest of it in all rounds.
    pub fn worst(&self, of: impl Fn(&crate::Answer) -> Option<f64>) -> f64 {
        self.answers.iter().filter_map(of).fold(f64::NAN, f64::max)
    }

    fn spread(&self) -> String {
        let (low, high) = range(&self.rates());
        format!("{} M/s ({} – {})", millions(self.rate()), millions(low), millions(high))
    }
}

/// Millions in a second, with three digits also where they are few.
pub fn millions(rate: f64) -> String {
    if rate < 0.1 { format!("{rate:.4}") } else { figure(rate) }
}

/// All sides of a run.
struct Sides<'a>(&'a [Measured]);

impl<'a> Sides<'a> {
    fn of(&self, id: &str) -> Option<&'a Measured> {
        self.0.iter().find(|one| one.side.id == id)
    }

    /// The fastest of some.
    fn best(&self, ids: &[&str]) -> Option<&'a Measured> {
        let sides = ids.iter().filter_map(|id| self.of(id));
        sides.max_by(|a, b| a.rate().total_cmp(&b.rate()))
    }

    /// The fastest of others, and how many times as fast a side is.
    fn beside(&self, ours: Option<&Measured>, ids: &[&str]) -> (String, f64) {
        let (Some(ours), Some(best)) = (ours, self.best(ids)) else {
            return ("none was measured".to_owned(), f64::NAN);
        };
        let ratio = ours.rate() / best.rate();
        let Measured { side, .. } = best;
        let (rate, events) = (millions(best.rate()), grouped(side.events));
        let text =
            format!("{}: {rate} M/s with {events} events; {} × as fast", side.name, figure(ratio));
        (text, ratio)
    }
}

type Of = fn(&crate::Answer) -> Option<Percentiles>;

fn p99(side: &Measured, of: Of) -> f64 {
    side.middle(|answer| of(answer).map(|of| of.p99))
}

fn p50(side: &Measured, of: Of) -> f64 {
    side.middle(|answer| of(answer).map(|of| of.p50))
}

/// What a run says of the targets.
pub fn of(mode: Mode, measured: &[Measured]) -> Vec<Target> {
    let sides = Sides(measured);
    let targets = match mode {
        Mode::Batch => vec![in_memory(&sides), alone(&sides), durable(&sides), memory(&sides)],
        Mode::Online => vec![online(&sides)],
        Mode::Singles => vec![singles(&sides)],
        Mode::Growth => vec![growth(&sides)],
        Mode::Recovery => vec![recovery(&sides)],
    };
    targets.into_iter().flatten().collect()
}

fn in_memory(sides: &Sides<'_>) -> Option<Target> {
    let (ours, growing) = (sides.of("reserved")?, sides.of("growing")?);
    let (other, ratio) = sides.beside(Some(ours), &["duckdb", "polars", "chdb"]);
    let first = ours.side.events as f64 / 1e6 / ours.middle(|answer| answer.first_seconds);
    Some(Target {
        id: "P1",
        what: "batch in memory, exact, 2 threads, room made ahead",
        aim: "≥ 60 M/s and ≥ 10 × the best of DuckDB, Polars, ClickHouse; without room stated",
        figure: format!(
            "{}; {} M/s in memory as it came; growing {}; {} events",
            ours.spread(),
            figure(first),
            growing.spread(),
            grouped(ours.side.events)
        ),
        met: Some(ours.rate() >= 60.0 && ratio >= 10.0),
        other,
    })
}

fn alone(sides: &Sides<'_>) -> Option<Target> {
    let ours = sides.of("reserved-1")?;
    let (other, _) = sides.beside(Some(ours), &["fast-maps"]);
    Some(Target {
        id: "P2",
        what: "the same with 1 thread",
        aim: "≥ 30 M/s",
        figure: ours.spread(),
        met: Some(ours.rate() >= 30.0),
        other,
    })
}

fn durable(sides: &Sides<'_>) -> Option<Target> {
    let ways = |ids: [&str; 2]| ids.map(|id| sides.of(id));
    let said = |side: &Measured| {
        format!("{}: {}, commit p99 {} ms", side.side.name, side.spread(), millis(commit(side)))
    };
    let met = |sides: [Option<&Measured>; 2], rate: f64| {
        let meets = |side: &Measured| side.rate() >= rate && commit(side) <= 1000.0;
        sides.into_iter().flatten().any(meets)
    };
    let (reserved, growing) =
        (ways(["durable", "durable-held"]), ways(["durable-growing", "durable-growing-held"]));
    let all = reserved.into_iter().chain(growing).flatten();
    let best = sides.best(&["durable", "durable-held"]);
    let others = ["duckdb-key", "duckdb-append", "sqlite", "postgres"];
    Some(Target {
        id: "P3",
        what: "batches of 10,000, each on disk before it is acknowledged, then queryable",
        aim: "≥ 25 M/s with room made ahead, ≥ 10 M/s without; commit p99 ≤ 1 ms",
        figure: all.map(said).collect::<Vec<_>>().join("; "),
        met: Some(met(reserved, 25.0) && met(growing, 10.0)),
        other: sides.beside(best, &others).0,
    })
}

fn commit(side: &Measured) -> f64 {
    p99(side, |answer| answer.batch)
}

fn millis(micros: f64) -> String {
    figure(micros / 1000.0)
}

fn memory(sides: &Sides<'_>) -> Option<Target> {
    let of = |side: &Measured| {
        let kept =
            |of: fn(&crate::child::Kept) -> f64| side.middle(|answer| answer.kept.as_ref().map(of));
        (kept(|kept| kept.per_identifier), kept(|kept| kept.per_row))
    };
    let (reserved, growing) = (of(sides.of("reserved")?), of(sides.of("growing")?));
    let said = |(identifier, row): (f64, f64)| {
        format!("{} B an identifier, {} B a group", figure(identifier), figure(row))
    };
    let met = |(identifier, row): (f64, f64)| identifier <= 24.0 && row <= 56.0;
    Some(Target {
        id: "P6",
        what: "memory of a live identifier; of a group of customer, meter and hour",
        aim: "≤ 24 B; ≤ 56 B",
        figure: format!("{}; growing {}", said(reserved), said(growing)),
        met: Some(met(reserved)),
        other: String::new(),
    })
}

fn online(sides: &Sides<'_>) -> Option<Target> {
    let stall = |side: &Measured| side.worst(|answer| answer.stall);
    let meets = |side: &&Measured| {
        let (p50, p99) = (p50(side, |answer| answer.query), p99(side, |answer| answer.query));
        side.rate() >= 20.0 && p50 <= 1.0 && p99 <= 10.0 && stall(side) <= 5000.0
    };
    let said = |side: &Measured| {
        format!(
            "{}: {}, query p50 {} µs, p99 {} µs, longest stall {} ms",
            side.side.name,
            side.spread(),
            figure(p50(side, |answer| answer.query)),
            figure(p99(side, |answer| answer.query)),
            millis(stall(side))
        )
    };
    let ours = ["durable", "durable-held"];
    let both: Vec<&Measured> = ours.iter().filter_map(|id| sides.of(id)).collect();
    let best = sides.best(&ours)?;
    let others = ["sqlite", "redis", "postgres", "duckdb-key", "duckdb-append"];
    let mut other = sides.beside(Some(best), &others).0;
    if let Some(fastest) = sides.best(&others) {
        let query = p50(fastest, |answer| answer.query);
        other.push_str(&format!("; its query p50 {} µs", figure(query)));
    }
    Some(Target {
        id: "P4",
        what: "the same with a query after every batch: one customer's totals on all meters",
        aim: "≥ 20 M/s; query p50 ≤ 1 µs, p99 ≤ 10 µs; no stall above 5 ms",
        figure: both.iter().map(|side| said(side)).collect::<Vec<_>>().join("; "),
        met: Some(both.iter().any(meets)),
        other,
    })
}

fn singles(sides: &Sides<'_>) -> Option<Target> {
    let ids = ["tickets", "tickets-alone", "tickets-fewer"];
    let ours: Vec<&Measured> = ids.iter().filter_map(|id| sides.of(id)).collect();
    let blocking = sides.of("blocking")?;
    let ack = |side: &Measured| p99(side, |answer| answer.ack);
    let said = |side: &Measured| {
        let name = &side.side.name;
        format!("{name}: {}, ack p99 {} ms", side.spread(), millis(ack(side)))
    };
    let figures = ours.iter().map(|side| said(side)).chain([said(blocking)]);
    let mut other = sides.beside(sides.best(&ids), &["redis"]).0;
    if let Some(redis) = sides.of("redis-blocking") {
        other.push_str(&format!("; blocking {}", redis.spread()));
    }
    Some(Target {
        id: "P5",
        what: "single events of 8 threads, durable, up to 1,024 unanswered each; and blocking",
        aim: "≥ 1 M/s, ack p99 ≤ 5 ms; blocking stated",
        figure: figures.collect::<Vec<_>>().join("; "),
        met: Some(ours.iter().any(|side| side.rate() >= 1.0 && ack(side) <= 5000.0)),
        other,
    })
}

/// What an event costs in the end, by what it cost after the first twentieth: of all so far, and of
/// the last ones alone.
pub fn ratios(side: &Measured) -> (f64, f64) {
    let of = |nanos: fn(&crate::child::Step) -> f64| {
        side.middle(|answer| Some(nanos(answer.steps.last()?) / nanos(answer.steps.first()?)))
    };
    (of(|step| step.mean_nanos), of(|step| step.here_nanos))
}

/// How far growth is to be measured.
const AIM_EVENTS: u64 = 200_000_000;

fn growth(sides: &Sides<'_>) -> Option<Target> {
    let said = |side: &Measured| {
        let (mean, here) = ratios(side);
        let first = side.middle(|answer| Some(answer.steps.first()?.events as f64));
        let last = side.middle(|answer| Some(answer.steps.last()?.events as f64));
        let stopped = side.answers.iter().find_map(|answer| answer.stopped.as_deref());
        let stopped = stopped.map_or(String::new(), |why| format!(", ended by {why}"));
        format!(
            "{}: {} × of all so far, {} × of the last, at {} M by {} M events{stopped}",
            side.side.name,
            figure(mean),
            figure(here),
            figure(last / 1e6),
            figure(first / 1e6)
        )
    };
    let ours: Vec<&Measured> = sides.0.iter().collect();
    let meets = |side: &&Measured| {
        let (mean, here) = ratios(side);
        let whole = side.answers.iter().all(|answer| answer.stopped.is_none());
        whole && mean <= 1.5 && here <= 1.5
    };
    // A shorter run can miss the target, but it cannot meet it.
    let long = |side: &&Measured| {
        side.answers.iter().all(|a| a.steps.last().is_some_and(|step| step.events >= AIM_EVENTS))
    };
    let met = match ours.iter().all(meets) {
        false => Some(false),
        true => ours.iter().all(long).then_some(true),
    };
    Some(Target {
        id: "P7",
        what: "growth: cost of an event at 200 M by that at 10 M, all kept; 1,000 M in 12 GB",
        aim: "≤ 1.5 ×; runs through, rate stated",
        figure: ours.iter().map(|side| said(side)).collect::<Vec<_>>().join("; "),
        met,
        other: String::new(),
    })
}

fn recovery(sides: &Sides<'_>) -> Option<Target> {
    let of = |side: &Measured, part: fn(&crate::child::Recovery) -> f64| {
        side.middle(|answer| answer.recovery.as_ref().map(part))
    };
    let checkpoint = sides.of("checkpoint")?;
    let first = |side: &Measured| of(side, |recovery| recovery.first_query_seconds);
    let warm = of(checkpoint, |recovery| recovery.warm_seconds);
    let mut figure_of =
        format!("first query {} s, all warm {} s", figure(first(checkpoint)), figure(warm));
    if let Some(cold) = sides.of("checkpoint-cold") {
        figure_of.push_str(&format!(" (from disk {} s)", figure(first(cold))));
    }
    let replay = sides.of("replay")?;
    figure_of.push_str(&format!("; replay {}", replay.spread()));
    if let Some(cold) = sides.of("replay-cold") {
        figure_of.push_str(&format!(", from disk {}", cold.spread()));
    }
    figure_of.push_str(&format!("; {} events", grouped(replay.side.events)));
    Some(Target {
        id: "P8",
        what: "recovery with a checkpoint: first query, all warm; replay without one",
        aim: "≤ 1 s, stated; ≥ 20 M/s",
        figure: figure_of,
        met: Some(first(checkpoint) <= 1.0 && replay.rate() >= 20.0),
        other: String::new(),
    })
}
