//! How much is tried, and on how many threads.

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// One of three values, by `COUNTERFOIL_RELIABILITY`.
pub fn sized<T>(ci: T, full: T, long: T) -> T {
    match env::var("COUNTERFOIL_RELIABILITY").as_deref() {
        Err(_) | Ok("ci") => ci,
        Ok("full") => full,
        Ok("long") => long,
        Ok(other) => panic!("COUNTERFOIL_RELIABILITY is {other}: it may be ci, full or long"),
    }
}

/// Whether this is more than what every change is tested with.
pub fn is_large() -> bool {
    sized(false, true, true)
}

/// Does the jobs from 0 on, on as many threads as there are processors.
pub fn in_parallel(jobs: u64, job: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    let threads =
        if is_large() { thread::available_parallelism().map_or(1, usize::from) } else { 1 };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= jobs {
                        break;
                    }
                    job(number);
                }
            });
        }
    });
}
