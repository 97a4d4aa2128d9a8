//! What a subscriber is told. Alone in its process: a thread without a subscriber that comes by a
//! span first has it switched off for a moment.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
};

use counterfoil_log::{
    Access, Log, LogOptions, MemStorage, NewEvent, NewRecord, RecordKind, Storage,
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::with_default,
};

const FIRST_SEGMENT: &str = "0000000001.seg";

fn open(storage: MemStorage) -> Log {
    let options = LogOptions { segment_bytes: 8 << 10, ..LogOptions::default() };
    Log::open(storage, options).unwrap().0
}

fn numbered(n: u64) -> NewRecord {
    let body = vec![7; usize::try_from(600 + n % 90).unwrap()];
    let event = NewEvent {
        stream: "customer/1".into(),
        stream_version: n,
        type_id: 3,
        schema: 1,
        body,
        personal: Vec::new(),
    };
    NewRecord { at: 5, kind: RecordKind::Events, meta: Vec::new(), events: vec![event] }
}

/// Writes down the names of spans and the messages of events.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn say(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }
}

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.say(format!("{value:?}"));
        }
    }
}

impl Subscriber for Heard {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.say(span.metadata().name());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[track_caller]
fn check(expected: &[&str], work: impl FnOnce()) {
    let heard = Heard::default();
    with_default(heard.clone(), work);
    assert_eq!(*heard.0.lock().unwrap(), expected);
}

#[test]
fn a_subscriber_hears_of_opening_commits_segments_and_the_end() {
    let storage = MemStorage::new();
    check(&["open", "opened the book", "commit", "commit", "closed the book"], || {
        let log = open(storage.clone());
        for n in 1..=2 {
            let at = log.append(numbered(n)).unwrap();
            log.wait(at).unwrap();
        }
        log.close().unwrap();
    });
    check(&["open", "opened the book", "commit", "began a segment", "wrote space ahead"], || {
        let log = open(storage.clone());
        (3..=150).for_each(|n| assert_eq!(log.append(numbered(n)).unwrap().0, n));
        log.commit().unwrap();
        log.reserve(1).unwrap();
    });
    let last = storage.list().unwrap().into_iter().filter(|name| name.ends_with(".seg")).max();
    let last = last.filter(|name| name != FIRST_SEGMENT).unwrap();
    let file = storage.open(&last, Access::Write).unwrap();
    file.write_all_at(&[7; 100], file.len().unwrap()).unwrap();
    check(&["open", "opened the book", "cut a torn tail"], || drop(open(storage.clone())));
}
