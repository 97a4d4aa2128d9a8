//! How long it takes until a store that was closed answers again.

use std::{
    fs::{self, File},
    path::Path,
    time::Instant,
};

use counterfoil_compare::Result;
use counterfoil_core::Timestamp;
use counterfoil_meter::{Aggregator, Position, store::MeterStore};
use rustix::fs::{Advice, fadvise};

use super::{Arguments, Disk, all_hours, check_rows, disk_mib, end_of, meters, month};
use super::{peak_mib, read};
use crate::{
    child::{Answer, Kept, Recovery},
    events, rows,
};

/// How the files of checkpoints end.
const CHECKPOINT: &str = "snap";
/// Where they are while a store is opened without.
const ASIDE: &str = "aside";

/// Fills a store, writes a checkpoint, and closes it.
pub fn build(arguments: &Arguments) -> Result<Answer> {
    let began = Instant::now();
    let events = events::read(&arguments.dir, usize::try_from(arguments.events)?)?;
    let load_seconds = began.elapsed().as_secs_f64();
    let (now, ids) = (end_of(&events)?, meters());
    let disk = Disk::create(arguments, &ids, now)?;
    let began = Instant::now();
    for from in (0..events.len()).step_by(arguments.batch) {
        let to = events.len().min(from + arguments.batch);
        // Whoever gives too much first helps to write.
        let _ = disk.store.ingest(events.columns(from..to)?, now)?;
    }
    disk.store.commit()?;
    let seconds = began.elapsed().as_secs_f64();
    let began = Instant::now();
    disk.store.checkpoint()?.ok_or("there is nothing to write a checkpoint of")?;
    let checkpoint_seconds = began.elapsed().as_secs_f64();
    disk.close()?;
    let recovery = Recovery {
        open_seconds: checkpoint_seconds,
        checkpoint: true,
        disk_mib: disk_mib(&arguments.store()),
        ..Recovery::default()
    };
    Ok(Answer { seconds, load_seconds, recovery: Some(recovery), ..Answer::default() })
}

/// Opens the store, with its checkpoint or without.
pub fn measure(arguments: &Arguments) -> Result<Answer> {
    let (store, aside) = (arguments.store(), arguments.dir.join(ASIDE));
    let with = !arguments.replay;
    fs::create_dir_all(&aside)?;
    if !with {
        move_checkpoints(&store, &aside)?;
    }
    let done = open(arguments, with);
    move_checkpoints(&aside, &store)?;
    done
}

fn move_checkpoints(from: &Path, to: &Path) -> Result<()> {
    for file in fs::read_dir(from)? {
        let file = file?;
        if Path::new(&file.file_name()).extension().is_some_and(|ending| ending == CHECKPOINT) {
            fs::rename(file.path(), to.join(file.file_name()))?;
        }
    }
    Ok(())
}

fn open(arguments: &Arguments, with: bool) -> Result<Answer> {
    let dir = arguments.store();
    let ids = meters();
    let ties = rows::read_ties(&arguments.dir, arguments.events)?;
    let mut keys = rows::read_keys(&arguments.dir, arguments.events)?;
    let customer = keys.get(keys.len() / 2).ok_or("there are no rows")?.0;
    let last = keys.iter().map(|key| i64::from(key.2)).max().unwrap_or_default();
    let now = Timestamp::from_unix((last + 1) * 3_600)?;
    let (customer, month) = (format!("{customer:016x}"), month(now)?);
    if arguments.cold {
        drop_from_cache(&dir)?;
    }
    let began = Instant::now();
    let (store, opened) = MeterStore::open(&dir, arguments.options())?;
    let open_seconds = began.elapsed().as_secs_f64();
    let asked: u64 = store.read(|meters| {
        let totals = meters.running_totals(&customer, month, Position::MAX);
        totals.map(|(_, totals)| totals.events).sum()
    })?;
    let first_query_seconds = began.elapsed().as_secs_f64();
    let hours = keys.clone();
    all_hours(&mut keys);
    let reading = Instant::now();
    let series = store.read(|meters| read(meters, &ids, &keys, &ties))??;
    let warm_seconds = first_query_seconds + reading.elapsed().as_secs_f64();
    store.read(|meters| check_rows(meters, &hours))??;
    if asked == 0 {
        return Err("the first query found nothing".into());
    }
    if opened.checkpoint.is_some() != with {
        let skipped = opened.skipped;
        return Err(format!("a checkpoint was to be used: {with}; skipped: {skipped:?}").into());
    }
    let kept = Kept::of(&store.read(Aggregator::memory)?);
    store.close()?;
    Ok(Answer {
        seconds: open_seconds,
        peak_mib: peak_mib(),
        kept: Some(kept),
        series: Some(series),
        recovery: Some(Recovery {
            open_seconds,
            first_query_seconds,
            warm_seconds,
            replayed: opened.replayed,
            checkpoint: with,
            disk_mib: disk_mib(&dir),
        }),
        ..Answer::default()
    })
}

/// Lets the system forget what it has of the files of a folder.
fn drop_from_cache(dir: &Path) -> Result<()> {
    for file in fs::read_dir(dir)? {
        let file = file?;
        if file.file_type()?.is_file() {
            let file = File::open(file.path())?;
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}
