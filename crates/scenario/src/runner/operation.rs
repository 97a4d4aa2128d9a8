//! Operations: the commands of the book, those of its meters, and previews.

use crate::de::{DecodeError, DecodeProblem, decode};
use crate::node::Node;
use crate::shape::{UnknownField, check_shape};
use counterfoil::{
    Command, CommandReader, CreateMeterEvent, CreateMeterEventAdjustment, Engine, Error, Preview,
    PreviewOf, Request,
};
use serde::de::DeserializeOwned;

const METER_EVENT: &str = "meter_event.create";
const ADJUSTMENT: &str = "meter_event_adjustment.create";

/// An operation with its parameters.
pub(super) enum Parsed {
    Command(Command),
    MeterEvent(CreateMeterEvent),
    Adjustment(CreateMeterEventAdjustment),
    Preview(PreviewOf),
}

impl Parsed {
    /// Reads the parameters of an operation that is known to exist.
    pub(super) fn decode(operation: &str, with: &Node) -> Result<Self, DecodeError> {
        match operation {
            METER_EVENT => decode(with).map(Self::MeterEvent),
            ADJUSTMENT => decode(with).map(Self::Adjustment),
            PreviewOf::OPERATION => decode(with).map(Self::Preview),
            _ => match Command::read(operation, &mut Decoder(with)) {
                Some(command) => command.map(Self::Command),
                None => Err(DecodeError {
                    path: String::new(),
                    line: with.line,
                    problem: DecodeProblem::UnknownField { field: operation.to_owned() },
                }),
            },
        }
    }

    /// Does it. A preview comes back with what would be invoiced, and does nothing.
    pub(super) fn execute(
        self,
        engine: &Engine,
        key: Option<&str>,
    ) -> Result<Option<Preview>, Error> {
        match self {
            Self::Command(command) => {
                let mut request = Request::from(command);
                if let Some(key) = key {
                    request = request.idempotency_key(key);
                }
                engine.execute(request)?;
            }
            Self::MeterEvent(event) => drop(engine.meter_events().create(&event)?),
            Self::Adjustment(adjustment) => drop(engine.meter_events().adjust(&adjustment)?),
            Self::Preview(of) => return engine.preview_invoice(of).map(Some),
        }
        Ok(None)
    }
}

/// The fields under `with` that an operation does not have; none where there is no such operation.
pub(super) fn unknown_fields(operation: &str, with: &Node) -> Option<Vec<UnknownField>> {
    match operation {
        METER_EVENT => Some(check_shape::<CreateMeterEvent>(with)),
        ADJUSTMENT => Some(check_shape::<CreateMeterEventAdjustment>(with)),
        PreviewOf::OPERATION => Some(check_shape::<PreviewOf>(with)),
        _ => match Command::read(operation, &mut ShapeChecker(with))? {
            Err(found) => Some(found),
            Ok(_) => Some(Vec::new()),
        },
    }
}

/// Why an operation has no use for an idempotency key, where that is so.
pub(super) fn needs_no_key(operation: &str) -> Option<&'static str> {
    match operation {
        METER_EVENT | ADJUSTMENT => Some("a meter event is known by its identifier"),
        PreviewOf::OPERATION => Some("a preview changes nothing"),
        _ => None,
    }
}

struct Decoder<'n>(&'n Node);

impl CommandReader for Decoder<'_> {
    type Error = DecodeError;

    fn read<T: DeserializeOwned>(&mut self) -> Result<T, DecodeError> {
        decode(self.0)
    }
}

/// Reads nothing: what it finds is its error.
struct ShapeChecker<'n>(&'n Node);

impl CommandReader for ShapeChecker<'_> {
    type Error = Vec<UnknownField>;

    fn read<T: DeserializeOwned>(&mut self) -> Result<T, Vec<UnknownField>> {
        Err(check_shape::<T>(self.0))
    }
}
