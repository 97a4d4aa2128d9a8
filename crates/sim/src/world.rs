//! A book in which a case is lived, and the steps that it took.

use crate::acts::Case;
use crate::beginning;
use counterfoil::{
    Command, CreateMeterEvent, CreateMeterEventAdjustment, Engine, Entropy, Error, MemStorage,
    Options, Settings, Timestamp,
};
use counterfoil_scenario::SimulatedGateway;
use serde_json::{Value, json};

/// Customers of a case.
pub const CUSTOMERS: u64 = 2;
/// Years that each of them lives.
pub const YEARS: u64 = 3;

/// Something that was tried.
#[derive(Debug, Clone)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// The operation; empty where time alone went on.
    pub operation: String,
    /// Its parameters.
    pub with: Value,
    /// The code that it was refused with.
    pub fails: Option<String>,
}

impl Step {
    /// Does it on a book.
    ///
    /// # Errors
    /// Why it was refused.
    ///
    /// # Panics
    /// Where the operation does not have these parameters.
    pub fn execute(&self, engine: &Engine) -> Result<(), Error> {
        let with = self.with.clone();
        let read = "the parameters of an act can be read";
        match self.operation.as_str() {
            "" => Ok(()),
            "meter_event.create" => {
                let event: CreateMeterEvent = serde_json::from_value(with).expect(read);
                engine.meter_events().create(&event).map(drop)
            }
            "meter_event_adjustment.create" => {
                let own: CreateMeterEventAdjustment = serde_json::from_value(with).expect(read);
                engine.meter_events().adjust(&own).map(drop)
            }
            operation => {
                let command: Command = serde_json::from_value(json!({ operation: with }))
                    .unwrap_or_else(|error| {
                        panic!("{operation} {}: {error}", self.with);
                    });
                engine.execute(command).map(drop)
            }
        }
    }

    /// The same under other names.
    ///
    /// # Panics
    /// Never: a name is text in text.
    #[must_use]
    pub fn renamed(&self) -> Self {
        let with = serde_json::from_str(&renamed(&self.with.to_string())).unwrap();
        Self { with, ..self.clone() }
    }
}

/// Gives everything that bears a chosen name another one, in the opposite order: `_n12` becomes
/// `_n87`. Done twice it changes nothing.
#[must_use]
pub fn renamed(text: &str) -> String {
    let mut parts = text.split("_n");
    let mut renamed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        renamed.push_str("_n");
        let digits = part.chars().take_while(char::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits.min(2));
        match number.parse::<u32>() {
            Ok(number) => renamed.push_str(&format!("{:02}", 99 - number)),
            Err(_) => renamed.push_str(number),
        }
        renamed.push_str(rest);
    }
    renamed
}

/// A book in which a case is lived.
pub struct World {
    /// The book.
    pub engine: Engine,
    /// What was tried so far.
    pub steps: Vec<Step>,
    /// The time of the book.
    pub now: Timestamp,
}

/// An empty book with the settings of a case, whose due work so many threads decide.
///
/// # Panics
/// Where the settings are refused, which those of a case are not.
#[must_use]
pub fn book(case: &Case, workers: usize) -> Engine {
    let settings: Settings = serde_json::from_value(case.settings()).unwrap();
    let options = Options::default().settings(settings).entropy(Entropy::FIXED).workers(workers);
    Engine::on(MemStorage::new(), options).unwrap()
}

/// The code of a refusal; anything else is a failure, and so is a result that cannot be.
///
/// # Errors
/// What failed.
pub fn code_of(error: &Error) -> Result<String, String> {
    match error {
        Error::Refused(refusal) if refusal.code().as_str() != "impossible_result" => {
            Ok(refusal.code().to_string())
        }
        other => Err(other.to_string()),
    }
}

impl World {
    /// Lives a case to its end; where something is wrong, what it is and the steps up to there.
    ///
    /// # Errors
    /// What is wrong, with the steps.
    ///
    /// # Panics
    /// Beyond the calendar.
    pub fn live(case: &Case) -> Result<Self, (String, Vec<Step>)> {
        let now = case.start();
        let mut world = Self { engine: book(case, 1), steps: Vec::new(), now };
        let end = now.checked_add_days(i64::try_from(YEARS).unwrap() * 365).unwrap();
        let lived = world.all(case, end);
        match lived {
            Ok(()) => Ok(world),
            Err(why) => Err((why, world.steps)),
        }
    }

    fn all(&mut self, case: &Case, end: Timestamp) -> Result<(), String> {
        for (operation, with) in beginning::beginning() {
            self.step(operation, with)?;
        }
        for act in &case.acts {
            let next = self.now.checked_add_seconds(act.wait_seconds()).unwrap();
            if next > end {
                break;
            }
            self.advance(next)?;
            if let Some((operation, with)) = act.step(self) {
                self.step(operation, with)?;
            }
        }
        self.advance(end)?;
        self.steps.push(Step { at: end, operation: String::new(), with: Value::Null, fails: None });
        Ok(())
    }

    fn advance(&mut self, to: Timestamp) -> Result<(), String> {
        self.engine.advance_to(to, &mut SimulatedGateway).map_err(|error| error.to_string())?;
        self.now = to;
        for customer in self.engine.customers().list().unwrap() {
            if let Some(why) = customer.parked {
                return Err(format!("{} is parked: {why}", customer.id));
            }
        }
        Ok(())
    }

    fn step(&mut self, operation: &str, with: Value) -> Result<(), String> {
        if self.steps.is_empty() {
            self.advance(self.now)?;
        }
        let operation = operation.to_owned();
        let mut step = Step { at: self.now, operation, with, fails: None };
        let done = step.execute(&self.engine);
        step.fails = done.as_ref().err().map(code_of).transpose().inspect_err(|_| {
            self.steps.push(step.clone());
        })?;
        self.steps.push(step);
        // What the command made due at once, and the answers of the gateway.
        self.advance(self.now)
    }
}

/// The steps as a scenario, one a line.
///
/// # Panics
/// Never: what is written is a map.
#[must_use]
pub fn scenario(case: &Case, steps: &[Step]) -> String {
    let mut text = format!("settings: {}\nsteps:\n", case.settings());
    for step in steps {
        let mut line = json!({ "at": step.at.to_string() });
        let fields = line.as_object_mut().unwrap();
        if !step.operation.is_empty() {
            fields.insert("do".to_owned(), json!(step.operation));
            fields.insert("with".to_owned(), step.with.clone());
        }
        if let Some(code) = &step.fails {
            fields.insert("fails".to_owned(), json!(code));
        }
        text.push_str(&format!("  - {line}\n"));
    }
    text
}
