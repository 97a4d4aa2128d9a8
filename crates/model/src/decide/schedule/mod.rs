//! Subscription schedules: their commands, and what they do when a phase begins or ends (rule 7).

mod command;
mod phase;
mod terms;
