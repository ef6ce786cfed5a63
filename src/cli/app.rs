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
    sandbox::{AppOptions, Engine, Folder, Report, Storage, TenantLog},
    server::StaticFolder,
    tenant::TenantId,
};

/// Folders beside an application's code that lie in `/data`, under the same name: what Flask calls the instance folder, and where Django
/// projects keep what was uploaded.
pub(super) const KEPT: [&str; 2] = ["instance", "media"];

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
        options.storage = Some(storage(data, meta.as_ref(), limits.data_bytes)?);
    }
    Ok(options)
}

/// The folder `data` and what an application of this kind expects in it.
fn storage(data: &Path, meta: Option<&Meta>, limit: u64) -> Result<Storage, Failure> {
    let made = |folder: PathBuf| {
        let failed = |error: std::io::Error| Failure::failed(format!("{} cannot be used: {error}", folder.display()), "");
        fs::create_dir_all(&folder).and_then(|()| folder.canonicalize()).map_err(failed)
    };
    let root = made(data.to_owned())?;
    let mut folders = vec![Folder { host: root.clone(), guest: "/data".to_owned() }];
    if meta.is_some_and(|meta| meta.plan.is_some()) {
        for name in KEPT {
            folders.push(Folder { host: made(root.join(name))?, guest: format!("/0/{name}") });
        }
    }
    Ok(Storage { root, folders, limit })
}

/// Makes the application of `file` ready; what has to be compiled is compiled in a process of its own.
pub(super) fn load(
    file: &Path,
    options: AppOptions,
    start: Start,
    grants: &args::Grants,
    common: &args::Common,
) -> Result<Loaded, Failure> {
    let engine = Engine::new(&options.limits).map_err(|error| Failure::of(&error))?;
    let artifacts = artifacts(common)?;
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

/// The folders that the host serves of an application.
pub(super) fn static_folders(meta: Option<&Meta>, options: &AppOptions, mount: &str) -> Result<Vec<StaticFolder>, Failure> {
    let volumes = || options.files.iter().chain(options.storage.iter().flat_map(|storage| &storage.folders));
    let mut folders = Vec::new();
    for files in meta.iter().flat_map(|meta| &meta.static_files) {
        let inside = |volume: &Folder| {
            let rest = files.root.strip_prefix(&volume.guest)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| volume.host.join(rest.trim_start_matches('/')))
        };
        let found = volumes().filter_map(|volume| Some((volume.guest.len(), inside(volume)?))).max_by_key(|(length, _)| *length);
        let Some((_, host)) = found else {
            Talk.warn(&format!("{} is not served: {} is not there (`--data` gives /data)", files.url, files.root));
            continue;
        };
        if files.root.starts_with("/data/") {
            fs::create_dir_all(&host).map_err(|error| Failure::failed(format!("{} cannot be made: {error}", host.display()), ""))?;
        }
        let url = format!("{mount}{}", files.url);
        match StaticFolder::new(&url, &host) {
            Ok(folder) => folders.push(folder),
            Err(error) => Talk.warn(&format!("{url} is not served: {}: {error}", files.root)),
        }
    }
    Ok(folders)
}
