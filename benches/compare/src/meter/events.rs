//! The events that all sides are given: files with one column each, little-endian, which every
//! language maps or reads in one go.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

use counterfoil_compare::Result;
use counterfoil_core::Timestamp;
use counterfoil_meter::workload::{Workload, WorkloadBatch};

/// Events that are made at once.
const CHUNK: usize = 1 << 20;
const MILLI: i64 = 1_000_000;

/// Names of the files, and bytes of a row in each.
const COLUMNS: [(&str, u64); 6] =
    [("hi", 8), ("lo", 8), ("customer", 8), ("meter", 2), ("time", 8), ("units", 8)];

/// Writes events to the files of a folder.
struct Files {
    files: Vec<BufWriter<File>>,
}

impl Files {
    fn create(dir: &Path) -> Result<Self> {
        let create = |(name, _): &(&str, u64)| Ok(BufWriter::new(File::create(dir.join(name))?));
        Ok(Self { files: COLUMNS.iter().map(create).collect::<Result<_>>()? })
    }

    fn write(&mut self, batch: &WorkloadBatch) -> Result<()> {
        let [hi, lo, customer, meter, time, units] = &mut self.files[..] else { return Ok(()) };
        for row in 0..batch.len() {
            let identifier = batch.identifiers[row];
            hi.write_all(&((identifier >> 64) as u64).to_le_bytes())?;
            lo.write_all(&(identifier as u64).to_le_bytes())?;
            customer.write_all(&batch.customers[row].to_le_bytes())?;
            meter.write_all(&batch.names[row].to_le_bytes())?;
            time.write_all(&(batch.times[row] / MILLI).to_le_bytes())?;
            units.write_all(&batch.units[row].to_le_bytes())?;
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        for file in self.files {
            file.into_inner().map_err(|error| error.into_error())?;
        }
        Ok(())
    }
}

/// Writes a workload to a folder.
pub fn write(dir: &Path, workload: &Workload) -> Result<()> {
    let (mut files, mut batch) = (Files::create(dir)?, WorkloadBatch::default());
    for from in (0..workload.len()).step_by(CHUNK) {
        workload.fill(&mut batch, from, CHUNK);
        files.write(&batch)?;
    }
    files.finish()
}

/// Writes the invocations of a language model service to a folder, each as two events: a CSV file
/// with the columns `TIMESTAMP`, `ContextTokens`, `GeneratedTokens` and perhaps `Customer`. It has
/// no identifiers, so every twentieth row is made to come twice; where it names no customers there
/// are a hundred. How many events there are.
pub fn write_trace(dir: &Path, trace: &Path) -> Result<u64> {
    let text =
        fs::read_to_string(trace).map_err(|error| format!("{}: {error}", trace.display()))?;
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| head.iter().position(|found| found.trim() == name);
    let [Some(time), Some(context), Some(generated)] =
        ["TIMESTAMP", "ContextTokens", "GeneratedTokens"].map(column)
    else {
        return Err(format!("{} has not the columns of a trace", trace.display()).into());
    };
    let customer = column("Customer");
    let (mut files, mut batch) = (Files::create(dir)?, WorkloadBatch::default());
    for (number, line) in (0_u64..).zip(lines.filter(|line| !line.is_empty())) {
        let fault = || format!("{}: row {number} is not of a trace: {line}", trace.display());
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let field = |at: usize| fields.get(at).copied().ok_or_else(fault);
        let nanos = nanos(field(time)?).ok_or_else(fault)?;
        let customer = match customer {
            Some(at) => field(at)?.bytes().fold(7, |hash: u64, byte| {
                (hash.rotate_left(9) ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            }),
            None => number.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 57,
        };
        // Prompt and completion, among the meters of the workload.
        for (meter, tokens) in [(4_u16, field(context)?), (5, field(generated)?)] {
            let tokens: i64 = tokens.parse().map_err(|_| fault())?;
            for _ in 0..if number % 20 == 7 { 2 } else { 1 } {
                let identifier = u128::from(number) << 64 | u128::from(meter);
                batch.identifiers.push(identifier.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060));
                batch.customers.push(customer);
                batch.names.push(meter);
                batch.times.push(nanos);
                batch.units.push(tokens * 1_000_000);
            }
        }
    }
    files.write(&batch)?;
    files.finish()?;
    Ok(batch.len() as u64)
}

/// `2023-11-16 18:17:03.9799600`, in whole milliseconds.
fn nanos(text: &str) -> Option<i64> {
    let (second, fraction) = text.split_once('.')?;
    let second = Timestamp::parse(&format!("{}Z", second.replacen(' ', "T", 1))).ok()?;
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some((second.unix() * 1000 + millis) * MILLI)
}

/// Reads the first so many events from a folder.
pub fn read(dir: &Path, events: usize) -> Result<WorkloadBatch> {
    let bytes = |name: &str, width: usize| -> Result<Vec<u8>> {
        use std::io::Read;
        let mut bytes = Vec::with_capacity(events * width);
        File::open(dir.join(name))?.take((events * width) as u64).read_to_end(&mut bytes)?;
        if bytes.len() != events * width {
            return Err(format!("{name} has fewer than {events} rows").into());
        }
        Ok(bytes)
    };
    let words = |name: &str| -> Result<Vec<u64>> {
        let bytes = bytes(name, 8)?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect())
    };
    let (high, low) = (words("hi")?, words("lo")?);
    let join = |(high, low): (&u64, &u64)| u128::from(*high) << 64 | u128::from(*low);
    let identifiers = high.iter().zip(&low).map(join).collect();
    drop((high, low));
    let names = bytes("meter", 2)?;
    let names = names.as_chunks::<2>().0.iter().map(|code| u16::from_le_bytes(*code)).collect();
    Ok(WorkloadBatch {
        names,
        identifiers,
        customers: words("customer")?,
        times: words("time")?.into_iter().map(|millis| millis as i64 * MILLI).collect(),
        units: words("units")?.into_iter().map(|units| units as i64).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("compare-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = folder("columns");
        let workload = Workload::new(3, 5_000, 100, 50);
        write(&dir, &workload).unwrap();
        let mut batch = WorkloadBatch::default();
        workload.fill(&mut batch, 0, 3_000);
        let found = read(&dir, 3_000).unwrap();
        assert_eq!(found.identifiers, batch.identifiers);
        assert_eq!((found.names, found.customers), (batch.names, batch.customers));
        assert_eq!((found.times, found.units), (batch.times, batch.units));
        assert!(read(&dir, 5_001).is_err());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_trace_is_read_to_the_millisecond() {
        let dir = folder("trace");
        let trace = dir.join("trace.csv");
        let head = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n";
        let rows = "2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.0319600,3180,8";
        fs::write(&trace, format!("{head}{rows}")).unwrap();
        assert_eq!(write_trace(&dir, &trace).unwrap(), 4);
        let events = read(&dir, 4).unwrap();
        assert_eq!(events.units, [4_808_000_000, 10_000_000, 3_180_000_000, 8_000_000]);
        assert_eq!(events.times[1], 1_700_158_623_979_000_000);
        let head = "TIMESTAMP,Customer,ContextTokens,GeneratedTokens\n";
        let rows = ["a,1,2", "b,3,4", "a,5,6"].map(|row| format!("2026-01-01 00:00:00.5,{row}\n"));
        fs::write(&trace, format!("{head}{}", rows.concat())).unwrap();
        assert_eq!(write_trace(&dir, &trace).unwrap(), 6);
        let found = read(&dir, 6).unwrap();
        let (one, two) = (found.customers[0], found.customers[2]);
        assert_eq!(found.customers, [one, one, two, two, one, one]);
        assert!(one != two && found.identifiers[0] != found.identifiers[4]);
        for bad in [
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16,4808,10\n",
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,4808\n",
            "TIMESTAMP,Tokens\n",
        ] {
            fs::write(&trace, bad).unwrap();
            assert!(write_trace(&dir, &trace).is_err(), "{bad}");
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
