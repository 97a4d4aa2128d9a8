//! Group commit for stores that have none: one thread writes what all others have queued.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle, Thread},
};

use super::{Client, Engine};
use crate::{Result, payload::Record};

/// What one thread writes to.
pub trait Sink: Send + 'static {
    /// Writes all records of all jobs in one synced transaction.
    fn write(&mut self, jobs: &[Job]) -> Result<()>;
}

/// What a thread wants written.
pub struct Job {
    pub records: Vec<Record>,
    answer: Arc<Answer>,
}

struct Answer {
    state: AtomicU8,
    thread: Thread,
}

const WAITING: u8 = 0;
const WRITTEN: u8 = 1;
const FAILED: u8 = 2;

/// Most jobs in one transaction; there are never more clients than that.
const JOBS_MAX: usize = 1024;

/// A store with a thread of its own that writes.
pub struct Queued {
    jobs: Option<Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Queued {
    pub fn new(sink: impl Sink) -> Self {
        let (jobs, queue) = channel();
        let writer = thread::spawn(move || write(sink, &queue));
        Self { jobs: Some(jobs), writer: Some(writer) }
    }
}

fn write(mut sink: impl Sink, queue: &Receiver<Job>) {
    let mut jobs = Vec::with_capacity(JOBS_MAX);
    while let Ok(job) = queue.recv() {
        jobs.push(job);
        jobs.extend(queue.try_iter().take(JOBS_MAX - 1));
        let written = sink.write(&jobs);
        if let Err(error) = &written {
            eprintln!("the writing thread: {error}");
        }
        let state = if written.is_ok() { WRITTEN } else { FAILED };
        for job in jobs.drain(..) {
            job.answer.state.store(state, Ordering::Release);
            job.answer.thread.unpark();
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Engine for Queued {
    fn client(&self) -> Result<Box<dyn Client + '_>> {
        let jobs = self.jobs.clone().ok_or("the store is closed")?;
        let answer = Answer { state: AtomicU8::new(WAITING), thread: thread::current() };
        Ok(Box::new(Door { jobs, answer: Arc::new(answer) }))
    }
}

struct Door {
    jobs: Sender<Job>,
    answer: Arc<Answer>,
}

impl Client for Door {
    fn put(&mut self, records: &[Record]) -> Result<()> {
        self.answer.state.store(WAITING, Ordering::Relaxed);
        let job = Job { records: records.to_vec(), answer: Arc::clone(&self.answer) };
        self.jobs.send(job).map_err(|_| "the writing thread is gone")?;
        loop {
            match self.answer.state.load(Ordering::Acquire) {
                WAITING => thread::park(),
                WRITTEN => return Ok(()),
                _ => return Err("the writing thread failed".into()),
            }
        }
    }
}
