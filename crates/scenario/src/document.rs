//! A scenario file as settings and steps, checked as far as that needs no knowledge of commands.

use crate::de::{DecodeError, decode};
use crate::limits::SCENARIO_BYTES_MAX;
use crate::node::{Format, Key, Node, SyntaxError, Value};
use crate::reference::{ReferenceError, references};
use crate::usage::Columns;
use counterfoil::files::{FileError, FileFormat};
use counterfoil_core::{Refusal, Timestamp};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A scenario file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The settings of the book, where the file has some.
    pub settings: Option<Node>,
    /// The steps in time order.
    pub steps: Vec<Step>,
}

/// A step of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which step of the file it is, from 1.
    pub number: usize,
    /// The line it begins on, from 1.
    pub line: usize,
    /// Where the clock is moved to before the step; `None` leaves it where it is. Never earlier
    /// than in a step before.
    pub at: Option<Timestamp>,
    /// What the step does then.
    pub body: Body,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Nothing but moving the clock.
    Advance,
    /// A command.
    Do(Operation),
    /// A file of meter events.
    Usage(UsageStep),
    /// A comparison with the report.
    Expect(Node),
}

/// A command as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its name: `customer.create`.
    pub name: String,
    /// The line of the name, from 1.
    pub name_line: usize,
    /// Its parameters: a map, empty where none were given.
    pub with: Node,
    /// The code that it must be refused with.
    pub fails: Option<String>,
    /// The key under which it is done once only.
    pub idempotency_key: Option<String>,
    /// What it must come to: of a preview only.
    pub expect: Option<Node>,
}

/// A file of meter events as it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageStep {
    /// Its name as it was written, for reports.
    pub file: String,
    /// The same, relative to the folder of the scenario.
    pub path: PathBuf,
    /// Which column holds which field.
    pub columns: Columns,
}

/// A scenario that cannot be run as it is: nothing of it was done.
#[derive(Debug)]
pub struct Unreadable {
    /// The step, from 1; `None` where the fault is not inside of one.
    pub step: Option<usize>,
    /// The line, from 1; `None` where the file could not be read at all.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: UnreadableProblem,
}

/// What makes a scenario unreadable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnreadableProblem {
    /// The file cannot be opened or read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// The file has more bytes than are read.
    #[error("{}: more than {SCENARIO_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is no YAML or JSON.
    #[error("column {}: {}", .0.column, .0.reason)]
    Syntax(SyntaxError),
    /// A key of the file, or of a step, that does not exist.
    #[error("unknown key {key:?}")]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// An operation that does not exist.
    #[error("unknown operation {operation:?}")]
    UnknownOperation {
        /// Its name.
        operation: String,
    },
    /// A parameter that the operation does not have.
    #[error("unknown field {path}")]
    UnknownField {
        /// Its path under `with`.
        path: String,
    },
    /// A key with a value that it cannot have, or without another that it needs.
    #[error("{key}: {reason}")]
    Malformed {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Braces around something that is no reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A step earlier than one before it.
    #[error("time goes back from {before} to {at}")]
    TimeGoesBack {
        /// The time of the step.
        at: Timestamp,
        /// The latest time before.
        before: Timestamp,
    },
    /// A usage file that is missing, or of a format that is not read.
    #[error(transparent)]
    Usage(#[from] FileError),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.step, self.line) {
            (Some(step), Some(line)) => write!(f, "step {step}, line {line}: ")?,
            (Some(step), None) => write!(f, "step {step}: ")?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for Unreadable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.problem.source()
    }
}

impl Document {
    /// Reads a scenario file and looks whether its usage files are there.
    ///
    /// # Errors
    /// [`Unreadable`] for the first fault.
    pub fn read(path: &Path) -> Result<Self, Unreadable> {
        let text = read_text(path).map_err(|problem| outside(None, problem))?;
        let base = path.parent().unwrap_or(Path::new(""));
        let document = Self::parse(&text, Format::of_path(path), base)?;
        for step in &document.steps {
            if let Body::Usage(usage) = &step.body {
                check_file(&usage.path).map_err(|error| step.unreadable(step.line, error))?;
            }
        }
        Ok(document)
    }

    /// Reads the text of a scenario whose usage files are named relative to `base`. It looks at no
    /// file.
    ///
    /// # Errors
    /// [`Unreadable`] for the first fault.
    pub fn parse(text: &str, format: Format, base: &Path) -> Result<Self, Unreadable> {
        let root = Node::parse(text, format)
            .map_err(|error| outside(Some(error.line), UnreadableProblem::Syntax(error)))?;
        let Some(entries) = root.entries() else {
            return Err(outside(Some(root.line), malformed("the file", expected("a map", &root))));
        };
        let mut document = Self { settings: None, steps: Vec::new() };
        let mut steps = None;
        for (key, node) in entries {
            match key.name.as_str() {
                "settings" if node.entries().is_some() => document.settings = Some(node.clone()),
                "steps" if node.elements().is_some() => steps = node.elements(),
                "settings" => {
                    let problem = malformed("settings", expected("a map", node));
                    return Err(outside(Some(node.line), problem));
                }
                "steps" => {
                    let problem = malformed("steps", expected("a list", node));
                    return Err(outside(Some(node.line), problem));
                }
                _ => return Err(outside(Some(key.line), unknown_key(key))),
            }
        }
        let Some(steps) = steps else {
            return Err(outside(Some(root.line), malformed("steps", "it is required".into())));
        };
        let mut clock = None;
        for (index, node) in steps.iter().enumerate() {
            let number = index.saturating_add(1);
            let step = parse_step(number, node, base).map_err(|fault| Unreadable {
                step: Some(number),
                line: Some(fault.line),
                problem: fault.problem,
            })?;
            if let (Some(at), Some(before)) = (step.at, clock)
                && at < before
            {
                let line = node.get("at").map_or(node.line, |at| at.line);
                return Err(step.unreadable(line, UnreadableProblem::TimeGoesBack { at, before }));
            }
            clock = step.at.or(clock);
            document.steps.push(step);
        }
        Ok(document)
    }
}

impl Step {
    /// The error for a fault of this step.
    pub fn unreadable(&self, line: usize, problem: impl Into<UnreadableProblem>) -> Unreadable {
        Unreadable { step: Some(self.number), line: Some(line), problem: problem.into() }
    }
}

fn outside(line: Option<usize>, problem: UnreadableProblem) -> Unreadable {
    Unreadable { step: None, line, problem }
}

fn read_text(path: &Path) -> Result<String, UnreadableProblem> {
    let io = |error| UnreadableProblem::Io { path: path.to_owned(), error };
    let file = File::open(path).map_err(io)?;
    let bound = u64::try_from(SCENARIO_BYTES_MAX).unwrap_or(u64::MAX);
    let mut text = String::new();
    file.take(bound.saturating_add(1)).read_to_string(&mut text).map_err(io)?;
    if text.len() > SCENARIO_BYTES_MAX {
        return Err(UnreadableProblem::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

fn check_file(path: &Path) -> Result<(), FileError> {
    FileFormat::of_path(path)?;
    match File::open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(FileError::Io { path: path.to_owned(), error }),
    }
}

/// A fault inside of a step.
struct Fault {
    line: usize,
    problem: UnreadableProblem,
}

impl Fault {
    fn new(line: usize, problem: UnreadableProblem) -> Self {
        Self { line, problem }
    }
}

fn malformed(key: &str, reason: String) -> UnreadableProblem {
    UnreadableProblem::Malformed { key: key.to_owned(), reason }
}

fn unknown_key(key: &Key) -> UnreadableProblem {
    UnreadableProblem::UnknownKey { key: key.name.clone() }
}

fn expected(what: &str, node: &Node) -> String {
    format!("expected {what}, not {}", node.describe())
}

/// The keys of a step.
#[derive(Default)]
struct Keys<'n> {
    at: Option<&'n Node>,
    operation: Option<&'n Node>,
    with: Option<&'n Node>,
    fails: Option<&'n Node>,
    idempotency_key: Option<&'n Node>,
    usage: Option<&'n Node>,
    columns: Option<&'n Node>,
    expect: Option<&'n Node>,
}

fn parse_step(number: usize, node: &Node, base: &Path) -> Result<Step, Fault> {
    let Some(entries) = node.entries() else {
        return Err(Fault::new(node.line, malformed("step", expected("a map", node))));
    };
    let mut keys = Keys::default();
    for (key, value) in entries {
        let place = match key.name.as_str() {
            "at" => &mut keys.at,
            "do" => &mut keys.operation,
            "with" => &mut keys.with,
            "fails" => &mut keys.fails,
            "idempotency_key" => &mut keys.idempotency_key,
            "usage" => &mut keys.usage,
            "columns" => &mut keys.columns,
            "expect" => &mut keys.expect,
            _ => return Err(Fault::new(key.line, unknown_key(key))),
        };
        *place = Some(value);
    }
    keys.check_company()?;
    let at = keys.at.map(|at| decode(at).map_err(|error| decode_fault("at", error))).transpose()?;
    let body = match (keys.operation, keys.usage, keys.expect) {
        (Some(name), None, _) => Body::Do(keys.operation(name, node.line)?),
        (None, Some(file), None) => Body::Usage(keys.usage(file, base)?),
        (None, None, Some(expectation)) => {
            check_references(expectation)?;
            Body::Expect(expectation.clone())
        }
        (None, None, None) if at.is_some() => Body::Advance,
        (None, None, None) => {
            let reason = "it needs one of at, do, usage and expect".to_owned();
            return Err(Fault::new(node.line, malformed("step", reason)));
        }
        _ => {
            let reason = "usage stands alone, without do and expect".to_owned();
            return Err(Fault::new(node.line, malformed("step", reason)));
        }
    };
    Ok(Step { number, line: node.line, at, body })
}

impl Keys<'_> {
    /// Refuses a key without the one that it belongs to.
    fn check_company(&self) -> Result<(), Fault> {
        for (name, key, owner_name, owner) in [
            ("with", self.with, "do", self.operation),
            ("fails", self.fails, "do", self.operation),
            ("idempotency_key", self.idempotency_key, "do", self.operation),
            ("columns", self.columns, "usage", self.usage),
            ("usage", self.usage, "columns", self.columns),
        ] {
            if let (Some(node), None) = (key, owner) {
                let reason = format!("it needs {owner_name} beside it");
                return Err(Fault::new(node.line, malformed(name, reason)));
            }
        }
        Ok(())
    }

    fn operation(&self, name: &Node, line: usize) -> Result<Operation, Fault> {
        let with = match self.with {
            None => Node { value: Value::Map(Vec::new()), line },
            Some(with) if with.entries().is_some() => with.clone(),
            Some(with) => {
                return Err(Fault::new(with.line, malformed("with", expected("a map", with))));
            }
        };
        check_references(&with)?;
        if let Some(expectation) = self.expect {
            check_references(expectation)?;
        }
        Ok(Operation {
            name: text("do", name)?,
            name_line: name.line,
            with,
            fails: self.fails.map(|node| text("fails", node)).transpose()?,
            idempotency_key: self
                .idempotency_key
                .map(|node| text("idempotency_key", node))
                .transpose()?,
            expect: self.expect.cloned(),
        })
    }

    fn usage(&self, file: &Node, base: &Path) -> Result<UsageStep, Fault> {
        let name = text("usage", file)?;
        let columns = match self.columns {
            Some(columns) => decode(columns).map_err(|error| decode_fault("columns", error))?,
            None => return Err(Fault::new(file.line, malformed("columns", "required".into()))),
        };
        Ok(UsageStep { path: base.join(&name), file: name, columns })
    }
}

fn text(key: &str, node: &Node) -> Result<String, Fault> {
    match node.as_str() {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        Some(_) => Err(Fault::new(node.line, malformed(key, "it is empty".into()))),
        None => Err(Fault::new(node.line, malformed(key, expected("a string", node)))),
    }
}

fn decode_fault(key: &str, error: DecodeError) -> Fault {
    let line = error.line;
    let reason = match Refusal::from(error) {
        Refusal::ParameterInvalid { param, reason } if param.is_empty() => reason,
        refusal => refusal.to_string(),
    };
    Fault::new(line, malformed(key, reason))
}

/// Refuses malformed references before anything runs.
fn check_references(node: &Node) -> Result<(), Fault> {
    match &node.value {
        Value::String(text) => {
            references(text).map(|_| ()).map_err(|error| Fault::new(node.line, error.into()))
        }
        Value::List(elements) => elements.iter().try_for_each(check_references),
        Value::Map(entries) => entries.iter().try_for_each(|(_, node)| check_references(node)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
