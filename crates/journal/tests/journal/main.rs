//! Events as the billing domain decides them, and what the journal makes of them.

mod book;
mod postings;
mod sequences;
