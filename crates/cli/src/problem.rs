//! Why a command could not do its work, and what to do about it.

use counterfoil::{
    BackupError, BookError, Damage, Error, OpenError, ProofError, SalvageError, TailCut,
};
use counterfoil_scenario::Unreadable;
use std::io;
use std::path::{Path, PathBuf};

const DAMAGED: &str = "nothing was changed; restore the book from a copy, or save what is whole with \
    `counterfoil salvage`. What was never acknowledged is no damage";

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
    /// The files of the book are damaged.
    #[error("{}: the book is damaged in {} places", path.display(), places.len())]
    Damaged {
        /// Its directory.
        path: PathBuf,
        /// Where, and how.
        places: Vec<Damage>,
    },
    /// Nothing could be saved of a damaged book.
    #[error("{}: {reason}", path.display())]
    Salvage {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        reason: SalvageError,
    },
    /// The command to preview is none.
    #[error("--command: {reason}")]
    Command {
        /// What is wrong with it.
        reason: String,
    },
    /// A copy could not be made.
    #[error("{}: {reason}", path.display())]
    Backup {
        /// The directory of the copy.
        path: PathBuf,
        /// Why.
        #[source]
        reason: BackupError,
    },
    /// A file holds no proof.
    #[error("{}: {reason}", path.display())]
    Proof {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        reason: ProofError,
    },
    /// A file could not be read or written.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        reason: io::Error,
    },
    /// The store of the meters that are measured failed.
    #[error("{}: {reason}", path.display())]
    Store {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer could not be printed.
    #[error("cannot print: {0}")]
    Output(#[from] io::Error),
}

impl Problem {
    /// The exit status: 1 where the book says no, 2 where it could not be asked.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Question { reason: Error::Refused(_) | Error::Proof(_), .. }
            | Self::Book { reason: BookError::Settings(_), .. } => 1,
            _ => 2,
        }
    }

    /// What went wrong with a file.
    pub(crate) fn file(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::File { path: path.clone(), reason }
    }

    /// Tells the problem on standard error, with what to do about it where that is known.
    pub(crate) fn tell(&self) {
        eprintln!("counterfoil: {self}");
        if let Self::Damaged { places, .. } = self {
            for place in places {
                eprintln!("damaged: {place}");
            }
        }
        if let Some(hint) = self.hint() {
            eprintln!("hint: {hint}");
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Book { reason: BookError::Log(reason), .. } => match reason {
                OpenError::Locked => Some(
                    "a book has one writer at a time: wait for the other, or give this run a \
                     directory of its own. Looking into it is possible meanwhile",
                ),
                OpenError::NotWritable { .. } => Some(
                    "looking into it needs no write access; to go on with it, give it write access, \
                     or go on with a copy, which `counterfoil backup` makes",
                ),
                OpenError::NotABook { .. } => Some(
                    "a book is the directory that `counterfoil run SCENARIO --book DIR` or a \
                     program with the library made",
                ),
                OpenError::Damaged(_) => Some(DAMAGED),
                OpenError::Version { .. } => Some("open it with the version that wrote it"),
                _ => None,
            },
            Self::Damaged { .. } => Some(
                "nothing was changed; `counterfoil salvage` copies what is whole to a new book",
            ),
            Self::Question { reason: Error::Damaged(_), .. } => Some(DAMAGED),
            Self::Question { reason: Error::Archived { .. }, .. }
            | Self::Book { reason: BookError::Archived { .. }, .. } => {
                Some("say where its archive is with --archive DIR")
            }
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

/// Notes that the end of a book is torn, where nothing was cut off.
pub(crate) fn tell_torn(tail: Option<&TailCut>, book: &Path) {
    if let Some(tail) = tail {
        eprintln!(
            "note: {}: it ends in {} bytes of a write that was interrupted or is under way, at byte \
             {} of {}; opening it to write cuts them off",
            book.display(),
            tail.bytes,
            tail.offset,
            tail.file
        );
    }
}
