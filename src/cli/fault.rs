//! What a person reads when something failed: what happened, where, why, what to type.

use std::error::Error;

use super::build::talk;
use crate::{build::BuildFault, stage::Refused};

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

    /// Another process of this program has told it.
    pub(super) fn told() -> Self {
        Self::failed("", "")
    }

    /// A command of the application ended with this status, and has said why.
    pub(super) fn ended(code: u8) -> Self {
        Self { code, ..Self::told() }
    }

    /// With what was printed on the way.
    pub(super) fn with_detail(self, detail: &str) -> Self {
        Self { detail: detail.to_owned(), ..self }
    }

    /// With what to type.
    pub(super) fn with_hint(self, hint: &str) -> Self {
        Self { hint: hint.to_owned(), ..self }
    }

    pub(super) fn code(&self) -> u8 {
        self.code
    }

    pub(super) fn print(&self) {
        if !self.what.is_empty() {
            talk(self.text().trim_end());
        }
    }

    /// As it is told.
    pub(super) fn text(&self) -> String {
        let detail: String = self.detail.lines().flat_map(|line| ["  ", line, "\n"]).collect();
        let hint = if self.hint.is_empty() { String::new() } else { format!("hint: {}\n", self.hint) };
        format!("error: {}\n{detail}{hint}", self.what)
    }
}

impl From<Refused> for Failure {
    fn from(Refused { what, detail, hint }: Refused) -> Self {
        Self { code: 1, what, detail, hint }
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
