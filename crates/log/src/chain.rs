//! The hash tree of the running log: it takes in the records of each batch, in order.
//!
//! Nobody needs the tree before a segment is sealed or the book closed, so hashing is no part of a
//! commit: batches that were written wait in a queue, and whoever wrote one hashes it after the
//! writer was handed on, while the next batch is on its way to the disk. Where a thread was lent
//! for it, they are left to that one.

use std::{
    collections::VecDeque,
    io,
    sync::{PoisonError, TryLockError},
};

use crate::{
    Frontier,
    batch::PendingBatch,
    buffer::BlockBuffer,
    limits::{HASH_QUEUE_BATCHES_MAX, HASH_QUEUE_BYTES_MAX, HASH_WAKE_BATCHES, HASH_WAKE_BYTES},
    sync::{Condvar, Mutex, MutexGuard},
};

/// Small pieces are gathered up to this, since large ones are hashed several times as fast.
const PIECE_BYTES: usize = 128 << 10;

/// The state of the hash tree at the end of the log, and what it gave since the segment began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    frontier: Frontier,
    /// Bytes of the stream that the frontier has not taken in yet.
    gathered: Vec<u8>,
    /// Chaining values of the groups that ended in the segment, in order.
    groups: Vec<[u8; 32]>,
}

impl Chain {
    /// Goes on where a segment begins.
    pub(crate) fn new(frontier: Frontier) -> Self {
        Self { frontier, gathered: Vec::new(), groups: Vec::new() }
    }

    /// Takes in the records that follow, as they stand in their batch.
    pub(crate) fn take(&mut self, records: &[u8]) {
        if self.gathered.is_empty() && records.len() >= PIECE_BYTES {
            self.hash(records);
            return;
        }
        self.gathered.extend_from_slice(records);
        if self.gathered.len() >= PIECE_BYTES {
            self.settle();
        }
    }

    /// The state after all that was taken in.
    pub(crate) fn settle(&mut self) -> &Frontier {
        let gathered = std::mem::take(&mut self.gathered);
        self.hash(&gathered);
        self.gathered = gathered;
        self.gathered.clear();
        &self.frontier
    }

    /// Bytes of the record stream that were taken in.
    pub(crate) fn stream_len(&self) -> u64 {
        self.frontier.stream_len().saturating_add(crate::bytes::wide(self.gathered.len()))
    }

    /// Chaining values of the groups that ended since the segment began, in order. All are there
    /// after [`Chain::settle`].
    pub(crate) fn groups(&self) -> &[[u8; 32]] {
        &self.groups
    }

    /// The next segment begins here.
    pub(crate) fn begin_segment(&mut self) {
        self.settle();
        self.groups.clear();
    }

    fn hash(&mut self, bytes: &[u8]) {
        let groups = &mut self.groups;
        self.frontier.update(bytes, &mut |group| groups.push(group.cv));
    }
}

/// The hash tree, and the batches that were written and are not in it yet.
///
/// Who has the writer puts batches in, so they stand in the order of the log; who takes one out has
/// the lock on the tree before, so they are hashed in that order, whoever does it.
pub(crate) struct Hashing {
    chain: Mutex<Chain>,
    queue: Mutex<Queue>,
    /// Signalled to threads that were lent when there is something to do, or nothing ever again.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<PendingBatch>,
    /// Threads that do nothing but hash.
    lent: usize,
    /// Whether they are to go home.
    ended: bool,
}

impl Queue {
    /// Bytes of memory that the batches take.
    fn bytes(&self) -> usize {
        self.batches.iter().fold(0, |sum, batch| sum.saturating_add(batch.capacity()))
    }

    /// Whether one more batch may wait.
    fn has_room(&self, bytes: usize) -> bool {
        let all = self.bytes().saturating_add(bytes);
        self.batches.is_empty()
            || (self.batches.len() < HASH_QUEUE_BATCHES_MAX && all <= HASH_QUEUE_BYTES_MAX)
    }

    /// Whether so much waits that it is worth waking a thread for.
    fn is_worth_waking(&self) -> bool {
        self.batches.len() >= HASH_WAKE_BATCHES || self.bytes() >= HASH_WAKE_BYTES
    }
}

impl Hashing {
    pub(crate) fn new(chain: Chain) -> Self {
        Self { chain: Mutex::new(chain), queue: Mutex::default(), changed: Condvar::new() }
    }

    /// Puts a batch behind those that wait. Where they are many, they are hashed first, and who has
    /// the writer is held up by that: so the memory that waits is bounded. Called with the writer.
    pub(crate) fn push(
        &self,
        batch: PendingBatch,
        keep: &mut impl FnMut(BlockBuffer),
    ) -> io::Result<()> {
        if !self.queue().has_room(batch.capacity()) {
            let mut chain = self.chain.lock().map_err(|_| stopped())?;
            while self.hash_next(&mut chain, keep) {}
        }
        let mut queue = self.queue();
        queue.batches.push_back(batch);
        let wake = queue.lent > 0 && queue.is_worth_waking();
        drop(queue);
        if wake {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Hashes what waits, unless somebody is at it or was lent for it: then it is left to them, or
    /// to the next one. Nobody is kept here for ever by others who write.
    pub(crate) fn help(&self, keep: &mut impl FnMut(BlockBuffer)) -> io::Result<()> {
        if self.queue().lent > 0 {
            return Ok(());
        }
        let mut chain = match self.chain.try_lock() {
            Ok(chain) => chain,
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Poisoned(_)) => return Err(stopped()),
        };
        for _ in 0..HASH_QUEUE_BATCHES_MAX {
            if !self.hash_next(&mut chain, keep) {
                break;
            }
        }
        Ok(())
    }

    /// Hashes with the calling thread whatever comes, until [`Hashing::end`].
    pub(crate) fn lend(&self, keep: &mut impl FnMut(BlockBuffer)) -> io::Result<()> {
        let lent = Lent::begin(self);
        loop {
            let mut queue = self.queue();
            while !queue.ended && !queue.is_worth_waking() {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if queue.ended {
                drop(queue);
                drop(lent);
                return Ok(());
            }
            drop(queue);
            let mut chain = self.chain.lock().map_err(|_| stopped())?;
            while self.hash_next(&mut chain, keep) {}
        }
    }

    /// Sends home the threads that were lent: nothing is put in any more.
    pub(crate) fn end(&self) {
        self.queue().ended = true;
        self.changed.notify_all();
    }

    /// The tree over all batches that were put in. Called with the writer, so that none is added
    /// before the lock is given back.
    pub(crate) fn settle(&self) -> io::Result<MutexGuard<'_, Chain>> {
        let mut chain = self.chain.lock().map_err(|_| stopped())?;
        while self.hash_next(&mut chain, &mut drop) {}
        chain.settle();
        Ok(chain)
    }

    /// Hashes the batch that waited longest; whether there was one.
    fn hash_next(&self, chain: &mut Chain, keep: &mut impl FnMut(BlockBuffer)) -> bool {
        let Some(batch) = self.queue().batches.pop_front() else { return false };
        chain.take(batch.records());
        keep(batch.into_buffer());
        true
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs under this lock, but for what the allocator does.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that is lent, up to where it goes home, panics or finds that another one did.
struct Lent<'h>(&'h Hashing);

impl<'h> Lent<'h> {
    fn begin(hashing: &'h Hashing) -> Self {
        let mut queue = hashing.queue();
        queue.lent = queue.lent.saturating_add(1);
        Self(hashing)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.lent = queue.lent.saturating_sub(1);
    }
}

/// A thread panicked while it hashed: the tree lacks a part, and nothing is put on top of it.
fn stopped() -> io::Error {
    io::Error::other("the hash tree stopped half way")
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;
    use crate::{Lsn, NewRecord, RecordKind, record::EncodedRecord};

    fn batch(lsn: u64, bytes: usize) -> PendingBatch {
        let mut batch = PendingBatch::new(Lsn(lsn), 0, BlockBuffer::default());
        let meta = vec![u8::try_from(lsn % 251).unwrap(); bytes];
        let record = NewRecord { at: 0, kind: RecordKind::Note, meta, events: vec![] };
        let mut record = EncodedRecord::new(&record, |_| batch.memory(BlockBuffer::default()));
        batch.push(record.as_mut().unwrap());
        batch
    }

    #[test]
    fn batches_are_hashed_in_order_and_never_more_of_them_wait_than_there_is_room_for() {
        for bytes in [10, 70_000, 3 << 20, HASH_QUEUE_BYTES_MAX + 1] {
            let (hashing, mut all) = (Hashing::new(Chain::default()), blake3::Hasher::new());
            let count = if bytes > 1 << 20 { 10 } else { 100 };
            let (mut back, mut waited) = (0, 0);
            for lsn in 1..=count {
                let batch = batch(lsn, bytes);
                all.update(batch.records());
                hashing.push(batch, &mut |_| back += 1).unwrap();
                let queue = hashing.queue();
                let (held, count) = (queue.bytes(), queue.batches.len());
                assert!(count == 1 || held <= HASH_QUEUE_BYTES_MAX, "{bytes}");
                assert!(count <= HASH_QUEUE_BATCHES_MAX, "{bytes}");
                waited = waited.max(count);
            }
            hashing.help(&mut |_| back += 1).unwrap();
            assert_eq!((back, hashing.queue().batches.len()), (count, 0), "{bytes}");
            assert!(waited > 1 || bytes > HASH_QUEUE_BYTES_MAX, "they wait");
            let chain = hashing.settle().unwrap();
            assert_eq!(chain.frontier.root(), *all.finalize().as_bytes(), "{bytes}");
        }
    }

    #[test]
    fn who_cannot_have_the_tree_leaves_the_batch_to_others() {
        let hashing = Hashing::new(Chain::default());
        let chain = hashing.settle().unwrap();
        hashing.push(batch(1, 100), &mut drop).unwrap();
        hashing.help(&mut |_| panic!("somebody else has the tree")).unwrap();
        assert_eq!((hashing.queue().batches.len(), chain.stream_len()), (1, 0));
        drop(chain);
        hashing.help(&mut drop).unwrap();
        assert_eq!(hashing.queue().batches.len(), 0);
    }

    fn count(back: &AtomicUsize) {
        back.fetch_add(1, SeqCst);
    }

    #[test]
    fn a_thread_that_is_lent_hashes_all_that_is_worth_waking_it_for() {
        for (bytes, left) in [(10, HASH_WAKE_BATCHES - 1), (HASH_WAKE_BYTES, 0)] {
            let (hashing, mut all) = (Hashing::new(Chain::default()), blake3::Hasher::new());
            let back = AtomicUsize::new(0);
            let keep = &mut |_| count(&back);
            std::thread::scope(|scope| {
                let lent = scope.spawn(|| hashing.lend(&mut |_| count(&back)));
                while hashing.queue().lent == 0 {
                    std::thread::yield_now();
                }
                for lsn in 1..=100 {
                    let batch = batch(lsn, bytes);
                    all.update(batch.records());
                    hashing.push(batch, keep).unwrap();
                    // Who wrote leaves it to the one who is lent.
                    hashing.help(&mut |_| panic!("somebody was lent")).unwrap();
                }
                while back.load(SeqCst) < 100 - left {
                    std::thread::yield_now();
                }
                hashing.end();
                lent.join().unwrap().unwrap();
            });
            hashing.help(keep).unwrap();
            assert_eq!((back.load(SeqCst), hashing.queue().lent), (100, 0), "{bytes}");
            let chain = hashing.settle().unwrap();
            assert_eq!(chain.frontier.root(), *all.finalize().as_bytes(), "{bytes}");
        }
    }

    #[test]
    fn a_tree_that_stopped_half_way_is_not_gone_on_with() {
        let hashing = Hashing::new(Chain::default());
        hashing.push(batch(1, 100), &mut drop).unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            hashing.help(&mut |_| panic!("half way"))
        }));
        assert!(panicked.is_err());
        hashing.push(batch(2, 100), &mut drop).unwrap();
        assert!(hashing.help(&mut drop).is_err());
        assert!(hashing.settle().is_err());
        let pushed = (3..).map(|lsn| hashing.push(batch(lsn, 100), &mut drop));
        assert!(pushed.take(HASH_QUEUE_BATCHES_MAX).any(|pushed| pushed.is_err()));
    }

    #[test]
    fn any_pieces_give_the_hash_of_the_whole_and_its_groups() {
        let bytes: Vec<u8> = (0..700_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut groups = Vec::new();
        Frontier::default().update(&bytes, &mut |group| groups.push(group.cv));
        for size in [16, 4096, 100_000, 300_000, 700_000] {
            let mut chain = Chain::default();
            for piece in bytes.chunks(size) {
                chain.take(piece);
            }
            assert_eq!(chain.stream_len(), 700_000);
            assert_eq!(chain.settle().root(), *blake3::hash(&bytes).as_bytes(), "{size}");
            assert_eq!(chain.groups(), groups);
            chain.begin_segment();
            assert_eq!(chain.groups(), [[0; 32]; 0]);
        }
    }
}
