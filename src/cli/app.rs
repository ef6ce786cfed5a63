//! From what was typed to an application that is ready: its options, its compiled code, its release.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    args,
    build::{self, Talk, talk},
    environment,
    fault::Failure,
};
use crate::{
    artifact::{self, ArtifactFault, Artifacts, Loaded, Start, Terms},
    build::Progress,
    fault::GuestFault,
    limits::Limits,
    sandbox::{Allowance, AppOptions, Engine, Kept, Report, Storage, TenantLog},
    stage,
    tenant::TenantId,
};

/// Connections and the files of guests are open files; the usual soft limit of 1 024 is meant for programs that use select().
pub(super) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Talk.warn(&format!("the limit of open files stays at {:?}: {error}", limit.current));
    }
}

/// The limits, if all of them are within what is possible.
pub(super) fn checked(limits: &Limits) -> Result<Limits, Failure> {
    match limits.check(&Limits::ceiling()) {
        Ok(()) => Ok(limits.clone()),
        Err(faults) => {
            let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
            Err(Failure::usage(told.join("\n  "), "`wasgi serve --help` lists the limits"))
        }
    }
}

/// The file of what was named; what is none is built.
pub(super) fn built(what: &str, allow_sdist: bool, typed: &args::Environment, common: &args::Common) -> Result<PathBuf, Failure> {
    let path = Path::new(what);
    let python = path.extension().is_some_and(|ending| ending == "py");
    let source = path.is_dir() || what.contains(':') || python;
    if source && !path.is_file() || python {
        let mut request = build::request(what, None, allow_sdist, common)?;
        request.environment = environment::of(typed)?;
        return Ok(build::make(&request)?.output);
    }
    Ok(path.to_owned())
}

/// Where built things lie.
pub(super) fn artifacts(common: &args::Common) -> Result<Artifacts, Failure> {
    Artifacts::new(super::cache(common.cache_dir.clone())?).map_err(|error| Failure::of(&error))
}

/// An engine that compiles with what was compiled before.
pub(super) fn engine(limits: &Limits, artifacts: &Artifacts) -> Result<Engine, Failure> {
    Engine::compiling(limits, &artifacts.functions()).map_err(|error| Failure::of(&error))
}

/// How the application of `file` runs, as its operator has it.
pub(super) fn options(file: &Path, grants: &args::Grants, limits: &Limits) -> Result<AppOptions, Failure> {
    let meta = artifact::meta(file, limits);
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let tenant = match &grants.tenant {
        Some(name) => TenantId::new(name).map_err(|bad| Failure::usage(bad.to_string(), ""))?,
        None => TenantId::of(meta.as_ref().map_or(&stem, |meta| &meta.name)),
    };
    let mut options = AppOptions::new(TenantLog::new(tenant, limits));
    options.environment = environment::of(&grants.environment)?;
    options.limits = limits.clone();
    if let Some(data) = &grants.data {
        options.storage = vec![storage(data, &[], limits.data_bytes)?];
    }
    Ok(options)
}

/// The folder `data`, as `/data`; and its folders `kept`, beside the application's code too. The names of these are a file's word.
pub(super) fn storage(data: &Path, kept: &[String], limit: u64) -> Result<Storage, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("{} cannot be used: {error}", data.display()), "");
    let root = fs::create_dir_all(data).and_then(|()| data.canonicalize()).map_err(failed)?;
    let mut folders = vec![Kept { inside: PathBuf::new(), guest: "/data".to_owned() }];
    folders.extend(kept.iter().map(|name| Kept { inside: name.into(), guest: format!("/0/{name}") }));
    Ok(Storage { root, folders, limit, names: Storage::NAMES, allowance: Allowance::All })
}

/// Makes the application of `file` ready; what has to be compiled or released is so in processes of their own.
pub(super) fn load(file: &Path, options: AppOptions, start: Start, common: &args::Common) -> Result<Loaded, Failure> {
    let artifacts = artifacts(common)?;
    let meta = artifact::meta(file, &options.limits);
    let options = Terms::beside(options, meta.as_ref());
    meta.iter().flat_map(|meta| meta.limits.unmet(&options.limits)).for_each(|unmet| Talk.warn(&unmet));
    let wanted = stage::Wanted {
        cache: artifacts.folder().to_owned(),
        file: std::path::absolute(file).map_err(|error| Failure::of(&error))?,
        terms: Terms::of(&options),
        start,
        required: false,
        format: super::log_format(None),
    };
    let staged = runtime()?.block_on(stage::run(&wanted, talk)).map_err(Failure::from)?;
    staged.report.iter().for_each(warn);
    let engine = engine(&options.limits, &artifacts)?;
    let app = staged.prepared.app(&engine, &artifacts.codes(), file, options, start).map_err(|error| unloaded(&error))?;
    Ok(Loaded { app, meta: staged.prepared.meta, report: staged.report })
}

/// The same in this process.
pub(super) fn loaded(engine: &Engine, artifacts: &Artifacts, file: &Path, options: AppOptions, start: Start) -> Result<Loaded, Failure> {
    runtime()?.block_on(artifacts.app(engine, file, options, start)).map_err(|error| unloaded(&error))
}

/// One thread, for one worker.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Failure::of(&error))
}

/// What a person reads of an application that was not loaded.
pub(super) fn unloaded(error: &ArtifactFault) -> Failure {
    let failure = Failure::of(error).with_hint(error.hint());
    match error {
        ArtifactFault::Unreleased { fault: GuestFault::Raised(raised), .. } => failure.with_detail(&raised.traceback),
        ArtifactFault::Unreleased { .. }
        | ArtifactFault::Unreadable { .. }
        | ArtifactFault::TooLarge { .. }
        | ArtifactFault::Shape { .. }
        | ArtifactFault::Bundle { .. }
        | ArtifactFault::Invalid { .. }
        | ArtifactFault::Heavy { .. }
        | ArtifactFault::World { .. }
        | ArtifactFault::Cache(_) => failure,
    }
}

/// What its author should know of a release that was just made.
pub(super) fn warn(report: &Report) {
    report.warnings().for_each(|warning| Talk.warn(&warning));
}
