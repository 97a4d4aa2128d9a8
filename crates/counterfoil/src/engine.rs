//! The engine: one open book.

use crate::entropy::Entropy;
use crate::error::{BookError, Error};
use crate::keys::Keys;
use crate::payment::{PaymentSource, Progress};
use crate::scratch;
use crate::sequencer::{Decided, Sequencer};
use crate::snapshot::{self, Kept, Opened, SnapshotPolicy};
use counterfoil_billing::invoice::{Attempt, Outcome, PaymentAttemptId};
use counterfoil_core::{Refusal, Timestamp, limits};
use counterfoil_log::{
    Buffered, FileStorage, Log, LogOptions, Lsn, MemStorage, OpenReport, Records, Storage, TailCut,
};
use counterfoil_meter::DedupePolicy;
use counterfoil_model::{
    Command, Event, FailPaymentAttempt, KeyUse, Output, Preview, PreviewOf, ProcessPaymentAttempt,
    Settings, State, SucceedPaymentAttempt, invariants,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a book is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The settings of a book that is new; a book that exists keeps its own.
    pub settings: Settings,
    /// For how long a meter event's identifier is remembered.
    pub dedupe: DedupePolicy,
    /// How the log writes.
    pub log: LogOptions,
    /// Where the secrets come from that personal data is sealed with.
    pub entropy: Entropy,
    /// When snapshots are written, and how many are kept.
    pub snapshots: SnapshotPolicy,
    /// The directory to which [`Engine::archive`] moves sealed segments, and from which archived
    /// ones are read: one for each book. It is not remembered in the book.
    pub archive: Option<PathBuf>,
    /// How many threads decide due work in [`Engine::advance_to`] and [`Engine::tick`]: the caller's own,
    /// and others that end with the call. They decide some items together before their turn; with 0 each is
    /// decided in its turn. More than 64 are as 64. The log is the same with any number.
    pub workers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            dedupe: DedupePolicy::default(),
            log: LogOptions::default(),
            entropy: Entropy::default(),
            snapshots: SnapshotPolicy::default(),
            archive: None,
            workers: 1,
        }
    }
}

impl Options {
    /// The same with settings for a new book.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The same with another window of remembered identifiers.
    #[must_use]
    pub fn dedupe(mut self, policy: DedupePolicy) -> Self {
        self.dedupe = policy;
        self
    }

    /// The same with another source of secrets.
    #[must_use]
    pub fn entropy(mut self, entropy: Entropy) -> Self {
        self.entropy = entropy;
        self
    }

    /// The same with another policy of snapshots.
    #[must_use]
    pub fn snapshots(mut self, policy: SnapshotPolicy) -> Self {
        self.snapshots = policy;
        self
    }

    /// The same with a directory for archived segments.
    #[must_use]
    pub fn archive(mut self, dir: impl Into<PathBuf>) -> Self {
        self.archive = Some(dir.into());
        self
    }

    /// The same with so many threads that decide due work, the caller's own among them.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// The same with other options of the log.
    #[must_use]
    pub fn log(mut self, options: LogOptions) -> Self {
        self.log = options;
        self
    }
}

/// One open book. `Send + Sync`; a clone is another handle on the same book.
///
/// Every command is on disk before its `Ok` (see [`Engine::execute`]), and every query answers from
/// what is on disk. There is no thread in the background and no clock: the book's time is what
/// [`Engine::advance_to`] and [`Engine::tick`] say it is.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    log: Log,
    sequencer: Mutex<Sequencer>,
    opened: OpenReport,
    keys: Arc<Keys>,
    /// The keys of customers that were erased, to be destroyed once that is on disk.
    erasures: Mutex<Vec<(Lsn, u64)>>,
    /// What the book was opened from.
    from: Opened,
    snapshots: SnapshotPolicy,
    /// The latest snapshot that is known to be usable.
    snapshot_latest: AtomicU64,
    /// Held while a snapshot is written or removed.
    snapshots_lock: Mutex<()>,
}

/// A command with what belongs to its execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub command: Command,
    /// Under this key the command is executed once; sent again, it gives the same answer for at
    /// least 24 hours (rule 1.7).
    pub idempotency_key: Option<String>,
    /// The command is refused unless this stream has this version: `customer:ID`, `catalog`.
    pub expected_version: Option<(String, u64)>,
}

impl<C: Into<Command>> From<C> for Request {
    fn from(command: C) -> Self {
        Self { command: command.into(), idempotency_key: None, expected_version: None }
    }
}

impl Request {
    /// The same under an idempotency key.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// The same, refused unless a stream has a version.
    #[must_use]
    pub fn expected_version(mut self, stream: impl Into<String>, version: u64) -> Self {
        self.expected_version = Some((stream.into(), version));
        self
    }
}

/// A command that was decided and is on its way to disk.
#[derive(Debug)]
#[must_use = "a command counts once its ticket was waited for"]
pub struct Ticket {
    engine: Engine,
    decided: Decided,
}

impl Ticket {
    /// Waits until the command is on disk, and says what it came to.
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed: the command may or may not be there after reopening.
    pub fn wait(self) -> Result<Output, Error> {
        self.engine.inner.log.wait(self.decided.lsn)?;
        self.engine.finish_erasures()?;
        Ok(self.decided.output)
    }

    /// Waits until the command was handed to the operating system, and says what it came to: the
    /// relaxed way. The command then outlives this process, but not the power: after a power loss
    /// the book ends at some command at or after the last that was synced, and `open` says so.
    /// Queries still answer from what is on disk, so the next one syncs.
    ///
    /// # Errors
    /// As [`Ticket::wait`].
    pub fn wait_buffered(self) -> Result<BufferedOutput, Error> {
        let acknowledged = self.engine.inner.log.wait_buffered(self.decided.lsn)?;
        Ok(BufferedOutput { output: self.decided.output, acknowledged })
    }

    /// Whether the command is on disk. Nobody writes for a ticket that nobody waits for:
    /// [`Engine::flush`] writes for all.
    ///
    /// # Errors
    /// As [`Ticket::wait`].
    pub fn is_durable(&self) -> Result<bool, Error> {
        Ok(self.engine.inner.log.poll(self.decided.lsn)?)
    }

    /// The record that holds the command.
    #[must_use]
    pub fn position(&self) -> Lsn {
        self.decided.lsn
    }
}

/// What a command came to that was not waited for until it was on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct BufferedOutput {
    /// What the command came to.
    pub output: Output,
    /// Up to where commands outlive this process.
    pub acknowledged: Buffered,
}

/// What a command would come to.
#[derive(Debug, Clone)]
pub struct DryRun {
    /// What would happen, in order.
    pub events: Vec<Event>,
    /// The object that the command would give back.
    pub output: Output,
    /// The state as it would be.
    pub state: State,
}

impl Engine {
    /// Opens the book in a directory, or creates one there.
    ///
    /// # Errors
    /// [`BookError`] where the book is in use, damaged, of a newer format, or the directory holds
    /// something else.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self, BookError> {
        Self::on_storage(FileStorage::open(dir.as_ref())?, options, Some(dir.as_ref()))
    }

    /// Opens the book in a directory; there must be one.
    ///
    /// # Errors
    /// As [`Engine::open`], and where there is no book.
    pub fn open_existing(dir: impl AsRef<Path>, options: Options) -> Result<Self, BookError> {
        Self::on_storage(FileStorage::open_existing(dir.as_ref())?, options, Some(dir.as_ref()))
    }

    /// A book in memory, with settings as they are where nobody says otherwise, and
    /// [`Entropy::FIXED`]. See [`Engine::on`] for others.
    ///
    /// # Panics
    /// Never: opening an empty book in memory cannot fail.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::on(MemStorage::new(), Options::default().entropy(Entropy::FIXED))
            .expect("an empty book opens")
    }

    /// A book on any storage: how a book in memory gets options, and a test its faults.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn on(storage: impl Storage + 'static, options: Options) -> Result<Self, BookError> {
        Self::on_storage(storage, options, None)
    }

    /// The closed invoices of a book in a directory lie in a scratch file there.
    fn on_storage(
        storage: impl Storage + 'static,
        options: Options,
        dir: Option<&Path>,
    ) -> Result<Self, BookError> {
        options.settings.check()?;
        let mut log = options.log.clone();
        if log.book_id == LogOptions::default().book_id {
            log.book_id = options.entropy.book_id().map_err(BookError::Entropy)?;
        }
        let (log, opened) = Log::open(storage, log)?;
        if let Some(dir) = &options.archive {
            log.attach_archive(FileStorage::open(dir)?);
        }
        let keys = Arc::new(Keys::of(&log, options.entropy.clone()));
        let mut kept = Kept::of(&options, Arc::clone(&keys));
        if let Some(dir) = dir {
            kept.shelf = scratch::shelf_in(dir);
        }
        let (mut sequencer, from) = snapshot::open(&log, &kept)?;
        sequencer.lookahead.workers = options.workers;
        // A crash may have come between the record of an erasure and the end of its key.
        for slot in sequencer.state.erased_slots() {
            keys.destroy(slot).map_err(BookError::Erasure)?;
        }
        let inner = Inner {
            log,
            sequencer: Mutex::new(sequencer),
            opened,
            keys,
            erasures: Mutex::default(),
            snapshots: options.snapshots,
            snapshot_latest: AtomicU64::new(from.snapshot.unwrap_or_default().0),
            snapshots_lock: Mutex::new(()),
            from,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What the book was opened from: the snapshot that was used, how much was replayed, and what
    /// could not be used.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        &self.inner.from
    }

    /// The half-written commands that were cut off when the book was opened; none of them was ever
    /// acknowledged.
    #[must_use]
    pub fn tail_cut(&self) -> Option<&TailCut> {
        self.inner.opened.tail_cut.as_ref()
    }

    /// Commits everything, writes the time down, marks the book as closed and gives it free. What
    /// would change it through a handle that is left is an error from then on; what is on disk can
    /// still be read.
    ///
    /// A snapshot is written first where [`SnapshotPolicy::on_close_after`] asks for it.
    ///
    /// # Errors
    /// [`Error::Log`] where the disk fails; [`Error::Snapshot`] where only the snapshot could not
    /// be written, and then the book is closed.
    pub fn close(&self) -> Result<(), Error> {
        self.lock()?.note_time(&self.inner.log)?;
        let snapshot = self.snapshot_on_close();
        self.inner.log.close()?;
        snapshot
    }

    /// Executes a command and returns when it is on disk.
    ///
    /// # Errors
    /// [`Error::Refused`], and then nothing changed; [`Error::Log`] where the disk failed.
    pub fn execute(&self, request: impl Into<Request>) -> Result<Output, Error> {
        self.submit(request)?.wait()
    }

    /// Executes a command and returns at once with a ticket to wait for. Commands take effect in
    /// the order in which they were submitted.
    ///
    /// # Errors
    /// [`Error::Refused`], and then nothing changed; [`Error::Log`] where the book is poisoned.
    pub fn submit(&self, request: impl Into<Request>) -> Result<Ticket, Error> {
        let request = request.into();
        let key = key_use(&request)?;
        let decided = self.lock()?.command(
            &self.inner.log,
            &request.command,
            key,
            request.expected_version.as_ref().map(|(stream, version)| (stream.as_str(), *version)),
        );
        match decided {
            Ok(decided) => {
                if let (Command::EraseCustomer(_), Output::Customer(customer)) =
                    (&request.command, &decided.output)
                {
                    self.erasures().push((decided.lsn, customer.key_slot));
                }
                Ok(Ticket { engine: self.clone(), decided })
            }
            Err(Error::Refused(refusal)) => {
                // A refusal says something about the state, so that state must be on disk.
                self.flush()?;
                Err(refusal.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Executes commands one after the other, each for itself, and returns when all are on disk: one
    /// wait for many.
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed. A refused command is an `Err` in its place and does
    /// not stop the others.
    pub fn batch<R: Into<Request>>(
        &self,
        requests: impl IntoIterator<Item = R>,
    ) -> Result<Vec<Result<Output, Refusal>>, Error> {
        let mut outputs = Vec::new();
        for request in requests {
            outputs.push(match self.submit(request) {
                Ok(ticket) => Ok(ticket.decided.output),
                Err(Error::Refused(refusal)) => Err(refusal),
                Err(error) => return Err(error),
            });
        }
        self.flush()?;
        Ok(outputs)
    }

    /// What a command would come to; nothing changes.
    ///
    /// # Errors
    /// As [`Engine::execute`].
    pub fn dry_run(&self, command: impl Into<Command>) -> Result<DryRun, Error> {
        let decision = self.lock()?.dry_run(&command.into())?;
        let output = decision.state.output(&decision.target)?;
        Ok(DryRun { events: decision.events, output, state: decision.state })
    }

    /// What would be invoiced: the next invoice of a customer, a subscription or a schedule, or what
    /// a command would invoice and what comes after it (rule 8.2). It is decided as the act itself would be,
    /// and nothing changes.
    ///
    /// # Errors
    /// [`Error::Refused`] as the command would be, and with `invoice_upcoming_none` where no invoice
    /// will come.
    pub fn preview_invoice(&self, of: PreviewOf) -> Result<Preview, Error> {
        self.lock()?.preview(&of)
    }

    /// Writes everything that was submitted to disk.
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed.
    pub fn flush(&self) -> Result<Lsn, Error> {
        let lsn = self.inner.log.commit()?;
        self.finish_erasures()?;
        Ok(lsn)
    }

    /// Destroys the keys of customers whose erasure is on disk, and what was kept of them beside
    /// the log. What a crash prevents here is done when the book is opened.
    fn finish_erasures(&self) -> Result<(), Error> {
        let mut erasures = self.erasures();
        if erasures.is_empty() {
            return Ok(());
        }
        let durable = self.inner.log.durable();
        for (_, slot) in erasures.iter().filter(|(lsn, _)| *lsn <= durable) {
            self.inner.keys.destroy(*slot)?;
        }
        // A snapshot from before holds what was erased, one too that is being written.
        let _one = self.snapshots_lock();
        for snapshot in self.inner.log.snapshots()? {
            if erasures.iter().any(|(lsn, _)| *lsn <= durable && snapshot < *lsn) {
                self.inner.log.remove_snapshot(snapshot)?;
            }
        }
        erasures.retain(|(lsn, _)| *lsn > durable);
        Ok(())
    }

    fn erasures(&self) -> MutexGuard<'_, Vec<(Lsn, u64)>> {
        // What a panic leaves on the list is done again, which changes nothing.
        self.inner.erasures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    /// The time of the book; none for a new one that nobody told the time yet. Time that passed
    /// without anything happening is written by [`Engine::close`] only: a book that was not closed
    /// stands at the time of its latest record when it is opened again.
    ///
    /// # Errors
    /// [`Error::Log`] where the book is poisoned.
    pub fn now(&self) -> Result<Option<Timestamp>, Error> {
        Ok(self.lock()?.clock)
    }

    /// Moves the book's time to `to`: all work that falls due on the way is done in the order of
    /// its due time, each item as a record of its own. Attempts to collect are put to `payments` as
    /// they are made, before anything later happens; so one big step and many small ones write the
    /// same log. A new book is created at its first time.
    ///
    /// # Errors
    /// [`Error::Refused`] for a time before the book's own; [`Error::Log`].
    pub fn advance_to(
        &self,
        to: Timestamp,
        payments: &mut dyn PaymentSource,
    ) -> Result<Progress, Error> {
        self.lock()?.begin_at(&self.inner.log, to)?;
        let mut progress = Progress::default();
        let mut asked = Asked::default();
        loop {
            progress.settled = progress.settled.saturating_add(self.settle(payments, &mut asked)?);
            let mut sequencer = self.lock()?;
            let Some(key) = sequencer.due_by(to) else {
                sequencer.clock = sequencer.clock.max(Some(to));
                break;
            };
            sequencer.work(&self.inner.log, &key, (to, usize::MAX))?;
            drop(sequencer);
            progress.worked = progress.worked.saturating_add(1);
            payments.progress(key.at, progress.worked);
        }
        self.flush()?;
        Ok(progress)
    }

    /// Moves the book's time to `now` with at most `budget` items of due work: what a service calls
    /// from its own timer. After a long stop the work is done at its old due times, over several
    /// calls; [`Progress::remaining`] says whether there is more. Attempts to collect stay open
    /// until their outcome comes as a command.
    ///
    /// # Errors
    /// As [`Engine::advance_to`].
    pub fn tick(&self, now: Timestamp, budget: usize) -> Result<Progress, Error> {
        let mut sequencer = self.lock()?;
        sequencer.begin_at(&self.inner.log, now)?;
        let mut progress = Progress::default();
        while let Some(key) = sequencer.due_by(now) {
            if progress.worked >= budget {
                progress.remaining = true;
                break;
            }
            let left = budget.saturating_sub(progress.worked);
            sequencer.work(&self.inner.log, &key, (now, left))?;
            progress.worked = progress.worked.saturating_add(1);
        }
        if !progress.remaining {
            sequencer.clock = sequencer.clock.max(Some(now));
        }
        drop(sequencer);
        self.flush()?;
        Ok(progress)
    }

    /// Puts open attempts to a source, without moving time: all of them the first time, and then
    /// those that were opened since.
    fn settle(&self, payments: &mut dyn PaymentSource, asked: &mut Asked) -> Result<usize, Error> {
        let open: Vec<Attempt> = {
            let sequencer = self.lock()?;
            let (state, count) = (&sequencer.state, sequencer.opened.count());
            let seen = asked.seen.replace(count);
            let again = std::mem::take(&mut asked.on_their_way);
            if !state.has_open_attempts() || (seen == Some(count) && again.is_empty()) {
                return Ok(0);
            }
            let open = match seen.and_then(|seen| sequencer.opened.since(seen)) {
                Some(new) => state.open_among(new.chain(&again)),
                None => state.open_attempts(),
            };
            open.into_iter().cloned().collect()
        };
        let mut settled: usize = 0;
        for attempt in open {
            if asked.unanswered.contains(&attempt.id) {
                continue;
            }
            // That it is still on its way is no news.
            let known = |outcome: &Outcome| {
                *outcome != Outcome::Processing || attempt.processing_since.is_none()
            };
            let Some(outcome) = payments.outcome(&attempt).filter(known) else {
                asked.unanswered.insert(attempt.id);
                continue;
            };
            let on_its_way = outcome == Outcome::Processing;
            if on_its_way {
                asked.on_their_way.push(attempt.id.clone());
            }
            match self.lock()?.outcome(&self.inner.log, attempt.id, outcome) {
                // Somebody else brought the outcome in the meantime.
                Err(Error::Refused(Refusal::ResourceMissing { .. })) => {}
                Err(Error::Refused(Refusal::StateUnsupported { .. })) if on_its_way => {}
                decided => {
                    decided?;
                    settled = settled.saturating_add(1);
                }
            }
        }
        Ok(settled)
    }

    /// The state of the book, as it is on disk. Cheap: it shares what does not change. What it says
    /// counts as long as [`State::fault`] has nothing to say.
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed.
    pub fn state(&self) -> Result<State, Error> {
        let (state, last) = {
            let sequencer = self.lock()?;
            (sequencer.state.clone(), sequencer.last)
        };
        self.inner.log.wait(last)?;
        Ok(state)
    }

    /// Answers a question about state and usage together, once all of it is on disk.
    pub(crate) fn read<T>(
        &self,
        question: impl FnOnce(&Sequencer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (answer, last) = {
            let sequencer = self.lock()?;
            let answer = question(&sequencer);
            sequencer.check_readable()?;
            (answer, sequencer.last)
        };
        self.inner.log.wait(last)?;
        answer
    }

    /// A change outside commands, and the record that must be durable for it.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Sequencer, &Log) -> Result<(T, Option<Lsn>), Error>,
    ) -> Result<T, Error> {
        let (value, lsn) = {
            let mut sequencer = self.lock()?;
            let (value, lsn) = change(&mut sequencer, &self.inner.log)?;
            (value, lsn.unwrap_or(sequencer.last))
        };
        self.inner.log.wait(lsn)?;
        Ok(value)
    }

    /// The hash of everything the book says: of its state and of its usage. Equal histories give
    /// equal hashes, whether they were lived or replayed.
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed.
    pub fn state_hash(&self) -> Result<[u8; 32], Error> {
        self.read(|book| Ok(book.hash()))
    }

    /// Checks every invariant of the book.
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed. A violation is the inner `Err`.
    pub fn check_invariants(&self) -> Result<Result<(), invariants::InvariantViolation>, Error> {
        let now = self.now()?.ok_or(Error::NoTime)?;
        let checked = invariants::check_all(&self.state()?, now);
        drop(self.lock()?);
        Ok(checked)
    }

    /// What a book like this one begins with.
    pub(crate) fn kept(&self) -> Result<Kept, Error> {
        Ok(self.lock()?.kept())
    }

    /// The records of the log from a position on, as far as they are on disk.
    pub(crate) fn records(&self, from: Lsn) -> Records {
        self.inner.log.read(from.max(Lsn::ZERO.next()))
    }

    /// Waits until something beyond a position is on disk, or the time is over.
    pub(crate) fn wait_beyond(&self, lsn: Lsn, timeout: std::time::Duration) -> Result<Lsn, Error> {
        Ok(self.inner.log.wait_durable_beyond(lsn, timeout)?)
    }

    /// The latest position that is on disk.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.inner.log.durable()
    }

    /// Takes the book; nobody does who could be told something that rests on a part of the state
    /// that could not be read.
    pub(crate) fn lock(&self) -> Result<Locked<'_>, Error> {
        let sequencer = self.inner.sequencer.lock();
        let sequencer = sequencer.map_err(|_| self.inner.log.poison(PANICKED))?;
        let sequencer = Locked { sequencer, log: &self.inner.log, calm: !std::thread::panicking() };
        if let Err(error) = sequencer.check_readable() {
            drop(sequencer);
            // So that opening the book again does without it. If that fails, the log is poisoned.
            if let Some(position) = self.inner.from.snapshot {
                drop(self.inner.log.remove_snapshot(position));
            }
            return Err(error);
        }
        Ok(sequencer)
    }

    pub(crate) fn log(&self) -> &Log {
        &self.inner.log
    }

    pub(crate) fn snapshot_policy(&self) -> SnapshotPolicy {
        self.inner.snapshots
    }

    pub(crate) fn snapshots_lock(&self) -> MutexGuard<'_, ()> {
        self.inner.snapshots_lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot_latest(&self) -> Lsn {
        Lsn(self.inner.snapshot_latest.load(Ordering::Relaxed))
    }

    pub(crate) fn snapshot_written(&self, position: Lsn) {
        self.inner.snapshot_latest.store(position.0, Ordering::Relaxed);
    }
}

/// What of the open attempts a source was asked for already.
#[derive(Default)]
struct Asked {
    /// How many had been opened when they were last looked at; none before the first time.
    seen: Option<u64>,
    /// Those that were on their way: they are asked for once more.
    on_their_way: Vec<PaymentAttemptId>,
    /// Those that it had no outcome for.
    unanswered: BTreeSet<PaymentAttemptId>,
}

/// Why the log is poisoned after a panic.
const PANICKED: &str = "a thread panicked while it changed the book";

/// The book, taken by one thread. If that panics, nobody knows how far it came: the log is poisoned,
/// so that nothing is acknowledged any more and opening the book again is the only way on.
pub(crate) struct Locked<'e> {
    sequencer: MutexGuard<'e, Sequencer>,
    log: &'e Log,
    /// Whether the thread was not panicking already for another reason when it took the book.
    calm: bool,
}

impl std::ops::Deref for Locked<'_> {
    type Target = Sequencer;

    fn deref(&self) -> &Sequencer {
        &self.sequencer
    }
}

impl std::ops::DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Sequencer {
        &mut self.sequencer
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.calm && std::thread::panicking() {
            drop(self.log.poison(PANICKED));
        }
    }
}

pub(crate) fn outcome_command(id: PaymentAttemptId, outcome: Outcome) -> Command {
    match outcome {
        Outcome::Processing => ProcessPaymentAttempt { id }.into(),
        Outcome::Succeeded => SucceedPaymentAttempt { id, amount: None }.into(),
        Outcome::SucceededInPart(amount) => {
            SucceedPaymentAttempt { id, amount: Some(amount) }.into()
        }
        Outcome::Failed(code) => {
            FailPaymentAttempt { id, code: Some(code.as_str().to_owned()) }.into()
        }
    }
}

fn key_use(request: &Request) -> Result<Option<KeyUse>, Refusal> {
    let Some(key) = &request.idempotency_key else { return Ok(None) };
    if key.is_empty() || key.len() > limits::IDEMPOTENCY_KEY_BYTES_MAX {
        let limit = limits::IDEMPOTENCY_KEY_BYTES_MAX;
        return Err(Refusal::invalid("idempotency_key", format!("a key has 1 to {limit} bytes")));
    }
    Ok(Some(KeyUse { key: key.clone(), fingerprint: Some(request.command.fingerprint()) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_billing::catalog::CreateProduct;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn name<T>(result: Result<T, Error>) -> String {
        result.map(drop).unwrap_err().to_string()
    }

    #[test]
    fn after_a_panic_every_call_gives_the_same_error_and_opening_again_recovers() {
        let storage = MemStorage::new();
        let engine = Engine::on(storage.clone(), Options::default().entropy(Entropy::FIXED));
        let engine = engine.unwrap();
        engine.tick(Timestamp::parse("2026-01-01T00:00:00Z").unwrap(), 10).unwrap();
        engine.products().create(CreateProduct::new("Pro")).unwrap();
        let hash = engine.state_hash().unwrap();
        let ticket = engine.submit(CreateProduct::new("Basic")).unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            engine.change::<()>(|_, _| panic!("a decision that panics"))
        }));
        assert!(panicked.is_err());

        let expected = format!("the log is poisoned: {PANICKED}");
        let later = Timestamp::parse("2026-01-02T00:00:00Z").unwrap();
        for (call, error) in [
            ("a ticket from before", name(ticket.wait())),
            ("execute", name(engine.execute(CreateProduct::new("Plus")))),
            ("dry_run", name(engine.dry_run(CreateProduct::new("Plus")))),
            ("flush", name(engine.flush())),
            ("tick", name(engine.tick(later, 1))),
            ("now", name(engine.now())),
            ("state", name(engine.state())),
            ("close", name(engine.close())),
        ] {
            assert_eq!(error, expected, "{call}");
        }
        drop(engine);
        let again = Engine::on(storage, Options::default().entropy(Entropy::FIXED)).unwrap();
        assert_eq!(again.state_hash().unwrap(), hash, "nobody was told of the second product");
        again.products().create(CreateProduct::new("Plus")).unwrap();
    }

    #[test]
    fn a_book_has_an_id_of_its_own_unless_its_secrets_are_those_of_everybody() {
        let id = |entropy| {
            let options = Options::default().entropy(entropy);
            Engine::on(MemStorage::new(), options).unwrap().inner.opened.book_id
        };
        assert_ne!(id(Entropy::System), id(Entropy::System));
        assert_eq!(id(Entropy::FIXED), id(Entropy::FIXED));
        assert_ne!(id(Entropy::FIXED), id(Entropy::Seed([1; 32])));
        assert_ne!(id(Entropy::FIXED), LogOptions::default().book_id);
    }
}
