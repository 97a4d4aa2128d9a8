//! Customers and their balance (rule 2).

mod balance;
mod command;
mod decide;
mod event;
mod state;

pub use balance::{
    BalanceTransaction, BalanceTransactionId, BalanceTransactionKind, CreateBalanceTransaction,
    Settlement, UpdateBalanceTransaction, settle,
};
pub use command::{
    CreateCustomer, CreateTaxId, DeleteCustomer, DeleteTaxId, EraseCustomer, UnparkCustomer,
    UpdateCustomer,
};
pub use decide::{
    check_live, check_present, decide_balance_transaction, decide_create, decide_create_tax_id,
    decide_delete, decide_delete_tax_id, decide_erase, decide_unpark, decide_update,
    decide_update_balance_transaction,
};
pub use event::CustomerEvent;
pub use state::{Address, Customer, CustomerId, Personal, TaxId};
