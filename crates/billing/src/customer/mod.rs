//! Customers and their balance (rule 2).

mod balance;
mod command;
mod decide;
mod event;
mod state;

pub use balance::{
    BalanceTransaction, BalanceTransactionKind, CreateBalanceTransaction, Settlement, settle,
};
pub use command::{CreateCustomer, DeleteCustomer, EraseCustomer, UpdateCustomer};
pub use decide::{
    check_live, decide_balance_transaction, decide_create, decide_delete, decide_erase,
    decide_update,
};
pub use event::CustomerEvent;
pub use state::{Address, Customer, CustomerId, Personal};
