//! A built application on disk: one file that carries the component, its read-only files, and what the builder says of it.
//!
//! [`Artifacts`] turns such a file into an [`App`]: it checks it, unpacks its bundle and compiles its component, each once, into a private
//! cache keyed by content; a Python application is imported under its environment before, in the sandbox, and kept as its release. Nothing of
//! a file is trusted.
//!
//! Next: [`crate::exchange`] serves requests with the app.

mod bundle;
mod cache;
mod code;
mod release;
mod sections;
mod served;
mod sweep;
mod terms;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

pub use self::{
    bundle::{Bundle, BundleFault},
    cache::{Artifacts, CacheFault, Next, Prepared},
    code::Codes,
    release::Drawn,
    sections::{BUNDLE, Custom, META, Parts, Shape, Summary, append, parts, summary},
    served::static_folders,
    sweep::{Pins, Staging, Swept},
    terms::Terms,
};
use crate::{
    fault::GuestFault,
    limits::{Limits, OwnLimits},
    sandbox::{App, BadComponent, Heavy, Plan, Report},
};

/// What a builder may say: bytes of it, and entries of a list that the host keeps.
const META_BYTES: usize = 256 << 10;
const META_ENTRIES: usize = 64;

/// What the builder says of an application; for people, and for the next build. JSON in the section `wasgi:meta`.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Meta {
    /// The version of this record.
    pub format: u32,
    /// The application's name.
    pub name: String,
    /// What it was found as: `app:app`, or its language.
    pub source: String,
    /// SHA-256 of everything that it was built from: a second build of the same does nothing.
    pub inputs: String,
    /// What built it: `wasgi 0.1.0, componentize-py 0.25.1`.
    pub builder: String,
    /// What its author should know.
    pub warnings: Vec<String>,
    /// Whether the build has imported the application: it may need an environment that only its host has.
    #[serde(default)]
    pub tried: bool,
    /// How a release is made of it.
    #[serde(default)]
    pub plan: Option<Plan>,
    /// Whether it reads uploads without a length only whole, as Django does.
    #[serde(default)]
    pub buffered_uploads: bool,
    /// Variables where the tenant's environment has none of the name.
    #[serde(default)]
    pub environment: Vec<(String, String)>,
    /// Limits that are to be smaller than its operator's.
    #[serde(default)]
    pub limits: OwnLimits,
    /// Folders beside its code that lie in `/data`, where the application is given that.
    #[serde(default)]
    pub kept_folders: Vec<String>,
    /// Files that the host serves.
    #[serde(default)]
    pub static_files: Vec<StaticFiles>,
}

impl Meta {
    /// What a file's builder says, if anything that can be read. What every process keeps of an application has its bounds.
    ///
    /// # Errors
    /// [`Shape::Broken`] when that is too much.
    pub fn of(parts: Parts<'_>) -> Result<Option<Self>, Shape> {
        let Some(text) = parts.meta else { return Ok(None) };
        let too_much = || {
            Shape::Broken(format!("what its builder says has more than {META_BYTES} bytes, or {META_ENTRIES} folders, variables or limits"))
        };
        if text.len() > META_BYTES {
            return Err(too_much());
        }
        let meta: Option<Self> = serde_json::from_slice(text).ok();
        let is_modest = |meta: &Self| {
            [meta.static_files.len(), meta.kept_folders.len(), meta.environment.len(), meta.limits.count()]
                .into_iter()
                .all(|count| count <= META_ENTRIES)
        };
        if meta.as_ref().is_none_or(is_modest) { Ok(meta) } else { Err(too_much()) }
    }
}

/// Files that the host serves itself.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct StaticFiles {
    /// The beginning of their URL paths: `/static/`.
    pub url: String,
    /// Where the guest sees them: `/static`, `/data/media`.
    pub root: String,
}

/// How a component that can be released starts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Start {
    /// From its release: its application was imported once, under its environment, and instances begin behind that.
    #[default]
    Released,
    /// The same, where another process has just made the release: one that depends on what its tenant keeps is not made again.
    ReleasedNow,
    /// Each instance imports the application when it starts. Right where instances are few and their application changes: in development.
    EachInstance,
    /// Nothing is imported: for a command.
    Unprepared,
}

/// A file that is no application for this host.
#[derive(Debug, Error)]
pub enum ArtifactFault {
    /// It cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is larger than `component_bytes`.
    #[error("{path} has {found} bytes; the limit is {limit} (`--max-component` raises it)")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// It is something else.
    #[error("{path} is {shape}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// What it is.
        shape: Shape,
    },
    /// Its bundle is not to be trusted.
    #[error("the bundle of {path} is refused")]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: BundleFault,
    },
    /// The compiler refuses it.
    #[error("{path} does not compile: {detail}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// wasmtime's own words.
        detail: String,
    },
    /// Too much would be kept of each of its instances.
    #[error("{path} is refused: {fault}")]
    Heavy {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: Heavy,
    },
    /// It has another world, or a folder that it is to see is not there.
    #[error("{path}: {fault}")]
    World {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: BadComponent,
    },
    /// Its application cannot be imported under its environment.
    #[error("no release can be made of {path}: {fault}")]
    Unreleased {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: GuestFault,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheFault),
}

impl ArtifactFault {
    /// What to do about it; empty where that is plain.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::World { fault: BadComponent::Memory { .. }, .. } => "`--memory` gives it more",
            Self::Invalid { .. } => {
                "it is damaged, consists of more than one instance may, or uses a proposal of WebAssembly that wasgi does not offer"
            }
            Self::Heavy { .. } => {
                "its functions, globals, segments, instances, types and exports count; no compiler that we know writes so many"
            }
            Self::World { .. } => "build it with `wasgi build`, or for the world in wit/gateway.wit",
            Self::Unreleased { fault: GuestFault::Raised(_), .. } => "its environment is what `-e` and `--env-file` give, and nothing else",
            Self::Unreleased { .. } => "`--release-cpu`, `--release-timeout` and `--memory` are what it may use",
            Self::Unreadable { .. } | Self::TooLarge { .. } | Self::Shape { .. } | Self::Bundle { .. } | Self::Cache(_) => "",
        }
    }
}

/// An application that is ready.
pub struct Loaded {
    /// The application.
    pub app: App,
    /// What its builder says, if it was built by `wasgi build`.
    pub meta: Option<Meta>,
    /// What it said when its release was made, if that was now.
    pub report: Option<Report>,
}

/// A built file, taken apart.
struct Opened<'a> {
    parts: Parts<'a>,
    meta: Option<Meta>,
}

impl<'a> Opened<'a> {
    fn of(path: &'a Path, bytes: &'a [u8]) -> Result<Self, ArtifactFault> {
        let shaped = |shape| ArtifactFault::Shape { path: path.to_owned(), shape };
        let parts = parts(bytes).map_err(shaped)?;
        Ok(Self { parts, meta: Meta::of(parts).map_err(shaped)? })
    }

    fn plan(&self) -> Option<&Plan> {
        self.meta.as_ref()?.plan.as_ref()
    }
}

/// Reads a file whole, if it is not larger than the limit.
///
/// # Errors
/// [`ArtifactFault::Unreadable`] and [`ArtifactFault::TooLarge`].
pub fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, ArtifactFault> {
    let unreadable = |source| ArtifactFault::Unreadable { path: path.to_owned(), source };
    let found = fs::metadata(path).map_err(unreadable)?.len();
    if found > limits.component_bytes {
        return Err(ArtifactFault::TooLarge { path: path.to_owned(), found, limit: limits.component_bytes });
    }
    fs::read(path).map_err(unreadable)
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// What the builder says of the file at `path`; `None` for every file that it did not build, or that is larger than the limit.
#[must_use]
pub fn meta(path: &Path, limits: &Limits) -> Option<Meta> {
    let bytes = read(path, limits).ok()?;
    Meta::of(parts(&bytes).ok()?).ok()?
}
