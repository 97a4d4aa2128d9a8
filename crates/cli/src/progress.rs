//! How far the work is, on standard error: only on a terminal, and only where it takes longer than
//! a second.

use counterfoil::Timestamp;
use counterfoil_scenario::{Observer, Step, UsageStep};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// For how long the work goes on before anything is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// The progress of a scenario.
pub(crate) struct Progress {
    started: Instant,
    shown: bool,
    bar: Option<ProgressBar>,
    step: u64,
    steps: u64,
}

impl Progress {
    /// Nothing is shown yet.
    pub(crate) fn new() -> Self {
        let shown = std::io::stderr().is_terminal();
        Self { started: Instant::now(), shown, bar: None, step: 0, steps: 0 }
    }

    fn show(&mut self, message: impl FnOnce() -> String) {
        if !self.shown || self.started.elapsed() < PATIENCE {
            return;
        }
        let (steps, elapsed) = (self.steps, self.started.elapsed());
        let bar = self.bar.get_or_insert_with(|| {
            let style = "{prefix} {bar:16} {elapsed} {wide_msg}";
            let style = ProgressStyle::with_template(style)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(steps).with_style(style).with_elapsed(elapsed)
        });
        bar.set_prefix(format!("step {} of {steps}", self.step));
        // What is full is done: the step under way is not.
        bar.set_position(self.step.saturating_sub(1));
        bar.set_message(message());
    }
}

impl Observer for Progress {
    fn step_began(&mut self, step: &Step, steps: usize) {
        self.step = u64::try_from(step.number).unwrap_or(u64::MAX);
        self.steps = u64::try_from(steps).unwrap_or(u64::MAX);
        self.show(|| step.at.map(|at| format!("to {at}")).unwrap_or_default());
    }

    fn work_done(&mut self, _: &Step, at: Timestamp, worked: usize) {
        self.show(|| format!("{at}: {worked} items of due work"));
    }

    fn usage_read(&mut self, usage: &UsageStep, bytes: u64, total_bytes: u64) {
        let (bytes, total) = (HumanBytes(bytes), HumanBytes(total_bytes));
        self.show(|| format!("{}: {bytes} of {total}", usage.file));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The progress of work that counts what it has done: first it says nothing, then how much of all.
pub(crate) struct Bar {
    started: Instant,
    shown: bool,
    message: &'static str,
    bar: Option<ProgressBar>,
    /// Shown until something is counted; stops when it is dropped.
    silence: Option<mpsc::Sender<()>>,
}

impl Bar {
    /// Nothing is shown yet. `before` says what is done before anything is counted.
    pub(crate) fn new(message: &'static str, before: &'static str) -> Self {
        let shown = std::io::stderr().is_terminal();
        let silence = shown.then(|| {
            let (working, done) = mpsc::channel();
            std::thread::spawn(move || spin(before, &done));
            working
        });
        Self { started: Instant::now(), shown, message, bar: None, silence }
    }

    /// So many of so many are done.
    pub(crate) fn at(&mut self, done: u64, of: u64) {
        self.silence = None;
        if !self.shown || self.started.elapsed() < PATIENCE {
            return;
        }
        let (message, elapsed) = (self.message, self.started.elapsed());
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{msg} {bar:16} {percent} % {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(of).with_style(style).with_elapsed(elapsed);
            bar.with_message(message)
        });
        bar.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Does work that says nothing of its progress.
pub(crate) fn waiting<T>(message: &'static str, work: impl FnOnce() -> T) -> T {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    std::thread::scope(|scope| {
        let (_working, done) = mpsc::channel::<()>();
        scope.spawn(move || spin(message, &done));
        work()
    })
}

/// Shows that work goes on, until the other end is dropped: when it is done, also by a panic.
fn spin(message: &'static str, done: &mpsc::Receiver<()>) {
    let mut spinner = None;
    let mut pause = PATIENCE;
    while done.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
        pause = Duration::from_millis(100);
        let spinner =
            spinner.get_or_insert_with(|| ProgressBar::new_spinner().with_message(message));
        spinner.tick();
    }
    if let Some(spinner) = spinner {
        spinner.finish_and_clear();
    }
}
