//! The alerts of a book.

use crate::Ending;
use crate::arguments::Alerts;
use crate::inspect::{question, view};
use crate::problem::Problem;
use crate::table::Columns;
use counterfoil::{Alert, AlertTriggered};
use serde_json::{Value, json};
use std::io::Write;

/// `counterfoil alerts`.
pub(crate) fn alerts(arguments: &Alerts, out: &mut dyn Write) -> Result<Ending, Problem> {
    let book = view(&arguments.read, arguments.as_of)?;
    let listed = book.state().alerts().into_iter().map(|alert| {
        let triggered = book.triggered(&alert.id).map_err(question(&arguments.read.book))?;
        Ok((alert, triggered))
    });
    let listed = listed.collect::<Result<Vec<_>, Problem>>()?;
    if arguments.json {
        let all: Vec<Value> = listed.iter().map(|(alert, off)| to_json(alert, off)).collect();
        writeln!(out, "{}", Value::from(all))?;
        return Ok(Ending::Sound);
    }
    if arguments.as_of.is_some() {
        writeln!(out, "The book as it was after record {}", book.position())?;
    }
    if listed.is_empty() {
        writeln!(out, "There are no alerts.")?;
        return Ok(Ending::Sound);
    }
    let mut columns = Columns::new(&["Alert", "Title", "Status", "Meter", "Watches", ">At"]);
    let mut off = Columns::new(&["Alert", "Went off for", ">At usage", ">Record"]);
    for (alert, triggered) in &listed {
        let watches = alert.customer.as_ref().map_or("each customer", |own| own.as_str());
        columns.row([
            alert.id.to_string(),
            alert.title.clone(),
            alert.status.as_str().to_owned(),
            alert.meter.to_string(),
            watches.to_owned(),
            alert.gte.to_string(),
        ]);
        for own in triggered {
            let (id, customer) = (own.alert.to_string(), own.customer.to_string());
            off.row([id, customer, own.value.to_string(), own.position.to_string()]);
        }
    }
    columns.print(out)?;
    if listed.iter().any(|(_, triggered)| !triggered.is_empty()) {
        writeln!(out)?;
        off.print(out)?;
    }
    Ok(Ending::Sound)
}

fn to_json(alert: &Alert, triggered: &[AlertTriggered]) -> Value {
    let row = |own: &AlertTriggered| json!({ "customer": own.customer, "value": own.value, "position": own.position });
    json!({
        "id": alert.id, "title": alert.title, "status": alert.status, "meter": alert.meter,
        "gte": alert.gte, "customer": alert.customer, "created": alert.created,
        "updated": alert.updated, "triggered": triggered.iter().map(row).collect::<Vec<_>>(),
    })
}
