//! Redis with single events of many connections: a server of its own with a synced append-only
//! file, and a client that does little else than write commands and read answers.

use std::{
    collections::{HashMap, VecDeque},
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use counterfoil_compare::{Result, stats::Latencies};
use counterfoil_meter::workload::WorkloadBatch;

use super::{Arguments, peak_mib};
use crate::{
    child::{Answer, Percentiles},
    rows::{HOUR_NANOS, Key, Row, Ties, Totals},
};

/// An event: its identifier, customer and meter, hour, time in milliseconds, and value. What a row
/// comes to is one field: count, sum, maximum, last and its time.
const TAKE: &str = "
if not redis.call('SET', KEYS[1], '', 'NX') then return 0 end
local time, units = struct.unpack('<i8i8', ARGV[2])
local row = redis.call('HGET', KEYS[2], ARGV[1])
local count, sum, most, last, last_at = 1, units, units, units, time
if row then
    count, sum, most, last, last_at = struct.unpack('<i8i8i8i8i8', row)
    count, sum, most = count + 1, sum + units, math.max(most, units)
    if time >= last_at then last, last_at = units, time end
end
redis.call('HSET', KEYS[2], ARGV[1], struct.pack('<i8i8i8i8i8', count, sum, most, last, last_at))
return 1";
/// Commands that are written in one go.
const FLUSHED: usize = 64;

/// The version of the server, or why there is none.
pub fn version() -> std::result::Result<String, String> {
    let told = Command::new("redis-server").arg("--version").output();
    let told = told.map_err(|error| format!("redis-server: {error}"))?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let version = text.split("v=").nth(1).and_then(|rest| rest.split(' ').next());
    version.map(|version| format!("Redis {version}")).ok_or_else(|| format!("it says {text}"))
}

struct Server {
    process: Child,
    dir: PathBuf,
}

impl Server {
    fn start(dir: PathBuf) -> Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--unixsocket", "socket", "--dir"])
            .arg(&dir)
            .current_dir(&dir)
            .stdout(Stdio::null())
            .spawn()?;
        let server = Self { process, dir };
        for _ in 0..200 {
            if UnixStream::connect(server.socket()).is_ok() {
                return Ok(server);
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err("redis-server does not answer".into())
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is to go with its folder; what it does not want to say is of no interest any more.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// An answer of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reply {
    Number(i64),
    Text(Vec<u8>),
    Nothing,
    Many(Vec<Reply>),
}

/// A connection: commands that were not written yet, and answers that were not taken yet.
struct Connection {
    stream: UnixStream,
    out: Vec<u8>,
    given: Vec<u8>,
    taken: usize,
}

impl Connection {
    fn open(socket: &Path) -> Result<Self> {
        let (out, given) = (Vec::new(), Vec::new());
        Ok(Self { stream: UnixStream::connect(socket)?, out, given, taken: 0 })
    }

    fn say(&mut self, words: &[&[u8]]) -> Result<()> {
        write!(self.out, "*{}\r\n", words.len())?;
        for word in words {
            write!(self.out, "${}\r\n", word.len())?;
            self.out.extend_from_slice(word);
            self.out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// The next answer, waited for.
    fn hear(&mut self) -> Result<Reply> {
        loop {
            if let Some(reply) = self.heard()? {
                return Ok(reply);
            }
            let mut more = [0; 1 << 16];
            let read = self.stream.read(&mut more)?;
            if read == 0 {
                return Err("redis-server hung up".into());
            }
            self.given.drain(..self.taken);
            self.taken = 0;
            self.given.extend_from_slice(&more[..read]);
        }
    }

    /// The next answer, if all of it was read already.
    fn heard(&mut self) -> Result<Option<Reply>> {
        let mut at = self.taken;
        let reply = parse(&self.given, &mut at)?;
        if reply.is_some() {
            self.taken = at;
        }
        Ok(reply)
    }

    fn ask(&mut self, words: &[&[u8]]) -> Result<Reply> {
        self.say(words)?;
        self.flush()?;
        self.hear()
    }
}

/// An answer from a place on; `None` where it goes on behind the bytes.
fn parse(bytes: &[u8], at: &mut usize) -> Result<Option<Reply>> {
    let rest = bytes.get(*at..).unwrap_or_default();
    let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let (kind, text) = (rest[0], std::str::from_utf8(&rest[1..end])?);
    *at += end + 2;
    let number = || -> Result<i64> { Ok(text.parse()?) };
    Ok(Some(match kind {
        b':' => Reply::Number(number()?),
        b'+' => Reply::Text(text.as_bytes().to_vec()),
        b'$' => {
            let Ok(len) = usize::try_from(number()?) else { return Ok(Some(Reply::Nothing)) };
            let Some(found) = bytes.get(*at..*at + len + 2) else { return Ok(None) };
            *at += len + 2;
            Reply::Text(found[..len].to_vec())
        }
        b'*' => {
            let mut many = Vec::new();
            for _ in 0..number()?.max(0) {
                let Some(one) = parse(bytes, at)? else { return Ok(None) };
                many.push(one);
            }
            Reply::Many(many)
        }
        _ => return Err(format!("redis-server says {}{text}", char::from(kind)).into()),
    }))
}

pub fn measure(arguments: &Arguments, events: &WorkloadBatch, ties: &Ties) -> Result<Answer> {
    let server = Server::start(arguments.dir.join("redis"))?;
    let socket = server.socket();
    let mut base = Connection::open(&socket)?;
    let Reply::Text(script) = base.ask(&[b"SCRIPT", b"LOAD", TAKE.as_bytes()])? else {
        return Err("the script was not taken".into());
    };
    let mut acks = Latencies::new()?;
    let began = Instant::now();
    thread::scope(|scope| -> Result<()> {
        let (script, socket) = (&script, &socket);
        let start = |first| {
            scope.spawn(move || {
                let step = arguments.threads;
                give(Connection::open(socket)?, script, events, (first, step), arguments.held)
            })
        };
        let threads: Vec<_> = (0..arguments.threads).map(start).collect();
        for thread in threads {
            acks.join(&thread.join().map_err(|_| "a thread panicked")??)?;
        }
        Ok(())
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let totals = read(&mut base, ties)?;
    Ok(Answer {
        seconds,
        peak_mib: peak_mib(),
        ack: Some(Percentiles::of(&acks)),
        totals,
        ..Answer::default()
    })
}

/// Gives every so-manieth event, one by one: how long each took to its answer.
fn give(
    mut base: Connection,
    script: &[u8],
    events: &WorkloadBatch,
    (first, step): (usize, usize),
    held: usize,
) -> Result<Latencies> {
    let mut acks = Latencies::new()?;
    let mut given = VecDeque::with_capacity(held);
    for (count, row) in (1..).zip((first..events.len()).step_by(step)) {
        given.push_back(Instant::now());
        let time = events.times[row];
        let mut key = [0; 10];
        key[..8].copy_from_slice(&events.customers[row].to_le_bytes());
        key[8..].copy_from_slice(&events.names[row].to_le_bytes());
        let mut event = [0; 16];
        event[..8].copy_from_slice(&(time / 1_000_000).to_le_bytes());
        event[8..].copy_from_slice(&events.units[row].to_le_bytes());
        let hour = u32::try_from(time / HOUR_NANOS)?.to_le_bytes();
        let identifier = events.identifiers[row].to_be_bytes();
        base.say(&[b"EVALSHA", script, b"2", &identifier, &key, &hour, &event])?;
        if count % FLUSHED == 0 || given.len() >= held {
            base.flush()?;
        }
        settle(&mut base, &mut given, held.saturating_sub(1), &mut acks)?;
    }
    base.flush()?;
    settle(&mut base, &mut given, 0, &mut acks)?;
    Ok(acks)
}

/// Takes the answers that are there, and waits for one where more are not than may be.
fn settle(
    base: &mut Connection,
    given: &mut VecDeque<Instant>,
    held: usize,
    acks: &mut Latencies,
) -> Result<()> {
    while let Some(at) = given.front() {
        let reply = match base.heard()? {
            Some(reply) => reply,
            None if given.len() > held => base.hear()?,
            None => return Ok(()),
        };
        if !matches!(reply, Reply::Number(0 | 1)) {
            return Err(format!("redis-server answered {reply:?} to an event").into());
        }
        acks.add(at.elapsed());
        given.pop_front();
    }
    Ok(())
}

/// What all rows add up to.
fn read(base: &mut Connection, ties: &Ties) -> Result<Totals> {
    let (mut totals, mut cursor) = (Totals::default(), b"0".to_vec());
    // A key can be named more than once.
    let mut seen: HashMap<Vec<u8>, ()> = HashMap::new();
    loop {
        let found = base.ask(&[b"SCAN", &cursor, b"COUNT", b"10000", b"TYPE", b"hash"])?;
        let Reply::Many(found) = found else { return Err("SCAN gave no list".into()) };
        let [Reply::Text(next), Reply::Many(names)] = &found[..] else {
            return Err("SCAN gave another list".into());
        };
        for name in names {
            let Reply::Text(name) = name else { return Err("a key is no text".into()) };
            if seen.insert(name.clone(), ()).is_none() {
                let Reply::Many(fields) = base.ask(&[b"HGETALL", name])? else {
                    return Err("HGETALL gave no list".into());
                };
                add(&mut totals, name, &fields, ties)?;
            }
        }
        cursor = next.clone();
        if cursor == b"0" {
            return Ok(totals);
        }
    }
}

fn add(totals: &mut Totals, name: &[u8], fields: &[Reply], ties: &Ties) -> Result<()> {
    let (customer, meter) = name.split_at(8);
    let (customer, meter) = (customer.try_into()?, meter.try_into()?);
    let (customer, meter) = (u64::from_le_bytes(customer), u16::from_le_bytes(meter));
    for pair in fields.chunks(2) {
        let [Reply::Text(hour), Reply::Text(row)] = pair else {
            return Err("a hash holds what was not put there".into());
        };
        let word = |at: usize| -> Result<i64> {
            let bytes = row.get(at * 8..at * 8 + 8).ok_or("a row is short")?;
            Ok(i64::from_le_bytes(bytes.try_into()?))
        };
        let key: Key = (customer, meter, u32::from_le_bytes(hour[..].try_into()?));
        let count = u64::try_from(word(0)?)?;
        let row = Row { count, sum: word(1)?, max: word(2)?, last: word(3)?, last_at: 0 };
        totals.add(key, &row, ties);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let bytes = b"*2\r\n$3\r\na\r\n\r\n*1\r\n:-7\r\n$-1\r\n+OK\r\n";
        let mut at = 0;
        let text = |text: &[u8]| Reply::Text(text.to_vec());
        let many = Reply::Many(vec![text(b"a\r\n"), Reply::Many(vec![Reply::Number(-7)])]);
        assert_eq!(parse(bytes, &mut at).unwrap(), Some(many));
        assert_eq!(parse(bytes, &mut at).unwrap(), Some(Reply::Nothing));
        assert_eq!(parse(bytes, &mut at).unwrap(), Some(text(b"OK")));
        assert_eq!(at, bytes.len());
        for cut in 0..20 {
            assert_eq!(parse(&bytes[..cut], &mut 0).unwrap(), None, "{cut}");
        }
        assert!(parse(b"-ERR no\r\n", &mut 0).is_err());
    }
}
