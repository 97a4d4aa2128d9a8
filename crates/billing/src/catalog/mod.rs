//! Products, prices, and the rating of a quantity (rule 3).
//!
//! A [`Price`] says what a quantity costs; it never changes in its amounts. [`rate`] turns a price
//! and a quantity into invoice lines, each rounded once; [`full_amount`] is the same before any
//! rounding, for what takes a fraction of it.

mod command;
mod decide;
mod event;
mod price;
mod product;
mod rating;

pub use command::{
    BillingScheme, CreatePrice, CreateProduct, CurrencyOption, RecurringInput, TierInput, UpTo,
    UpdatePrice, UpdateProduct, UsageType,
};
pub use decide::{
    decide_create_price, decide_create_product, decide_update_price, decide_update_product,
};
pub use event::{PriceEvent, ProductEvent};
pub use price::{
    MeterId, Price, PriceId, Recurring, Round, Scheme, Tier, TiersMode, TransformQuantity, Usage,
};
pub use product::{Product, ProductId};
pub use rating::{Basis, RatedLine, TierLines, full_amount, rate};
