//! Years of random but legal life of customers, in every policy: after every record of the log all
//! invariants hold, and what must not matter does not (rule 19).
//!
//! A case that fails is shrunk, and what is left of it is printed as a scenario, which `counterfoil
//! run` takes. `COUNTERFOIL_YEARS` says how many customer-years are lived, `COUNTERFOIL_SEED` which.

#![allow(clippy::disallowed_methods, reason = "size and seed are read from the environment")]

use counterfoil::{Engine, Entropy, MemStorage, Options, Settings, Timestamp};
use counterfoil_scenario::{Document, Format, Outcome, Report, SimulatedGateway, run};
use counterfoil_sim::{
    CUSTOMERS, Case, Step, World, YEARS, audit, book, case, code_of, renamed, scenario,
};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What was lived through, over all cases.
#[derive(Default)]
struct Tally {
    cases: AtomicU64,
    records: AtomicU64,
    /// How often each operation was done, or refused with a code.
    operations: Mutex<BTreeMap<(String, String), u64>>,
}

impl Tally {
    fn count(&self, world: &World, records: u64) {
        self.cases.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
        let mut operations = self.operations.lock().unwrap();
        for step in world.steps.iter().filter(|step| !step.operation.is_empty()) {
            let code = step.fails.clone().unwrap_or_default();
            *operations.entry((step.operation.clone(), code)).or_default() += 1;
        }
    }
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Runs a check on so many cases, on two threads, each with a seed of its own.
fn for_many(cases: u32, check: impl Fn(&Case) -> Result<(), String> + Sync) {
    let seed = from_environment("COUNTERFOIL_SEED", 1);
    let half = |thread: u64| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&thread.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let cases = cases.div_ceil(2);
        let quiet = Config { failure_persistence: None, ..Config::default() };
        let config = Config { cases, max_shrink_iters: 2_000, ..quiet };
        let found = TestRunner::new_with_rng(config, rng)
            .run(&case(), |case| check(&case).map_err(TestCaseError::fail));
        match found {
            Ok(()) => None,
            Err(TestError::Fail(why, case)) => {
                let lived = World::live(&case);
                let steps = lived.map_or_else(|(_, steps)| steps, |world| world.steps);
                Some(format!("{why}\n\n{}", scenario(&case, &steps)))
            }
            Err(error) => Some(error.to_string()),
        }
    };
    let (left, right) = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        (half(0), other.join().unwrap())
    });
    if let Some(failure) = left.or(right) {
        panic!("{failure}");
    }
}

/// Cases that are so many customer-years together.
fn cases_of(customer_years: u64) -> u32 {
    u32::try_from(customer_years.div_ceil(CUSTOMERS * YEARS)).unwrap()
}

#[test]
fn every_invariant_holds_after_every_record() {
    let years = from_environment("COUNTERFOIL_YEARS", 24);
    let (tally, began) = (Tally::default(), Instant::now());
    for_many(cases_of(years), |case| {
        let world = World::live(case).map_err(|(why, _)| why)?;
        let records = audit(&world.engine)?;
        tally.count(&world, records);
        Ok(())
    });
    let (lived, records) = (tally.cases.into_inner(), tally.records.into_inner());
    let operations = tally.operations.into_inner().unwrap();
    let (done, refused): (Vec<_>, Vec<_>) =
        operations.iter().partition(|((_, code), _)| code.is_empty());
    let sum = |counts: Vec<(_, &u64)>| counts.into_iter().map(|(_, count)| count).sum::<u64>();
    let (done, refused) = (sum(done), sum(refused));
    let seconds = began.elapsed().as_secs_f64();
    let years = lived * CUSTOMERS * YEARS;
    for ((operation, code), count) in &operations {
        println!("{count:>9}  {operation}  {code}");
    }
    println!(
        "{years} customer-years in {seconds:.1} s, {:.0} a second: {records} records, {done} \
         commands done, {refused} refused",
        years as f64 / seconds,
    );
    // Most of what is tried has to happen, or little is proven.
    assert!(done > refused, "{done} done, {refused} refused");
}

/// The same steps on a new book, with time in steps of so many seconds at most.
fn again(case: &Case, steps: &[Step], stride: Option<i64>) -> Result<Engine, String> {
    again_on(book(case, 1), steps, stride)
}

fn again_on(engine: Engine, steps: &[Step], stride: Option<i64>) -> Result<Engine, String> {
    let mut now: Option<Timestamp> = None;
    let mut gateway = SimulatedGateway;
    for step in steps {
        while let Some(next) = now.zip(stride).map(|(now, by)| now.checked_add_seconds(by).unwrap())
            && next < step.at
        {
            engine.advance_to(next, &mut gateway).map_err(|error| error.to_string())?;
            now = Some(next);
        }
        engine.advance_to(step.at, &mut gateway).map_err(|error| error.to_string())?;
        now = Some(step.at);
        let code = step.execute(&engine).err().map(|error| code_of(&error));
        let code = code.transpose()?;
        if code != step.fails {
            return Err(format!("{step:?} came to {code:?}"));
        }
    }
    Ok(engine)
}

#[test]
fn small_steps_of_time_and_other_names_change_nothing() {
    let years = from_environment("COUNTERFOIL_YEARS", 24) / 4;
    for_many(cases_of(years), |case| {
        let world = World::live(case).map_err(|(why, _)| why)?;
        let stepped = again(case, &world.steps, Some(86_400))?;
        if stepped.state_hash().unwrap() != world.engine.state_hash().unwrap() {
            return Err("daily steps lead to another book".to_owned());
        }
        // Due work that is decided in its turn, and not before.
        let in_turn = again_on(book(case, 0), &world.steps, None)?;
        if in_turn.receipt().unwrap().head != world.engine.receipt().unwrap().head {
            return Err("deciding in turn leads to another log".to_owned());
        }
        let steps: Vec<Step> = world.steps.iter().map(Step::renamed).collect();
        let other = again(case, &steps, None)?;
        let report = |engine: &Engine| serde_json::to_string(&Report::of(engine, &[]).unwrap());
        let (left, right) = (report(&world.engine).unwrap(), report(&other).unwrap());
        if renamed(&right) != left {
            return Err("other names lead to another book".to_owned());
        }
        Ok(())
    });
}

#[test]
fn a_case_is_a_scenario_that_anybody_can_run() {
    for_many(4, |case| {
        let world = World::live(case).map_err(|(why, _)| why)?;
        let text = scenario(case, &world.steps);
        let document = Document::parse(&text, Format::Yaml, Path::new("."))
            .map_err(|error| format!("{error}\n{text}"))?;
        let settings: Settings = counterfoil_scenario::settings_of(&document).unwrap();
        let options = Options::default().settings(settings).entropy(Entropy::FIXED);
        let engine = Engine::on(MemStorage::new(), options).unwrap();
        let Outcome { failure, .. } = run(&document, &engine, &mut ()).unwrap();
        if let Some(failure) = failure {
            return Err(failure.to_string());
        }
        if engine.state_hash().unwrap() != world.engine.state_hash().unwrap() {
            return Err("the scenario leads to another book".to_owned());
        }
        Ok(())
    });
}
