//! `wasgi dev`: an application while it is written. Its instance imports it from its own folder; a change of code drops the instance, a
//! change of what is installed begins again.

use std::{
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use notify::{RecursiveMode, Watcher as _};
use tokio::{signal::ctrl_c, sync::oneshot};

use super::{
    app, args,
    build::{self, Talk},
    environment,
    fault::Failure,
    serve::{ready, unbound},
};
use crate::{
    build::{Change, Live, Progress, Purpose, Request},
    exchange::{Route, Uploads},
    limits::{Amount, Unit},
    sandbox::{App, AppOptions, Engine, Isolation, TenantLog},
    server::{Config, Errors, Server},
    telemetry,
    tenant::{Mount, TenantId},
};

/// How long changes are waited for that belong together: an editor writes a file in several steps.
const TOGETHER: Duration = Duration::from_millis(100);
/// Where `/data` lies in a project that names no other place. Hidden: it is neither staged nor watched.
const DATA: &str = ".wasgi/data";

/// Why a round of serving ended.
enum Ended {
    /// The person stopped it.
    Stopped,
    /// What is installed has changed.
    Rebuild,
}

pub(super) fn run(typed: &args::Dev) -> Result<(), Failure> {
    telemetry::start_dev();
    let limits = app::checked(&typed.limits.0)?;
    app::raise_open_files();
    let engine = Engine::new(&limits).map_err(|error| Failure::of(&error))?;
    // Bound once: who asks while things are built waits.
    let listener =
        TcpListener::bind(typed.bind).map_err(|error| unbound(&io::Error::new(error.kind(), format!("{}: {error}", typed.bind))))?;
    let mut folder: Option<PathBuf> = None;
    loop {
        // From before the project is read: what changes while that fails is not missed.
        let watching = if typed.no_watch { None } else { folder.as_deref().map(watched).transpose()? };
        match round(typed, &engine, &listener, &mut folder) {
            Ok(Ended::Stopped) => return Ok(()),
            Ok(Ended::Rebuild) => Talk.step("change", "what is installed or how it is built: beginning again"),
            // What was served once is being worked on: the next change may mend it.
            Err(failure) => match watching {
                Some((_watcher, changes)) => {
                    failure.print();
                    settled(&changes);
                }
                None => return Err(failure),
            },
        }
    }
}

/// Builds and serves until something ends that; `folder` is the project's, once it was served.
fn round(typed: &args::Dev, engine: &Engine, listener: &TcpListener, folder: &mut Option<PathBuf>) -> Result<Ended, Failure> {
    let mut request = build::request(&typed.app, None, typed.allow_sdist, &typed.common)?;
    request.purpose = Purpose::Development;
    let started = Instant::now();
    let live = Live::new(&request, &Talk)?;
    let options = options(typed, &request, &live)?;
    let component = std::fs::read(&live.component).map_err(|error| Failure::of(&error))?;
    let artifacts = app::artifacts(&typed.common)?;
    let component = artifacts.instrumented(engine, &live.component, &component).map_err(|error| app::unloaded(&error))?;
    let app = App::new(engine, &component, options).map_err(|error| Failure::of(&error))?;
    Talk.step("build", &format!("in {:.1} s; nothing is packed", started.elapsed().as_secs_f64()));
    *folder = Some(request.source.folder.clone());
    let listener = listener.try_clone().map_err(|error| Failure::of(&error))?;
    app::runtime()?.block_on(serve(listener, typed, Arc::new(app), &request, live))
}

/// Waits for a change, and for those that belong to it. False: nothing is watched any more.
fn settled(changes: &mpsc::Receiver<()>) -> bool {
    let any = changes.recv().is_ok();
    while changes.recv_timeout(TOGETHER).is_ok() {}
    any
}

fn options(typed: &args::Dev, request: &Request, live: &Live) -> Result<AppOptions, Failure> {
    let limits = typed.limits.0.clone();
    let mut typed_environment = typed.grants.environment.clone();
    let own = request.source.folder.join(".env");
    if own.is_file() {
        typed_environment.env_file.insert(0, own);
    }
    let mut variables: std::collections::BTreeMap<_, _> = request.settings.env.clone();
    variables.extend(environment::of(&typed_environment)?);
    let name = request.settings.name.clone().unwrap_or_else(|| request.source.name());
    let mut options = AppOptions::new(TenantLog::new(TenantId::of(&name), &limits));
    options.environment = variables.into_iter().collect();
    options.isolation = Isolation::Reuse;
    options.files.clone_from(&live.files);
    options.plan = Some(live.plan.clone());
    let data = typed.grants.data.clone().unwrap_or_else(|| request.source.folder.join(DATA));
    options.storage = vec![app::storage(&data, &live.kept_folders, limits.data_bytes)?];
    options.limits = limits;
    Ok(options)
}

async fn serve(listener: TcpListener, typed: &args::Dev, app: Arc<App>, request: &Request, live: Live) -> Result<Ended, Failure> {
    // Buffered: every framework reads that.
    let route = Route { app: Arc::clone(&app), mount: Mount::default(), uploads: Uploads::Buffered };
    let errors = Errors::Shown { sources: live.files.first().map(|folder| folder.host.clone()) };
    let config = Config { bind: Vec::new(), route, static_folders: Vec::new(), stop_grace: Duration::from_secs(1), errors };
    let server = Server::with_listeners(vec![listener], config).map_err(|error| unbound(&error))?;
    let addresses = server.local_addr().to_vec();
    let show = |value, unit| Amount(value, unit).to_string();
    let limits = app.limits();
    Talk.step(
        "limits",
        &format!("memory {} · CPU {} · network none", show(limits.memory_bytes, Unit::Bytes), show(limits.guest_cpu_ms, Unit::Millis)),
    );
    if let Some(storage) = app.options().data() {
        Talk.step("data", &format!("{} as /data", storage.root.display()));
    }
    Talk.step("tip", &format!("for production: wasgi build {0} && wasgi serve {0}; `wasgi check {0}` says what is missing", typed.app));
    for address in addresses {
        ready(&format!("http://{address}"));
    }
    let (rebuild, asked) = oneshot::channel();
    let watcher = if typed.no_watch { None } else { Some(watch(&request.source.folder, live, Arc::clone(&app), rebuild)?) };
    let mut ended = Ended::Stopped;
    server
        .run(async {
            tokio::select! {
                interrupted = ctrl_c() => drop(interrupted),
                () = terminated() => {}
                Ok(()) = asked => ended = Ended::Rebuild,
            }
        })
        .await;
    drop(watcher);
    Ok(ended)
}

async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => drop(terminate.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// A watcher of the project, and what it sees.
fn watched(folder: &Path) -> Result<(notify::RecommendedWatcher, mpsc::Receiver<()>), Failure> {
    let unwatched =
        |error: notify::Error| Failure::failed(format!("{} cannot be watched: {error}", folder.display()), "`--no-watch` does without");
    let (events, changes) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Being read is no change.
        if !event.as_ref().is_ok_and(|event| event.kind.is_access()) {
            events.send(()).unwrap_or_default();
        }
    })
    .map_err(unwatched)?;
    watcher.watch(folder, RecursiveMode::Recursive).map_err(unwatched)?;
    Ok((watcher, changes))
}

/// Follows the project on a thread of its own, until the watcher is dropped.
fn watch(folder: &Path, live: Live, app: Arc<App>, rebuild: oneshot::Sender<()>) -> Result<notify::RecommendedWatcher, Failure> {
    let (watcher, changes) = watched(folder)?;
    std::thread::spawn(move || follow(&changes, &live, &app, rebuild));
    Ok(watcher)
}

fn follow(changes: &mpsc::Receiver<()>, live: &Live, app: &App, rebuild: oneshot::Sender<()>) {
    while settled(changes) {
        let started = Instant::now();
        match live.refresh() {
            Ok(Change::Nothing) => {}
            Ok(Change::Build) => {
                rebuild.send(()).unwrap_or_default();
                return;
            }
            Ok(change @ (Change::Content | Change::Code)) => {
                if change == Change::Code || !app.rereads_content() {
                    app.renew();
                }
                let took = started.elapsed().as_secs_f64() * 1e3;
                let what = if change == Change::Code { "code" } else { "templates or static files" };
                Talk.step("change", &format!("{what}, taken over in {took:.0} ms"));
            }
            Err(fault) => Failure::from(fault).print(),
        }
    }
}
