//! What a person reads when something failed: what happened, where, why, what to type.

use std::error::Error;

use super::build::talk;
use crate::build::BuildFault;

/// A failure, as it is told.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    what: String,
    detail: String,
    hint: String,
}

impl Failure {
    /// What was typed cannot be meant: exit code 2.
    pub(super) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: 2, what: what.into(), detail: String::new(), hint: hint.into() }
    }

    /// It was meant well and failed: exit code 1.
    pub(super) fn failed(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: 1, what: what.into(), detail: String::new(), hint: hint.into() }
    }

    /// An error of the library, with its causes.
    pub(super) fn of(error: &dyn Error) -> Self {
        let mut what = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            what = format!("{what}: {error}");
            cause = error.source();
        }
        Self::failed(what, "")
    }

    /// What another process of this program printed: an error, perhaps with a hint.
    pub(super) fn repeated(printed: &str) -> Self {
        let told = printed.split_once("error: ").map_or("the compiler ended without a word", |(_, told)| told.trim_end());
        let (what, hint) = told.split_once("\nhint: ").unwrap_or((told, ""));
        Self::failed(what, hint)
    }

    /// With what to type.
    pub(super) fn with_hint(self, hint: &str) -> Self {
        Self { hint: hint.to_owned(), ..self }
    }

    pub(super) fn code(&self) -> u8 {
        self.code
    }

    pub(super) fn print(&self) {
        talk(&format!("error: {}", self.what));
        for line in self.detail.lines() {
            talk(&format!("  {line}"));
        }
        if !self.hint.is_empty() {
            talk(&format!("hint: {}", self.hint));
        }
    }
}

impl From<BuildFault> for Failure {
    fn from(fault: BuildFault) -> Self {
        match fault {
            BuildFault::Failed { what, detail, hint } => Self { code: 1, what, detail, hint },
            BuildFault::Source(source) => Self::of(&source).with_hint("name it: `wasgi build DIR`, or `wasgi build module:name`"),
            io @ BuildFault::Io { .. } => Self::of(&io),
        }
    }
}
