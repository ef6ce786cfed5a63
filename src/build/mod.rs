//! From an application's source to one built file. Knows no server.
//!
//! [`Source`] says what a folder holds. Each language has a file that turns it into a component: `python` with what it needs of PyPI, the
//! others with the language's own compiler, which is found, installed or named. [`create`] writes a new application.

mod c;
mod command;
mod component;
mod create;
mod finish;
mod go;
mod javascript;
mod native;
mod progress;
mod python;
mod rust;
mod sdk;
mod settings;
mod source;
mod stage;
mod venv;

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

pub use self::{
    create::{Template, create},
    progress::Progress,
    python::{Change, Live, Packages, Sdist},
    sdk::refuse_link,
    settings::{Settings, is_variable},
    source::{Language, Module, Source, SourceFault},
};
use crate::{artifact::Meta, sandbox::Report};

/// What a build is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The application.
    pub source: Source,
    /// Where the built file goes.
    pub output: PathBuf,
    /// Whether source distributions may be built here.
    pub sdist: Sdist,
    /// Where tools and packages are kept.
    pub cache: PathBuf,
    /// What `wasgi.toml` says.
    pub settings: Settings,
    /// Variables for the import that tries the application out; they are not kept.
    pub environment: Vec<(String, String)>,
    /// What it is built for.
    pub purpose: Purpose,
}

/// What a build is for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Purpose {
    /// To be served.
    #[default]
    Production,
    /// To be looked at while it is written: it is not tried out, and what is dangerous in production is let pass.
    Development,
}

/// What a build did.
#[derive(Clone, Debug)]
pub struct Built {
    /// The file.
    pub output: PathBuf,
    /// What its builder says of it.
    pub meta: Meta,
    /// Its size, in bytes.
    pub bytes: u64,
    /// False: it was there already, and of the same.
    pub fresh: bool,
    /// What the application said when it was tried out, if that was now.
    pub report: Option<Report>,
}

/// Why there is no built file.
#[derive(Debug, Error)]
pub enum BuildFault {
    /// The application was not found.
    #[error(transparent)]
    Source(#[from] SourceFault),
    /// Something is missing or failed; the text says what, where and what to type.
    #[error("{what}")]
    Failed {
        /// One sentence.
        what: String,
        /// What a tool or the application printed; may be empty.
        detail: String,
        /// What to do; may be empty.
        hint: String,
    },
    /// The disk refuses.
    #[error("{path} cannot be used")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl BuildFault {
    fn new(what: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed { what: what.into(), detail: detail.into(), hint: hint.into() }
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Builds `request`, unless the output is already what would be built.
///
/// # Errors
/// [`BuildFault`]; the output is then as it was.
pub fn build(request: &Request, progress: &dyn Progress) -> Result<Built, BuildFault> {
    progress.step("app", &request.source.to_string());
    match &request.source.language {
        Language::Python(module) => python::build(request, module, progress),
        Language::Rust => native::build(request, rust::compile, progress),
        Language::C => native::build(request, c::compile, progress),
        Language::Go => native::build(request, go::compile, progress),
        Language::JavaScript => native::build(request, javascript::compile, progress),
    }
}
