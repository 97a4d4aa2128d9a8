//! R3: a log that ends anywhere reopens to exactly the whole batches before that.

use std::sync::Arc;

use counterfoil_log::{
    Log, Lsn, MemStorage, OpenError, Record,
    sim::{SimFiles, SimRandom, SimStorage},
};

use crate::{
    history::{History, record},
    oracle::{Violation, check_records, options},
    size::{in_parallel, sized},
};

const FIRST_SEGMENT: &str = "0000000001.seg";

/// A batch: the segment that it is in, where its last byte that is not zero ends, and the last
/// record.
pub struct Batch {
    pub segment: String,
    pub end: usize,
    last: usize,
}

/// A book that was not closed.
pub struct Book {
    pub files: SimFiles,
    pub records: Vec<Arc<Record>>,
    pub batches: Vec<Batch>,
}

fn content_end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

impl Book {
    /// A log of at least so many bytes, in batches of one to three records.
    pub fn new(seed: u64, bytes: usize) -> Self {
        let storage = SimStorage::new(seed);
        let (log, _) = Log::open(storage.clone(), options()).unwrap();
        let (mut history, mut random) = (History::new(), SimRandom::new(seed));
        let mut batches: Vec<Batch> = Vec::new();
        loop {
            for _ in 0..=random.below(3) {
                let (seed, size) = (random.next_u64(), random.index(700));
                history.append(record(seed, size));
                log.append(record(seed, size)).unwrap();
            }
            let last = usize::try_from(log.commit().unwrap().0).unwrap();
            let files = storage.disk().files();
            let segments = || files.iter().filter(|(name, _)| name.ends_with(".seg"));
            let (segment, content) = segments().next_back().unwrap();
            batches.push(Batch { segment: segment.clone(), end: content_end(content), last });
            if segments().map(|(_, bytes)| content_end(bytes)).sum::<usize>() >= bytes {
                let records = history.latest().0.to_vec();
                return Self { files, records, batches };
            }
        }
    }

    /// The book as if it ended in this segment after `len` bytes.
    fn cut(&self, segment: &str, len: usize) -> SimFiles {
        let mut files = self.files.clone();
        files.retain(|name, _| !name.ends_with(".seg") || name.as_str() <= segment);
        files.get_mut(segment).unwrap().truncate(len);
        files
    }

    /// The number of records that must be left; in the padding of a batch it may be there or not.
    fn left(&self, segment: &str, len: usize) -> std::ops::RangeInclusive<usize> {
        let last = |padding: usize| {
            let whole = |batch: &&Batch| {
                let end = batch.end.next_multiple_of(padding);
                batch.segment.as_str() < segment || batch.segment == segment && end <= len
            };
            self.batches.iter().rev().find(whole).map_or(0, |batch| batch.last)
        };
        last(16)..=last(1)
    }

    fn check(&self, segment: &str, len: usize) -> Result<(), Violation> {
        let files = self.cut(segment, len);
        let content = content_end(&files[segment]);
        let storage = MemStorage::from_files(files);
        let left = self.left(segment, len);
        let (log, report) = match Log::open(storage.clone(), options()) {
            // That the first segment has its header is known from the manifest.
            Err(OpenError::Damaged(_)) if segment == FIRST_SEGMENT && *left.end() == 0 => {
                return Ok(());
            }
            other => other.map_err(Violation::Refused)?,
        };
        let last = usize::try_from(report.last.0).unwrap();
        if !left.contains(&last) {
            let (acknowledged, appended) = (*left.start(), *left.end());
            return Err(Violation::Count { last, acknowledged, appended });
        }
        let kept = storage.files().get(segment).map_or(0, |bytes| content_end(bytes));
        let begins = self.batches.iter().any(|batch| batch.segment == segment && batch.end <= len);
        if kept < content && begins && report.tail_cut.is_none() {
            let file = segment.to_owned();
            return Err(Violation::SilentCut { file, before: content, after: kept });
        }
        if len.is_multiple_of(64) {
            check_records(&log, &self.records[..last])?;
        } else if last > 0 {
            let found = log
                .read_one(Lsn(report.last.0))
                .map_err(|error| Violation::Record { lsn: report.last, what: error.to_string() })?;
            if found != *self.records[last - 1] {
                return Err(Violation::Record { lsn: report.last, what: "another one".into() });
            }
        }
        Ok(())
    }
}

/// Cuts a log off at every so manieth byte.
pub fn sweep(seed: u64, bytes: usize, every: usize) -> Result<(), Violation> {
    let book = Book::new(seed, bytes);
    for (segment, content) in book.files.iter().filter(|(name, _)| name.ends_with(".seg")) {
        for len in (0..=content_end(content)).step_by(every) {
            book.check(segment, len)?;
        }
    }
    Ok(())
}

#[test]
fn r03_every_prefix_reopens_to_exactly_the_whole_batches() {
    let book = Book::new(3, sized(64 << 10, 64 << 10, 16 << 20));
    let every = sized(23, 1, 1);
    let mut prefixes = 0;
    let segments = book.files.iter().filter(|(name, _)| name.ends_with(".seg"));
    for (segment, bytes) in segments {
        let end = content_end(bytes);
        let lens: Vec<usize> = (0..=end).filter(|len| len % every == 0 || *len == end).collect();
        prefixes += lens.len();
        in_parallel(lens.len() as u64, |index| {
            let len = lens[usize::try_from(index).unwrap()];
            if let Err(violation) = book.check(segment, len) {
                panic!("{segment} cut at {len}: {violation}");
            }
        });
    }
    println!("R3: {prefixes} prefixes of a log reopened to exactly the whole batches; seed 3");
    assert!(prefixes >= sized(2_500, 64 << 10, 16 << 20), "{prefixes}");
}
