//! Receipts of a book, and proofs of its invoices.

use crate::Ending;
use crate::arguments::{CheckProof, Prove, Receipt};
use crate::inspect;
use crate::problem::Problem;
use crate::progress::waiting;
use counterfoil::{Lsn, Proof, check_proof};
use std::fs;
use std::io::Write;

/// `counterfoil receipt`.
pub(crate) fn receipt(arguments: &Receipt, out: &mut dyn Write) -> Result<Ending, Problem> {
    let book = inspect::open_with(&arguments.read)?;
    let receipt = waiting("reading the book", || match arguments.at {
        Some(at) => book.receipt_at(Lsn(at)),
        None => book.receipt(),
    });
    let receipt = receipt.map_err(inspect::question(&arguments.read.book))?;
    writeln!(out, "{receipt}")?;
    Ok(Ending::Sound)
}

/// `counterfoil prove`.
pub(crate) fn prove(arguments: &Prove, out: &mut dyn Write) -> Result<Ending, Problem> {
    let book = inspect::open_with(&arguments.read)?;
    let proven = waiting("reading the book", || {
        let receipt = match arguments.receipt {
            Some(receipt) => receipt,
            None => book.receipt()?,
        };
        book.prove(&arguments.invoice, &receipt).map(|proof| (proof, receipt))
    });
    let (proof, receipt) = proven.map_err(inspect::question(&arguments.read.book))?;
    let path = &arguments.out;
    fs::write(path, proof.encode()).map_err(Problem::file(path))?;
    let (path, lsn) = (path.display(), proof.lsn());
    writeln!(out, "{path} proves record {lsn} to whoever has this receipt:\n{receipt}")?;
    Ok(Ending::Sound)
}

/// `counterfoil check-proof`.
pub(crate) fn check(arguments: &CheckProof, out: &mut dyn Write) -> Result<Ending, Problem> {
    let path = &arguments.proof;
    let bytes = fs::read(path).map_err(Problem::file(path))?;
    let proof =
        Proof::decode(&bytes).map_err(|reason| Problem::Proof { path: path.clone(), reason })?;
    let proven = check_proof(&proof, &arguments.receipt).map_err(inspect::question(path))?;
    if !arguments.json {
        let (lsn, last) = (proven.lsn, arguments.receipt.lsn);
        writeln!(out, "The proof holds: this is record {lsn} of the {last} in the receipt.\n")?;
    }
    inspect::print_record(&proven, arguments.json, out)?;
    Ok(Ending::Sound)
}
