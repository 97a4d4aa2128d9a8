//! The period of what is charged once (rules 6.8 and 7).

use crate::invoice::PeriodInput;
use counterfoil_core::{Period, Refusal, Timestamp};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeStruct as _};
use std::fmt;
use std::marker::PhantomData;

/// The period that something charged once serves; each end an instant or a word.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedPeriod {
    /// Where it begins: an instant, or `{ type: max_item_period_start | phase_start }`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Edge<PeriodStart>"))]
    pub start: PeriodEdge<PeriodStart>,
    /// Where it ends: an instant, or `{ type: min_item_period_end | phase_end }`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Edge<PeriodEnd>"))]
    pub end: PeriodEdge<PeriodEnd>,
}

/// An end of a period: an instant, also as `{ type: timestamp, timestamp: … }`, or a word, which
/// becomes an instant when the thing is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeriodEdge<W> {
    /// An instant.
    At(Timestamp),
    /// What it is to be found from.
    Word(W),
}

/// Words for the start of a period.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeriodStart {
    /// The latest start of the periods that the items are in.
    MaxItemPeriodStart,
    /// The start of the phase; of phases of schedules only.
    PhaseStart,
}

/// Words for the end of a period.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeriodEnd {
    /// The earliest end of the periods that the items are in.
    MinItemPeriodEnd,
    /// The end of the phase; of phases of schedules only.
    PhaseEnd,
}

impl AddedPeriod {
    /// The same in a phase: its words are instants now.
    #[must_use]
    pub fn in_phase(self, phase: Period) -> Self {
        let start = match self.start {
            PeriodEdge::Word(PeriodStart::PhaseStart) => PeriodEdge::At(phase.start),
            start => start,
        };
        let end = match self.end {
            PeriodEdge::Word(PeriodEnd::PhaseEnd) => PeriodEdge::At(phase.end),
            end => end,
        };
        Self { start, end }
    }

    /// Refuses what ends before it starts, whatever the periods of the items are.
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] under the parameter's name.
    pub fn check(self, param: &str) -> Result<(), Refusal> {
        match (self.start, self.end) {
            (PeriodEdge::At(start), PeriodEdge::At(end)) if end < start => {
                let reason = "a period does not end before it starts";
                Err(Refusal::invalid(format!("{param}.end"), reason))
            }
            _ => Ok(()),
        }
    }

    /// The instants, where the items' periods are known. A period that would end before it starts
    /// is as long as nothing where a phase planned it; by hand it is refused when it is used.
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] for the words of a phase where there is none.
    pub fn resolve(
        self,
        items: Period,
        planned: bool,
        param: &str,
    ) -> Result<PeriodInput, Refusal> {
        let outside = |edge: &str, word: &str| {
            let reason = format!("{word} is for phases of schedules");
            Refusal::invalid(format!("{param}.{edge}.type"), reason)
        };
        let start = match self.start {
            PeriodEdge::At(start) => start,
            PeriodEdge::Word(PeriodStart::MaxItemPeriodStart) => items.start,
            PeriodEdge::Word(PeriodStart::PhaseStart) => {
                return Err(outside("start", "phase_start"));
            }
        };
        let end = match self.end {
            PeriodEdge::At(end) => end,
            PeriodEdge::Word(PeriodEnd::MinItemPeriodEnd) => items.end,
            PeriodEdge::Word(PeriodEnd::PhaseEnd) => return Err(outside("end", "phase_end")),
        };
        Ok(PeriodInput { start, end: if planned { end.max(start) } else { end } })
    }
}

impl From<PeriodInput> for AddedPeriod {
    fn from(PeriodInput { start, end }: PeriodInput) -> Self {
        Self { start: PeriodEdge::At(start), end: PeriodEdge::At(end) }
    }
}

impl<W: Serialize> Serialize for PeriodEdge<W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(at) => at.serialize(serializer),
            Self::Word(word) => {
                let mut edge = serializer.serialize_struct("PeriodEdge", 1)?;
                edge.serialize_field("type", word)?;
                edge.end()
            }
        }
    }
}

/// An end of a period with its type.
#[derive(Deserialize)]
struct Typed<W> {
    r#type: Type<W>,
    timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Type<W> {
    Word(W),
    Instant(Instant),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Instant {
    Timestamp,
}

impl<'de, W: Deserialize<'de>> Deserialize<'de> for PeriodEdge<W> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<W>(PhantomData<W>);
        impl<'de, W: Deserialize<'de>> de::Visitor<'de> for Visitor<W> {
            type Value = PeriodEdge<W>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time, or a type")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                Timestamp::from_unix(value).map(PeriodEdge::At).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                self.visit_i64(i64::try_from(value).map_err(E::custom)?)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Timestamp::parse(text).map(PeriodEdge::At).map_err(E::custom)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let typed = Typed::deserialize(MapAccessDeserializer::new(map))?;
                match (typed.r#type, typed.timestamp) {
                    (Type::Word(word), None) => Ok(PeriodEdge::Word(word)),
                    (Type::Instant(Instant::Timestamp), Some(at)) => Ok(PeriodEdge::At(at)),
                    (Type::Instant(Instant::Timestamp), None) => {
                        Err(de::Error::missing_field("timestamp"))
                    }
                    (Type::Word(_), Some(_)) => {
                        Err(de::Error::custom("a timestamp goes with the type timestamp alone"))
                    }
                }
            }
        }
        deserializer.deserialize_any(Visitor(PhantomData))
    }
}

/// How an end of a period is stored.
#[cfg(feature = "schema")]
mod schema {
    #[derive(schemars::JsonSchema, serde::Serialize)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only its form is of interest")]
    pub enum Edge<W> {
        At(counterfoil_core::Timestamp),
        Word { r#type: W },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: u32) -> Timestamp {
        Timestamp::parse(&format!("2025-01-{day:02}T00:00:00Z")).unwrap()
    }

    fn read(text: &str) -> Result<AddedPeriod, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn an_end_is_an_instant_or_a_word() {
        let start = PeriodEdge::Word(PeriodStart::MaxItemPeriodStart);
        let words = AddedPeriod { start, end: PeriodEdge::Word(PeriodEnd::PhaseEnd) };
        let instants = AddedPeriod { start: PeriodEdge::At(at(1)), end: PeriodEdge::At(at(2)) };
        for (text, expected) in [
            (r#"{"start":{"type":"max_item_period_start"},"end":{"type":"phase_end"}}"#, words),
            (r#"{"start":1735689600,"end":1735776000}"#, instants),
            (
                r#"{"start":{"type":"timestamp","timestamp":1735689600},"end":"2025-01-02T00:00:00Z"}"#,
                instants,
            ),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
            let written = serde_json::to_string(&expected).unwrap();
            assert_eq!(read(&written).unwrap(), expected, "{written}");
        }
        // What was written before there were words reads and is written as it was.
        let before = PeriodInput { start: at(1), end: at(2) };
        assert_eq!(
            serde_json::to_value(AddedPeriod::from(before)).unwrap(),
            serde_json::to_value(before).unwrap()
        );
        for text in [
            r#"{"start":{"type":"min_item_period_end"},"end":1}"#,
            r#"{"start":{"type":"timestamp"},"end":1}"#,
            r#"{"start":{"type":"phase_start","timestamp":1},"end":1}"#,
            r#"{"start":1}"#,
        ] {
            read(text).unwrap_err();
        }
    }

    #[test]
    fn words_become_instants() {
        let (phase, items) = (Period::new(at(2), at(20)), Period::new(at(5), at(12)));
        let word_start = |word| PeriodEdge::Word(word);
        for (start, end, expected) in [
            (word_start(PeriodStart::PhaseStart), PeriodEnd::PhaseEnd, (2, 20)),
            (word_start(PeriodStart::MaxItemPeriodStart), PeriodEnd::MinItemPeriodEnd, (5, 12)),
            (word_start(PeriodStart::PhaseStart), PeriodEnd::MinItemPeriodEnd, (2, 12)),
            // A period of nothing, where it was planned before the items were known.
            (PeriodEdge::At(at(15)), PeriodEnd::MinItemPeriodEnd, (15, 15)),
        ] {
            let period = AddedPeriod { start, end: PeriodEdge::Word(end) }.in_phase(phase);
            let found = period.resolve(items, true, "period").unwrap();
            assert_eq!((found.start, found.end), (at(expected.0), at(expected.1)));
        }
        let phase_word = AddedPeriod {
            start: PeriodEdge::Word(PeriodStart::PhaseStart),
            end: PeriodEdge::At(at(9)),
        };
        phase_word.resolve(items, false, "period").unwrap_err();
        phase_word.check("period").unwrap();
        phase_word.in_phase(Period::new(at(10), at(20))).check("period").unwrap_err();
    }
}
