//! Why a command could not do its work, and what to do about it.

use counterfoil::{BookError, Error, OpenError, TailCut};
use counterfoil_scenario::Unreadable;
use std::io;
use std::path::{Path, PathBuf};

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The scenario cannot be run as it is.
    #[error("{}: {reason}", path.display())]
    Scenario {
        /// The scenario.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        reason: Unreadable,
    },
    /// The book did not open.
    #[error("{}: {reason}", path.display())]
    Book {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        reason: BookError,
    },
    /// The book opened, and a question to it failed.
    #[error("{}: {reason}", path.display())]
    Question {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        reason: Error,
    },
    /// The answer could not be printed.
    #[error("cannot print: {0}")]
    Output(#[from] io::Error),
}

impl Problem {
    /// The exit status: 1 where the book says no, 2 where it could not be asked.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Question { reason: Error::Refused(_), .. }
            | Self::Book { reason: BookError::Settings(_), .. } => 1,
            _ => 2,
        }
    }

    /// Tells the problem on standard error, with what to do about it where that is known.
    pub(crate) fn tell(&self) {
        eprintln!("counterfoil: {self}");
        if let Some(hint) = self.hint() {
            eprintln!("hint: {hint}");
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Book { reason: BookError::Log(reason), .. } => match reason {
                OpenError::Locked => Some(
                    "a book has one user at a time: wait for the other, or give this run a \
                     directory of its own",
                ),
                OpenError::NotABook { .. } => Some(
                    "a book is the directory that `counterfoil run SCENARIO --book DIR` or a \
                     program with the library made",
                ),
                OpenError::Damaged(_) => Some(
                    "nothing was changed; restore the book from a copy. What was never \
                     acknowledged is cut off without this error",
                ),
                OpenError::Version { .. } => Some("open it with the version that wrote it"),
                _ => None,
            },
            Self::Question { reason: Error::Refused(refusal), .. }
                if refusal.code().as_str() == "resource_missing" =>
            {
                Some("`counterfoil events BOOK` lists what the book holds")
            }
            _ => None,
        }
    }
}

/// Notes what was cut off when a book was opened: the end of a write that a crash interrupted.
pub(crate) fn tell_tail_cut(cut: Option<&TailCut>, book: &Path) {
    if let Some(cut) = cut {
        eprintln!(
            "note: {}: an interrupted write of {} bytes at byte {} of {} was cut off; nothing in \
             it had been acknowledged",
            book.display(),
            cut.bytes,
            cut.offset,
            cut.file
        );
    }
}
