//! Subscriptions: their beginning, their periods, their end.

mod create;
mod end;
mod proration;
mod renew;
mod status;
mod update;
