//! Operations: the commands of the book, and those of its meters.

use crate::de::{DecodeError, DecodeProblem, decode};
use crate::node::Node;
use crate::shape::{UnknownField, check_shape};
use counterfoil::{
    Command, CommandReader, CreateMeterEvent, CreateMeterEventAdjustment, Engine, Error, Request,
};
use serde::de::DeserializeOwned;

const METER_EVENT: &str = "meter_event.create";
const ADJUSTMENT: &str = "meter_event_adjustment.create";

/// An operation with its parameters.
pub(super) enum Parsed {
    Command(Command),
    MeterEvent(CreateMeterEvent),
    Adjustment(CreateMeterEventAdjustment),
}

impl Parsed {
    /// Reads the parameters of an operation that is known to exist.
    pub(super) fn decode(operation: &str, with: &Node) -> Result<Self, DecodeError> {
        match operation {
            METER_EVENT => decode(with).map(Self::MeterEvent),
            ADJUSTMENT => decode(with).map(Self::Adjustment),
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

    pub(super) fn execute(self, engine: &Engine, key: Option<&str>) -> Result<(), Error> {
        match self {
            Self::Command(command) => {
                let mut request = Request::from(command);
                if let Some(key) = key {
                    request = request.idempotency_key(key);
                }
                engine.execute(request).map(drop)
            }
            Self::MeterEvent(event) => engine.meter_events().create(&event).map(drop),
            Self::Adjustment(adjustment) => engine.meter_events().adjust(&adjustment).map(drop),
        }
    }
}

/// The fields under `with` that an operation does not have; none where there is no such operation.
pub(super) fn unknown_fields(operation: &str, with: &Node) -> Option<Vec<UnknownField>> {
    match operation {
        METER_EVENT => Some(check_shape::<CreateMeterEvent>(with)),
        ADJUSTMENT => Some(check_shape::<CreateMeterEventAdjustment>(with)),
        _ => match Command::read(operation, &mut ShapeChecker(with))? {
            Err(found) => Some(found),
            Ok(_) => Some(Vec::new()),
        },
    }
}

/// Whether an operation is one that meters dedupe by the identifier of the event.
pub(super) fn is_of_meters(operation: &str) -> bool {
    matches!(operation, METER_EVENT | ADJUSTMENT)
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
