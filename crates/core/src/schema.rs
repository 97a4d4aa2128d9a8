//! JSON schemas of the types that are written as a text or a number.

use crate::{Currency, Decimal12, Id, Kind, Timestamp, Zone};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

impl<K: Kind> JsonSchema for Id<K> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let text = format!("the id of a {}", K::NAME);
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 255, "description": text })
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let text = "a code of ISO 4217 in lower case";
        json_schema!({ "type": "string", "pattern": "^[a-z]{3}$", "description": text })
    }
}

impl JsonSchema for Decimal12 {
    fn schema_name() -> Cow<'static, str> {
        "Decimal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let text = "an exact decimal of at most twelve places";
        json_schema!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,12})?$", "description": text })
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "format": "int64", "description": "seconds since 1970" })
    }
}

impl JsonSchema for Zone {
    fn schema_name() -> Cow<'static, str> {
        "Zone".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let text = "a rule as POSIX writes it: <+01>-1<+02>-2,M3.5.0/2,M10.5.0/3";
        json_schema!({ "type": "string", "description": text })
    }
}
