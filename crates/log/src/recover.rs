//! Opening: what a crash left is put in order, and what no crash explains is refused.
//!
//! A broken batch is a torn tail, and cut, if all of this holds: the book was not closed, the
//! batch lies beyond every place known to be synced, nothing whole follows it, and it is broken as
//! an interrupted write would be. In every other case the book is refused and not touched.

use std::sync::Arc;

use crate::{
    Frontier, LogOptions, Lsn, OpenReport,
    bugs::{Bug, planted},
    bytes::{narrow, wide},
    catalog::Active,
    chain::Chain,
    error::{IoError, OpenError},
    header::Place,
    index::Rows,
    limits::{PENDING_BYTES_MAX, READ_AHEAD_BYTES, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN},
    manifest::{BookState, Manifest},
    segment::{BATCHES_AT, SegmentHeader, segment_name, segment_number},
    storage::{Access, Storage, StorageFile},
    survey::{Depth, Found, Survey, survey},
    writer::{Resume, Writer, create_segment, remove_prepared},
};

/// A book ready to be written.
pub(crate) struct Recovered {
    pub(crate) writer: Writer,
    pub(crate) report: OpenReport,
}

/// Puts the book in order and opens it. The caller has locked it.
pub(crate) fn recover(
    storage: Arc<dyn Storage>,
    options: &LogOptions,
) -> Result<Recovered, OpenError> {
    check(options)?;
    sync_what_is_there(&*storage)?;
    let recovered = match survey(&*storage, Depth::Last)? {
        Found::New(leftovers) => create(storage, &leftovers, options)?,
        Found::Book(survey) => {
            let mut survey = *survey;
            if let Some(damage) = survey.damage.pop() {
                return Err(OpenError::Damaged(damage));
            }
            reopen(storage, survey, options)?
        }
    };
    Ok(recovered)
}

fn check(options: &LogOptions) -> Result<(), OpenError> {
    for (option, found, min, max) in [
        ("segment_bytes", options.segment_bytes, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX),
        ("pending_bytes_max", wide(options.pending_bytes_max), 1, wide(PENDING_BYTES_MAX)),
    ] {
        if found < min || found > max {
            return Err(OpenError::Option { option, found, min, max });
        }
    }
    Ok(())
}

/// A process that died may have left bytes that are in memory and not on disk. Only the last
/// segment can hold such bytes: the others were synced before the next one was created.
fn sync_what_is_there(storage: &dyn Storage) -> Result<(), IoError> {
    let names = storage.list().map_err(IoError::at("list", "the book"))?;
    if let Some(number) = names.iter().filter_map(|name| segment_number(name)).max() {
        let name = segment_name(number);
        let file = storage.open(&name, Access::Write).map_err(IoError::at("open", &name))?;
        file.sync_data().map_err(IoError::at("sync", &name))?;
    }
    storage.sync_dir().map_err(IoError::at("sync", "the directory of the book"))
}

/// Creates a book: the manifest comes last, so that a book with one is complete.
fn create(
    storage: Arc<dyn Storage>,
    leftovers: &[String],
    options: &LogOptions,
) -> Result<Recovered, OpenError> {
    for name in leftovers {
        storage.remove(name).map_err(IoError::at("remove", name))?;
    }
    let last = Lsn::ZERO;
    let manifest = Manifest::initial(options.book_id);
    let Manifest { synced: end, book, .. } = manifest;
    let frontier = Frontier::default();
    let header = SegmentHeader { first: last.next(), previous_end: 0, book, frontier };
    create_segment(&*storage, end.segment, &header)?;
    manifest.replace(&*storage)?;
    let active = Active { segment: end.segment, first: last.next(), rows: Rows::default() };
    let resume = Resume { end, last, book, chain: Chain::default(), active };
    let writer = Writer::resume(storage, resume, options.segment_bytes)?;
    let segments = end.segment;
    let report =
        OpenReport { created: true, clean: true, last, segments, book_id: book, tail_cut: None };
    Ok(Recovered { writer, report })
}

fn reopen(
    storage: Arc<dyn Storage>,
    survey: Survey,
    options: &LogOptions,
) -> Result<Recovered, OpenError> {
    remove_prepared(&*storage)?;
    if let Some(number) = survey.unfinished {
        let name = segment_name(number);
        storage.remove(&name).map_err(IoError::at("remove", &name))?;
        storage.sync_dir().map_err(IoError::at("sync", "the directory of the book"))?;
    }
    mend(&*storage, &survey)?;
    let Survey { manifest, mut segments, mut chain, mut active, last, .. } = survey;
    let Survey { mut end, sealed, tail, .. } = survey;
    let book = manifest.book;
    let frontier = chain.settle().clone();
    let (stream, head) = (frontier.stream_len(), frontier.root());
    if let Some((previous_end, _)) = sealed {
        // The power went before the next segment was begun.
        let first = last.next();
        segments = segments.saturating_add(1);
        end = Place { segment: segments, offset: BATCHES_AT };
        let header = SegmentHeader { first, previous_end, book, frontier };
        create_segment(&*storage, segments, &header)?;
        chain.begin_segment();
        active = Active { segment: segments, first, rows: Rows::default() };
    }
    Manifest { state: BookState::Open, synced: end, last, stream, book, head }
        .replace(&*storage)?;
    let resume = Resume { end, last, book, chain, active };
    let writer = Writer::resume(storage, resume, options.segment_bytes)?;
    let clean = manifest.state == BookState::Closed;
    let tail = tail.filter(|_| !planted(Bug::CutNotReported));
    let report =
        OpenReport { created: false, clean, last, segments, book_id: book, tail_cut: tail };
    Ok(Recovered { writer, report })
}

/// Cuts a torn tail, or what was written ahead of a footer, and makes sure of all that stays.
fn mend(storage: &dyn Storage, survey: &Survey) -> Result<(), IoError> {
    let Survey { end, unsynced_from, .. } = *survey;
    let (keep, len) = survey.sealed.unwrap_or((end.offset, end.offset));
    if survey.tail.is_none() && unsynced_from >= keep && len <= keep {
        return Ok(());
    }
    let name = segment_name(end.segment);
    let file = storage.open(&name, Access::Write).map_err(IoError::at("open", &name))?;
    if (survey.tail.is_some() || len > keep) && !planted(Bug::TailNotCut) {
        file.set_len(keep).map_err(IoError::at("shorten", &name))?;
    }
    if survey.manifest.state == BookState::Open && !planted(Bug::RewriteLeftOut) {
        rewrite(&*file, unsynced_from, keep).map_err(IoError::at("rewrite", &name))?;
    }
    file.sync_data().map_err(IoError::at("sync", &name))
}

/// Writes the same bytes again. After a sync that failed, the system may hold pages for clean that
/// never reached the disk, and a second sync would pass over them.
fn rewrite(file: &dyn StorageFile, from: u64, to: u64) -> std::io::Result<()> {
    let mut buffer = vec![0; READ_AHEAD_BYTES];
    let mut at = from;
    while at < to {
        let len = narrow(to.saturating_sub(at)).min(buffer.len());
        let bytes = buffer.get_mut(..len).unwrap_or_default();
        if file.read_at(bytes, at)? < len {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all_at(bytes, at)?;
        at = at.saturating_add(wide(len));
    }
    Ok(())
}
