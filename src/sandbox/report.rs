//! What a guest is asked for before it serves, and what it answers: the JSON of `release.prepare`, as `guest/python/wasgi/release.py` has it.
//!
//! A report is the guest's word: nothing of it is trusted, and all of it is bounded.

use serde::{Deserialize, Serialize};

use super::log::raised;
use crate::fault::Raised;

/// The longest report.
const REPORT_BYTES: usize = 1 << 20;

/// What a guest is to make ready.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Plan {
    /// The application's module; without, nothing is imported.
    pub module: Option<String>,
    /// Its name in the module; without, it is looked for.
    pub name: Option<String>,
    /// The file of its management commands: `manage.py`.
    pub manage: Option<String>,
    /// Paths that are requested before the first request.
    pub warm: Vec<String>,
    /// What a thread does: `inline`.
    pub threads: Option<String>,
    /// Modules that are stubbed.
    pub stubs: Vec<String>,
    /// Folders whose modules are compiled; at build.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compile: Vec<String>,
    /// Where static files are collected; at build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#static: Option<String>,
    /// Whether what is dangerous in production is let pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub development: Option<bool>,
}

impl Plan {
    /// As the guest reads it.
    #[must_use]
    pub fn json(&self) -> String {
        // A record of strings has no value that JSON cannot say.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What a guest made ready.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Report {
    /// Why it is not ready.
    pub error: Option<Failure>,
    /// The lines that lead there.
    pub traceback: Option<String>,
    /// Modules that could not be imported.
    pub missing: Vec<String>,
    /// Where the application takes random bytes while it is imported: `app.py:4`.
    pub secrets: Vec<String>,
    /// How the requests before the first request were answered.
    pub warm: Vec<Warmed>,
    /// Which of the known frameworks it has imported.
    pub frameworks: Vec<String>,
    /// Django's settings that matter.
    pub django: Option<Django>,
}

/// Why a guest is not ready.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Failure {
    /// `raised`, `environment` (a variable is missing), `not-found` or `refused`.
    pub kind: String,
    /// In one line.
    pub text: String,
}

/// A request before the first request.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Warmed {
    /// What was requested.
    pub path: String,
    /// Its status, or what the application raised.
    pub status: String,
}

/// What a Django project says of itself.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Django {
    /// DEBUG.
    pub debug: bool,
    /// ALLOWED_HOSTS.
    pub hosts: Vec<String>,
    /// Whether SECRET_KEY is the one that `startproject` wrote.
    pub insecure_key: bool,
    /// The databases, by alias.
    pub databases: std::collections::BTreeMap<String, String>,
    /// STATIC_URL and where its files lie.
    pub r#static: Option<DjangoStatic>,
}

/// Django's static files.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct DjangoStatic {
    /// Their URL path.
    pub url: String,
    /// Where the guest sees them; empty without STATIC_ROOT.
    pub root: String,
}

impl Report {
    /// What its author should know.
    pub fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        let failed = self.warm.iter().filter(|warmed| !warmed.status.starts_with(['2', '3']));
        let failed = failed.map(|warmed| format!("build.warm: {} answered {}", warmed.path, warmed.status));
        failed.chain(self.secrets.iter().map(|place| {
            format!("{place} takes random bytes while it is imported: a secret made there is the same in every instance of this release")
        }))
    }

    /// Reads a guest's report.
    ///
    /// # Errors
    /// One sentence, when it is none.
    pub fn of(json: &str) -> Result<Self, String> {
        if json.len() > REPORT_BYTES {
            return Err(format!("the guest's report has {} bytes", json.len()));
        }
        serde_json::from_str(json).map_err(|error| format!("the guest's report cannot be read: {error}"))
    }

    /// Why it is not ready, as an exception of the application.
    #[must_use]
    pub fn raised(&self) -> Option<Raised> {
        let error = self.error.as_ref()?;
        let missing = format!("'{}'", error.text);
        let (kind, message) = match error.kind.as_str() {
            "environment" => ("KeyError", missing.as_str()),
            _ => error.text.split_once(": ").unwrap_or(("", &error.text)),
        };
        Some(raised(kind, message, self.traceback.as_deref().unwrap_or_default()))
    }
}
