//! What a guest is asked for before it serves, and what it answers: the JSON of `release.prepare`, as `guest/python/wasgi/release.py` has it.
//!
//! A report is the guest's word: nothing of it is trusted, and all of it is bounded.

use serde::{Deserialize, Serialize};

use super::log::raised;
use crate::fault::Raised;

/// The longest report.
const REPORT_BYTES: usize = 1 << 20;
/// The most words that a guest has changed: objects of an application, of which a large one has half a million.
const WORDS: u32 = 4_000_000;

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
    /// Whether the guest's memory becomes a release: what instances begin with, and not one instance's alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub image: bool,
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
    /// What is to be different in the release.
    pub words: Option<Words>,
}

/// Words of the guest's memory, of four bytes, that have another value in a release than the guest could give them itself: the counts of
/// references of what CPython is never to free (`guest/python/wasgi/heap.py`).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Words {
    /// Where their addresses stand, one behind the other, each a little-endian word itself.
    pub at: u32,
    /// How many there are.
    pub count: u32,
    /// The value.
    pub value: u32,
}

impl Words {
    /// `memory` with the words; `None`: one of them, or their list, is not within it, or they are more than 4 000 000.
    pub(super) fn in_memory(self, memory: &[u8]) -> Option<Vec<u8>> {
        let place = |address: u32| usize::try_from(address).ok();
        if self.count > WORDS {
            return None;
        }
        let at = place(self.at)?;
        let list = memory.get(at..at.checked_add(place(self.count)?.checked_mul(size_of::<u32>())?)?)?;
        let mut changed = memory.to_vec();
        for address in list.as_chunks().0 {
            let word = changed.get_mut(place(u32::from_le_bytes(*address))?..)?.first_chunk_mut()?;
            *word = self.value.to_le_bytes();
        }
        Some(changed)
    }
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
    /// What its author should know, a line each: the application has chosen some of the words.
    pub fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        let failed = self.warm.iter().filter(|warmed| !warmed.status.starts_with(['2', '3']));
        let failed = failed.map(|warmed| format!("build.warm: {} answered {}", warmed.path, warmed.status));
        let secrets = self.secrets.iter().map(|place| {
            format!("{place} takes random bytes while it is imported: a secret made there is the same in every instance of this release")
        });
        failed.chain(secrets).map(|warning| warning.lines().collect::<Vec<_>>().join(" "))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_a_line_whatever_the_application_answers() {
        let warmed = [("/", "200 OK"), ("/a", "500 No\nwarning: forged\r\n")];
        let warm = warmed.map(|(path, status)| Warmed { path: path.into(), status: status.into() }).into();
        let report = Report { warm, secrets: vec!["a\n.py:1".into()], ..Report::default() };
        let taken = "a .py:1 takes random bytes while it is imported: a secret made there is the same in every instance of this release";
        assert_eq!(report.warnings().collect::<Vec<_>>(), ["build.warm: /a answered 500 No warning: forged", taken]);
    }

    #[test]
    fn words_are_changed_where_they_and_their_list_are_within_the_memory_and_nowhere_else() {
        // The addresses 12 and 9, and what stands there.
        let memory: Vec<u8> = [12_u32, 9, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
        let changed = |at, count| Words { at, count, value: 0x0403_0201 }.in_memory(&memory);
        let with = |written: &[(usize, u8)]| {
            let mut memory = memory.clone();
            for (at, byte) in written {
                memory[*at] = *byte;
            }
            Some(memory)
        };
        let last = [(12, 1), (13, 2), (14, 3), (15, 4)];
        assert_eq!(changed(0, 0), with(&[]));
        assert_eq!(changed(0, 1), with(&last));
        // In the order of the list.
        assert_eq!(changed(0, 2), with(&[(9, 1), (10, 2), (11, 3), (12, 4), (13, 2), (14, 3), (15, 4)]));
        assert_eq!(changed(12, 1), with(&[(0, 1), (1, 2), (2, 3), (3, 4)]), "a word at 0, as it stands there");
        for (at, count) in [(13, 1), (0, 5), (16, 1), (u32::MAX, 1), (0, u32::MAX), (u32::MAX, u32::MAX)] {
            assert_eq!(changed(at, count), None, "{count} at {at}");
        }
        let (most, large) = (WORDS, vec![0; usize::try_from(WORDS + 1).unwrap() * size_of::<u32>()]);
        let has = |count| Words { at: 0, count, value: 1 }.in_memory(&large).map(|changed| (changed.len(), changed[..5].to_vec()));
        assert_eq!([has(most), has(most + 1)], [Some((large.len(), vec![1, 0, 0, 0, 0])), None]);
        let over = Words { at: 0, count: 1, value: 0 };
        assert_eq!(over.in_memory(&[4, 0, 0, 0, 1, 1, 1]), None, "a byte of the word is not in the memory");
        assert_eq!(over.in_memory(&[4, 0, 0, 0, 1, 1, 1, 1]), Some(vec![4, 0, 0, 0, 0, 0, 0, 0]));
    }
}
