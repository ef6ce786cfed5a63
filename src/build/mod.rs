//! From an application's source to one built file: finds it, installs what it needs, runs componentize-py, and packs the result.
//!
//! Knows no server. What is a stranger's runs in the sandbox: the application is imported by componentize-py's own guest. On this machine
//! run only pip and componentize-py, both pinned, in an environment of their own.

mod embedded;
mod live;
mod packages;
mod progress;
mod runtime;
mod settings;
mod source;
mod stage;
mod tools;
mod trial;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use sha2::{Digest, Sha256};
use thiserror::Error;

pub use self::{
    live::{Change, Live},
    packages::{Packages, Sdist},
    progress::Progress,
    settings::{Settings, is_variable},
    source::{Source, SourceFault},
};
use self::{
    packages::Requirements,
    runtime::Runtime,
    tools::Tools,
    trial::{Trial, judged},
};
use crate::{
    artifact::{self, Artifacts, BUNDLE, Bundle, Custom, META, Meta, StaticFiles, hex},
    sandbox::{Plan, Report},
};

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
    let started = Instant::now();
    let Request { source, output, sdist, cache, settings, .. } = request;
    progress.step("app", &source.to_string());
    let temporary = tempfile::tempdir().map_err(BuildFault::io(&std::env::temp_dir()))?;
    let staged = temporary.path().join("app");
    for link in stage::copy(&source.folder, &staged, output)? {
        progress.warn(&format!("{} is left out: it is neither a file nor a folder of the application", link.display()));
    }
    let requirements = Requirements::of(&source.folder)?;
    let inputs = inputs(request, &staged, &requirements)?;
    let tried_again = |meta: &Meta| !meta.tried && !request.environment.is_empty();
    if let Some(meta) = artifact::meta(output).filter(|meta| meta.inputs == inputs && !tried_again(meta)) {
        progress.step("build", &format!("{} is up to date", output.display()));
        return finished(output, meta, None);
    }

    let _alone = alone(cache)?;
    let tools = Tools::provide(cache, progress)?;
    let runtime = Runtime::provide(&tools, cache, progress)?;
    let trial = Trial::new(&runtime, cache)?;
    let packages = Packages::provide(&tools, cache, &requirements, *sdist, temporary.path(), &trial, progress)?;
    let collected = temporary.path().join("static");
    fs::create_dir(&collected).map_err(BuildFault::io(&collected))?;
    let (plan, kept_folders) = (plan(request), kept_folders(&staged));
    let report = tried(request, &trial, &packages, &plan, temporary.path(), &kept_folders)?;
    let meta = Meta {
        format: 2,
        name: settings.name.clone().unwrap_or_else(|| source.name()),
        source: source.to_string(),
        inputs,
        builder: format!("wasgi {}, componentize-py {}", env!("CARGO_PKG_VERSION"), tools::COMPONENTIZE),
        warnings: warnings(&report, &packages),
        tried: report.error.is_none(),
        buffered_uploads: !report.frameworks.iter().any(|name| matches!(name.as_str(), "werkzeug" | "webob")),
        kept_folders,
        static_files: static_files(settings, &report),
        environment: settings.env.clone().into_iter().collect(),
        plan: Some(plan),
    };
    let component = fs::read(runtime.component()).map_err(BuildFault::io(&runtime.component()))?;
    let python = runtime.python();
    let mut folders = vec![("0", staged.as_path()), ("1", packages.site.as_path()), ("python", python.as_path())];
    if fs::read_dir(&collected).map_err(BuildFault::io(&collected))?.next().is_some() {
        folders.push(("static", &collected));
    }
    let bytes = pack(component, &meta, &folders)?;
    write(output, &bytes)?;
    for warning in &meta.warnings {
        progress.warn(warning);
    }
    let seconds = started.elapsed().as_secs_f64();
    progress.step("build", &format!("{}  {:.1} MiB in {seconds:.1} s", output.display(), mib(bytes.len())));
    finished(output, meta, Some(report))
}

/// Folders beside an application's code that are its operator's: what Flask calls the instance folder, and where Django projects keep what
/// was uploaded.
const KEPT: [&str; 2] = ["instance", "media"];

/// Those that the application brings nothing for.
fn kept_folders(staged: &Path) -> Vec<String> {
    KEPT.iter().filter(|name| !staged.join(name).exists()).map(|name| (*name).to_owned()).collect()
}

/// How a release is made of it.
fn plan(request: &Request) -> Plan {
    let Request { source, settings, purpose, .. } = request;
    Plan {
        module: Some(source.module.clone()),
        name: source.attribute.clone(),
        manage: source.manage.clone(),
        warm: settings.build.warm.clone(),
        threads: settings.python.threads.clone(),
        stubs: settings.python.stubs.clone(),
        development: (*purpose == Purpose::Development).then_some(true),
        ..Plan::default()
    }
}

/// Imports the application once, over its copy, in which its modules are then compiled and its static files collected.
fn tried(request: &Request, trial: &Trial, packages: &Packages, plan: &Plan, root: &Path, kept: &[String]) -> Result<Report, BuildFault> {
    if request.purpose == Purpose::Development {
        return Ok(Report::default());
    }
    // A copy of its own: the packages in the cache serve other builds.
    let site = root.join("site");
    stage::copy_tree(&packages.site, &site).map_err(BuildFault::io(&packages.site))?;
    let plan = Plan { compile: vec!["/0".to_owned()], r#static: Some("/static".to_owned()), warm: Vec::new(), ..plan.clone() };
    let mut environment: Vec<_> = request.settings.env.clone().into_iter().collect();
    environment.extend(request.environment.iter().cloned());
    // An empty /data: code that makes its folders there while it is imported finds it, and nothing of it is kept.
    let data = root.join("data");
    fs::create_dir_all(&data).map_err(BuildFault::io(&data))?;
    let mut folders = vec![
        ("/0".to_owned(), root.join("app")),
        ("/1".to_owned(), site),
        ("/static".to_owned(), root.join("static")),
        ("/data".to_owned(), data.clone()),
    ];
    folders.extend(kept.iter().map(|name| (format!("/0/{name}"), data.join(name))));
    let report = trial.run(&plan, root, &folders, &environment)?;
    judged(report, &packages.natives)
}

/// What the host serves: what the settings say, and what Django collected.
fn static_files(settings: &Settings, report: &Report) -> Vec<StaticFiles> {
    let said = settings.r#static.iter().map(|(url, root)| StaticFiles { url: url.clone(), root: Settings::guest_path(root) });
    let django = report.django.as_ref().and_then(|django| django.r#static.as_ref()).filter(|files| !files.root.is_empty());
    let collected = django.map(|files| StaticFiles { url: files.url.clone(), root: files.root.clone() });
    said.chain(collected.filter(|files| !settings.r#static.contains_key(&files.url))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn finished(output: &Path, meta: Meta, report: Option<Report>) -> Result<Built, BuildFault> {
    let bytes = fs::metadata(output).map_err(BuildFault::io(output))?.len();
    Ok(Built { output: output.to_owned(), meta, bytes, fresh: report.is_some(), report })
}

/// The cache, private, and for this build alone: tools are run from it, and two builds at once would install the same things over each other.
fn alone(cache: &Path) -> Result<fs::File, BuildFault> {
    Artifacts::new(cache).map_err(|fault| BuildFault::new(fault.to_string(), "", ""))?;
    let path = cache.join("build.lock");
    let locked = fs::File::create(&path).and_then(|file| file.lock().map(|()| file));
    locked.map_err(BuildFault::io(&path))
}

/// A digest of everything that the result depends on.
fn inputs(request: &Request, staged: &Path, requirements: &Requirements) -> Result<String, BuildFault> {
    let Request { source, sdist, settings, purpose, .. } = request;
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        digest.update(part);
    };
    let own = [env!("CARGO_PKG_VERSION"), tools::COMPONENTIZE, source.module.as_str(), source.attribute.as_deref().unwrap_or_default()];
    for part in own {
        add(part.as_bytes());
    }
    add(format!("{sdist:?} {purpose:?} {settings:?} {:?}", source.manage).as_bytes());
    add(runtime::digest().as_bytes());
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
    let needed = report.error.iter().map(|error| {
        format!("the application needs `{}` in its environment, and was not tried out: give it at build too (`-e {}=…`), or only where it is served", error.text, error.text)
    });
    let secrets = report.secrets.iter().map(|place| {
        format!("{place} takes random bytes while it is imported: a secret made there is the same in every instance of a release, and another in the next")
    });
    let natives = packages.natives.iter().map(|native| {
        format!(
            "{} goes without its native module `{}`; what needs it fails, and what has a pure Python part uses that",
            native.package, native.module
        )
    });
    needed.chain(secrets).chain(natives).collect()
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
