//! `wasgi serve`: builds what is stale, loads it, and serves it on one thread until SIGTERM or SIGINT.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    args,
    build::{self, Talk},
    fault::Failure,
    inspect::MAY_TOUCH,
};
use crate::{
    artifact::{ArtifactFault, Artifacts, Loaded},
    build::Progress,
    exchange::Route,
    limits::{Amount, Limits, Unit},
    sandbox::{App, AppOptions, Engine, TenantLog},
    server::{Config, Server},
    telemetry,
    tenant::{Mount, TenantId},
};

pub(super) fn run(typed: args::Serve) -> Result<(), Failure> {
    telemetry::start(typed.access_log);
    let limits = checked(&typed.limits.0)?;
    raise_open_files();
    let mount = Mount::new(&typed.mount).map_err(|bad| Failure::usage(bad.to_string(), ""))?;
    let file = built(&typed)?;
    if typed.compile_only {
        return load(&typed, &file, &limits).map(drop);
    }
    let route = Route { app: Arc::new(app(&typed, &file, limits)?), mount, uploads: typed.uploads.into() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Failure::of(&error))?;
    runtime.block_on(serve(Config { bind: typed.bind, route, stop_grace: Duration::from_secs(typed.stop_grace.into()) }))
}

/// Connections and the files of guests are open files; the usual soft limit of 1 024 is meant for programs that use select().
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Talk.warn(&format!("the limit of open files stays at {:?}: {error}", limit.current));
    }
}

fn checked(limits: &Limits) -> Result<Limits, Failure> {
    match limits.check(&Limits::ceiling()) {
        Ok(()) => Ok(limits.clone()),
        Err(faults) => {
            let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
            Err(Failure::usage(told.join("\n  "), "`wasgi serve --help` lists the limits"))
        }
    }
}

/// The file to serve; what is none is built.
fn built(typed: &args::Serve) -> Result<PathBuf, Failure> {
    let path = Path::new(&typed.what);
    let source = path.is_dir() || typed.what.contains(':') || path.extension().is_some_and(|ending| ending == "py");
    if source && !path.is_file() || path.extension().is_some_and(|ending| ending == "py") {
        let request = build::request(&typed.what, None, typed.allow_sdist, &typed.common)?;
        return Ok(build::make(&request)?.output);
    }
    Ok(path.to_owned())
}

/// Loads the file; compiles it here, if it is not compiled yet and this process was started for that.
fn load(typed: &args::Serve, file: &Path, limits: &Limits) -> Result<(Engine, Loaded), Failure> {
    let engine = Engine::new(limits).map_err(|error| Failure::of(&error))?;
    let cache = super::cache(typed.common.cache_dir.clone())?;
    let artifacts = Artifacts::new(&cache).map_err(|error| Failure::of(&error))?;
    if !typed.compile_only {
        if !artifacts.is_compiled(&engine, file, limits).map_err(|error| unloaded(&error))? {
            Talk.step("compile", &format!("{}, once", file.display()));
            compile(file, &cache, limits)?;
        }
        Talk.step("load", &file.display().to_string());
    }
    let loaded = artifacts.load(&engine, file, limits).map_err(|error| unloaded(&error))?;
    Ok((engine, loaded))
}

/// Compiles in a process of its own: the compiler takes hundreds of megabytes, which would stay with the one that serves.
fn compile(file: &Path, cache: &Path, limits: &Limits) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::of(&error))?;
    let mut command = Command::new(program);
    command.arg("serve").arg(file).arg("--compile-only").arg("--cache-dir").arg(cache).stdin(Stdio::null());
    for limit in Limits::TABLE {
        command.arg(format!("--{}={}", limit.flag, limit.get(limits)));
    }
    let ran = command.output().map_err(|error| Failure::of(&error))?;
    if ran.status.success() { Ok(()) } else { Err(Failure::repeated(&String::from_utf8_lossy(&ran.stderr))) }
}

fn app(typed: &args::Serve, file: &Path, limits: Limits) -> Result<App, Failure> {
    let (engine, Loaded { component, files, meta }) = load(typed, file, &limits)?;
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let tenant = match &typed.tenant {
        Some(name) => TenantId::new(name).map_err(|bad| Failure::usage(bad.to_string(), ""))?,
        None => TenantId::of(&meta.map_or(stem, |meta| meta.name)),
    };
    let log = TenantLog::new(tenant, &limits);
    let options = AppOptions { log, limits, isolation: typed.isolation.into(), files };
    App::new(&engine, &component, options).map_err(|bad| {
        Failure::failed(format!("{}: {bad}", file.display()), "build it with `wasgi build`, or for the world in wit/gateway.wit")
    })
}

fn unloaded(error: &ArtifactFault) -> Failure {
    let hint = match error {
        ArtifactFault::Invalid { detail, .. } if detail.contains("pooling allocator") => "it needs more than `--memory` allows",
        ArtifactFault::Invalid { .. } => "it is damaged, or uses a proposal of WebAssembly that wasgi does not offer",
        ArtifactFault::Unreadable { .. }
        | ArtifactFault::TooLarge { .. }
        | ArtifactFault::Shape { .. }
        | ArtifactFault::Bundle { .. }
        | ArtifactFault::Cache(_) => "",
    };
    Failure::of(error).with_hint(hint)
}

async fn serve(config: Config) -> Result<(), Failure> {
    let limits = config.route.app.limits().clone();
    let server = Server::bind(config).map_err(|error| unbound(&error))?;
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return Err(Failure::failed("the signals SIGTERM and SIGINT cannot be watched", ""));
    };
    let show = |value, unit| Amount(value, unit).to_string();
    let (memory, cpu) = (show(limits.memory_bytes, Unit::Bytes), show(limits.guest_cpu_ms, Unit::Millis));
    Talk.step("limits", &format!("memory {memory} · CPU {cpu} a request · {} at once", limits.concurrency));
    Talk.step("touches", MAY_TOUCH);
    for address in server.local_addr() {
        ready(&format!("http://{address}"));
    }
    server
        .run(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            Talk.step("stop", "waiting for requests in flight");
        })
        .await;
    Talk.step("stopped", "");
    Ok(())
}

/// The line that says that requests are answered from now on; data, so that a script can wait for it.
#[expect(clippy::print_stdout, reason = "standard output carries data")]
fn ready(url: &str) {
    println!("ready  {url}");
}

fn unbound(error: &io::Error) -> Failure {
    #[expect(clippy::wildcard_enum_match_arm, reason = "three kinds have an advice")]
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there; choose another port: `--bind 127.0.0.1:8001`",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose another: `--bind 127.0.0.1:8000`",
        io::ErrorKind::AddrNotAvailable => "this address is not one of this machine's",
        _ => "",
    };
    Failure::failed(format!("cannot listen on {error}"), hint)
}
