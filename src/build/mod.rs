//! From an application's source to one built file: finds it, installs what it needs, runs componentize-py, and packs the result.
//!
//! Knows no server. What is a stranger's runs in the sandbox: the application is imported by componentize-py's own guest. On this machine
//! run only pip and componentize-py, both pinned, in an environment of their own.

mod embedded;
mod packages;
mod progress;
mod run;
mod source;
mod stage;
mod tools;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use sha2::{Digest, Sha256};
use thiserror::Error;

use self::{packages::Requirements, run::Report, tools::Tools};
pub use self::{
    packages::{Packages, Sdist},
    progress::Progress,
    source::{Source, SourceFault},
};
use crate::artifact::{self, Artifacts, BUNDLE, Bundle, Custom, META, Meta, hex};

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
    let started = Instant::now();
    let Request { source, output, sdist, cache } = request;
    progress.step("app", &source.to_string());
    let temporary = tempfile::tempdir().map_err(BuildFault::io(&std::env::temp_dir()))?;
    let staged = temporary.path().join("app");
    for link in stage::copy(&source.folder, &staged, output)? {
        progress.warn(&format!("{} is left out: it is neither a file nor a folder of the application", link.display()));
    }
    let requirements = Requirements::of(&source.folder)?;
    let inputs = inputs(source, &staged, &requirements, *sdist)?;
    if let Some(meta) = artifact::meta(output).filter(|meta| meta.inputs == inputs) {
        progress.step("build", &format!("{} is up to date", output.display()));
        return finished(output, meta, false);
    }

    let _alone = alone(cache)?;
    let tools = Tools::provide(cache, progress)?;
    let packages = Packages::provide(&tools, cache, &requirements, *sdist, temporary.path(), progress)?;
    let site = temporary.path().join("site");
    stage::copy_tree(&packages.site, &site).map_err(BuildFault::io(&packages.site))?;
    let (component, report) = run::componentize(&tools, source, &staged, &site, &packages, temporary.path())?;
    let warnings = warnings(&report, &packages);
    let meta = Meta {
        format: 1,
        name: source.name(),
        source: source.to_string(),
        inputs,
        builder: format!("wasgi {}, componentize-py {}", env!("CARGO_PKG_VERSION"), tools::COMPONENTIZE),
        warnings,
    };
    let bytes = pack(component, &meta, &[("0", &staged), ("1", &site), ("python", &packages.stdlib)])?;
    write(output, &bytes)?;
    for warning in &meta.warnings {
        progress.warn(warning);
    }
    let seconds = started.elapsed().as_secs_f64();
    progress.step("build", &format!("{}  {:.1} MiB in {seconds:.1} s", output.display(), mib(bytes.len())));
    finished(output, meta, true)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn finished(output: &Path, meta: Meta, fresh: bool) -> Result<Built, BuildFault> {
    let bytes = fs::metadata(output).map_err(BuildFault::io(output))?.len();
    Ok(Built { output: output.to_owned(), meta, bytes, fresh })
}

/// The cache, private, and for this build alone: tools are run from it, and two builds at once would install the same things over each other.
fn alone(cache: &Path) -> Result<fs::File, BuildFault> {
    Artifacts::new(cache).map_err(|fault| BuildFault::new(fault.to_string(), "", ""))?;
    let path = cache.join("build.lock");
    let locked = fs::File::create(&path).and_then(|file| file.lock().map(|()| file));
    locked.map_err(BuildFault::io(&path))
}

/// A digest of everything that the result depends on.
fn inputs(source: &Source, staged: &Path, requirements: &Requirements, sdist: Sdist) -> Result<String, BuildFault> {
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        digest.update(part);
    };
    let own = [env!("CARGO_PKG_VERSION"), tools::COMPONENTIZE, source.module.as_str(), source.attribute.as_deref().unwrap_or_default()];
    for part in own {
        add(part.as_bytes());
    }
    add(format!("{sdist:?}").as_bytes());
    for (name, text) in embedded::files() {
        add(name.as_bytes());
        add(text.as_bytes());
    }
    for text in requirements.files.values() {
        add(text.as_bytes());
    }
    for entry in walkdir::WalkDir::new(staged).sort_by_file_name() {
        let entry = entry.map_err(|error| BuildFault::io(staged)(io::Error::other(error)))?;
        if entry.file_type().is_file() {
            add(entry.path().strip_prefix(staged).unwrap_or(entry.path()).as_os_str().as_encoded_bytes());
            add(&fs::read(entry.path()).map_err(BuildFault::io(entry.path()))?);
        }
    }
    Ok(hex(&digest.finalize()))
}

fn warnings(report: &Report, packages: &Packages) -> Vec<String> {
    let secrets = report.secrets.iter().map(|place| {
        format!("{place} takes random bytes while it is imported: a secret made there is the same in every instance of this build, and another in the next")
    });
    let natives = packages.natives.iter().map(|native| {
        format!(
            "{} goes without its native module `{}`; what needs it fails, and what has a pure Python part uses that",
            native.package, native.module
        )
    });
    secrets.chain(natives).collect()
}

fn pack(component: Vec<u8>, meta: &Meta, folders: &[(&str, &Path)]) -> Result<Vec<u8>, BuildFault> {
    let unpacked =
        |source| BuildFault::Failed { what: "the files could not be packed".into(), detail: format!("{source}"), hint: String::new() };
    let bundle = Bundle::pack(folders).map_err(unpacked)?;
    let meta = serde_json::to_vec(meta).map_err(|error| unpacked(io::Error::other(error)))?;
    Ok(artifact::append(component, &[Custom { name: META, data: &meta }, Custom { name: BUNDLE, data: &bundle }]))
}

/// Whole, or not at all.
fn write(output: &Path, bytes: &[u8]) -> Result<(), BuildFault> {
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fault = |source| BuildFault::Io { path: output.to_owned(), source };
    fs::create_dir_all(folder).map_err(fault)?;
    let mut file = tempfile::Builder::new().prefix(".wasgi-").tempfile_in(folder).map_err(fault)?;
    io::Write::write_all(&mut file, bytes).map_err(fault)?;
    fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).map_err(fault)?;
    file.persist(output).map_err(|error| fault(error.error))?;
    Ok(())
}
