//! Subscriptions: their beginning, their periods, their end.

mod add;
mod create;
mod end;
mod pause;
mod pending;
mod pending_update;
mod proration;
mod renew;
mod resume;
mod status;
mod threshold;
mod trial;
mod update;
