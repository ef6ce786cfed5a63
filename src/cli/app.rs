//! From what was typed to an application that is ready: its options, its compiled code, its release.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    args,
    build::{self, Talk},
    environment,
    fault::Failure,
};
use crate::{
    artifact::{self, ArtifactFault, Artifacts, Loaded, Meta, Start},
    build::Progress,
    fault::GuestFault,
    limits::Limits,
    sandbox::{Allowance, AppOptions, Engine, Kept, Missing, Report, Storage, TenantLog},
    server::StaticFolder,
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

/// How the application of `file` runs.
pub(super) fn options(file: &Path, grants: &args::Grants, limits: &Limits) -> Result<AppOptions, Failure> {
    let meta = artifact::meta(file);
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let tenant = match &grants.tenant {
        Some(name) => TenantId::new(name).map_err(|bad| Failure::usage(bad.to_string(), ""))?,
        None => TenantId::of(meta.as_ref().map_or(&stem, |meta| &meta.name)),
    };
    let mut environment: BTreeMap<_, _> = meta.iter().flat_map(|meta| meta.environment.iter().cloned()).collect();
    environment.extend(environment::of(&grants.environment)?);
    let mut options = AppOptions::new(TenantLog::new(tenant, limits));
    options.environment = environment.into_iter().collect();
    options.limits = limits.clone();
    if let Some(data) = &grants.data {
        let kept = meta.as_ref().map_or(&[][..], |meta| &meta.kept_folders);
        options.storage = vec![storage(data, kept, limits.data_bytes)?];
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

/// Makes the application of `file` ready; what has to be compiled is compiled in a process of its own.
pub(super) fn load(
    file: &Path,
    options: AppOptions,
    start: Start,
    grants: &args::Grants,
    common: &args::Common,
) -> Result<Loaded, Failure> {
    let artifacts = artifacts(common)?;
    let engine = engine(&options.limits, &artifacts)?;
    if !artifacts.is_ready(&engine, file, &options, start).map_err(|error| unloaded(&error))? && start == Start::Released {
        Talk.step("compile", &format!("{}, once", file.display()));
        compile(file, &artifacts, &options, grants)?;
        return loaded(&engine, &artifacts, file, options, Start::ReleasedNow);
    }
    loaded(&engine, &artifacts, file, options, start)
}

/// The same in this process.
pub(super) fn loaded(engine: &Engine, artifacts: &Artifacts, file: &Path, options: AppOptions, start: Start) -> Result<Loaded, Failure> {
    runtime()?.block_on(artifacts.app(engine, file, options, start)).map_err(|error| unloaded(&error))
}

/// One thread, for one worker.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Failure::of(&error))
}

/// Compiles in a process of its own: the compiler takes hundreds of megabytes, which would stay with the one that serves. The environment
/// goes through a pipe: arguments can be read by everybody on this machine.
fn compile(file: &Path, artifacts: &Artifacts, options: &AppOptions, grants: &args::Grants) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("the compiler cannot be started: {error}"), "");
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.arg("serve").arg(file).arg("--compile-only").arg("--cache-dir").arg(artifacts.folder());
    command.arg("--tenant").arg(options.log.tenant().as_str()).args(["--env-file", "/dev/stdin"]);
    if let Some(data) = &grants.data {
        command.arg("--data").arg(data);
    }
    for limit in Limits::TABLE {
        command.arg(format!("--{}={}", limit.flag, limit.get(&options.limits)));
    }
    let mut child = command.stdin(Stdio::piped()).spawn().map_err(failed)?;
    let variables: serde_json::Map<_, _> = options.environment.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(serde_json::Value::from(variables).to_string().as_bytes()).map_err(failed)?;
    }
    if child.wait().map_err(failed)?.success() { Ok(()) } else { Err(Failure::told()) }
}

/// What a person reads of an application that was not loaded.
pub(super) fn unloaded(error: &ArtifactFault) -> Failure {
    let hint = match error {
        ArtifactFault::Invalid { detail, .. } if detail.contains("pooling allocator") => "it needs more than `--memory` allows",
        ArtifactFault::Invalid { .. } => "it is damaged, or uses a proposal of WebAssembly that wasgi does not offer",
        ArtifactFault::World { .. } => "build it with `wasgi build`, or for the world in wit/gateway.wit",
        ArtifactFault::Unreleased { fault: GuestFault::Raised(raised), .. } => {
            return Failure::of(error)
                .with_detail(&raised.traceback)
                .with_hint("its environment is what `-e` and `--env-file` give, and nothing else");
        }
        ArtifactFault::Unreleased { .. } => "`--release-cpu`, `--release-timeout` and `--memory` are what it may use",
        ArtifactFault::Unreadable { .. }
        | ArtifactFault::TooLarge { .. }
        | ArtifactFault::Shape { .. }
        | ArtifactFault::Bundle { .. }
        | ArtifactFault::Cache(_) => "",
    };
    Failure::of(error).with_hint(hint)
}

/// What its author should know of a release that was just made.
pub(super) fn warn(report: &Report) {
    for warmed in report.warm.iter().filter(|warmed| !warmed.status.starts_with(['2', '3'])) {
        Talk.warn(&format!("build.warm: {} answered {}", warmed.path, warmed.status));
    }
    for place in &report.secrets {
        Talk.warn(&format!(
            "{place} takes random bytes while it is imported: a secret made there is the same in every instance of this release"
        ));
    }
}

/// The folders that the host serves of an application. Where they lie is a file's word, and what is in `/data` a guest's.
pub(super) fn static_folders(meta: Option<&Meta>, options: &AppOptions, mount: &str) -> Vec<StaticFolder> {
    let read_only = options.files.iter().map(|folder| (&folder.guest, &folder.host, Path::new(""), Missing::Refuse));
    let kept = options
        .storage
        .iter()
        .flat_map(|storage| storage.folders.iter().map(|kept| (&kept.guest, &storage.root, kept.inside.as_path(), Missing::Make)));
    let volumes: Vec<_> = read_only.chain(kept).collect();
    let mut folders = Vec::new();
    for files in meta.iter().flat_map(|meta| &meta.static_files) {
        let inside = |guest: &str| {
            let rest = files.root.strip_prefix(guest)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
        };
        let found =
            volumes.iter().filter_map(|(guest, root, path, missing)| Some((guest.len(), root, path.join(inside(guest)?), *missing)));
        let Some((_, root, path, missing)) = found.max_by_key(|(length, ..)| *length) else {
            Talk.warn(&format!("{} is not served: {} is not there (`--data` gives /data)", files.url, files.root));
            continue;
        };
        let url = format!("{mount}{}", files.url);
        match StaticFolder::new(&url, root, &path, missing) {
            Ok(folder) => folders.push(folder),
            Err(error) => Talk.warn(&format!("{url} is not served: {}: {error}", files.root)),
        }
    }
    folders
}
