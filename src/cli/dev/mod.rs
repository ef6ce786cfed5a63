//! `wasgi dev`: an application while it is written. In Python its instance imports it from its own folder; a change of code drops the
//! instance, a change of what is installed begins again. In other languages every change is compiled, and served when that succeeds. While
//! there is nothing to serve, whoever asks is told why.

mod interrupt;
mod ready;
mod watch;

use std::{
    io,
    net::TcpListener,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use self::{
    interrupt::Interrupt,
    ready::Ready,
    watch::{Follow, Watched},
};
use super::{
    app, args,
    build::{self, Talk},
    fault::Failure,
    serve::{ready, unbound},
};
use crate::{
    build::{Progress, Purpose},
    environ::Proxies,
    exchange::{Route, Uploads},
    ledger::Callers,
    limits::{Amount, Unit},
    sandbox::Engine,
    server::{Bells, Config, Errors, Router, Server, Site, Table, broken},
    telemetry,
    tenant::Mount,
};

/// Why a round of serving ended.
enum Ended {
    /// The person stopped it.
    Stopped,
    /// What is served is old.
    Rebuild,
}

pub(super) fn run(typed: &args::Dev) -> Result<(), Failure> {
    telemetry::start_dev(&super::log_levels());
    let limits = app::checked(&typed.limits.0)?;
    app::raise_open_files();
    let engine = app::engine(&limits, &app::artifacts(&typed.common)?)?;
    // Bound once: who asks while things are built waits.
    let listener =
        TcpListener::bind(typed.bind).map_err(|error| unbound(&io::Error::new(error.kind(), format!("{}: {error}", typed.bind))))?;
    let interrupt = Interrupt::listen()?;
    let mut folder: Option<PathBuf> = None;
    loop {
        // From before the project is read: what changes while that fails is not missed.
        let data = typed.grants.data.as_deref();
        let watched = if typed.no_watch { None } else { folder.as_deref().map(|folder| Watched::of(folder, data)).transpose()? };
        let ended = match round(typed, &engine, &listener, &mut folder, &interrupt) {
            Ok(ended) => ended,
            // What was served once is being worked on: the next change may mend it.
            Err(failure) => match watched {
                Some(watched) => {
                    failure.print();
                    told(&listener, &failure, watched, &interrupt)?
                }
                None => return Err(failure),
            },
        };
        match ended {
            Ended::Stopped => return Ok(()),
            Ended::Rebuild => Talk.step("change", "beginning again"),
        }
    }
}

/// Tells whoever asks what is wrong, until something changes.
fn told(listener: &TcpListener, failure: &Failure, mut watched: Watched, interrupt: &Interrupt) -> Result<Ended, Failure> {
    let listener = listener.try_clone().map_err(|error| Failure::of(&error))?;
    let (changed, change) = oneshot::channel();
    let _stop = watched.stop();
    std::thread::spawn(move || {
        if watched.next() {
            changed.send(()).unwrap_or_default();
        }
    });
    app::runtime()?.block_on(async {
        let mut ended = Ended::Stopped;
        let until = async {
            tokio::select! {
                () = interrupt.came() => {}
                changed = change => if changed.is_ok() { ended = Ended::Rebuild },
            }
        };
        broken(listener, &failure.text(), until).await.map_err(|error| Failure::of(&error))?;
        Ok(ended)
    })
}

/// Builds and serves until something ends that; `folder` is the project's, once it was served.
fn round(
    typed: &args::Dev,
    engine: &Engine,
    listener: &TcpListener,
    folder: &mut Option<PathBuf>,
    interrupt: &Interrupt,
) -> Result<Ended, Failure> {
    let mut request = build::request(&typed.app, None, typed.allow_sdist, &typed.common)?;
    request.purpose = Purpose::Development;
    let started = Instant::now();
    // From before it is compiled: what changes meanwhile is compiled again.
    let data = typed.grants.data.as_deref();
    let mut watched = if typed.no_watch { None } else { Some(Watched::of(&request.source.folder, data)?) };
    let made = interrupt.ending(|| Ready::of(typed, engine, &request))?;
    watched.iter_mut().for_each(Watched::built);
    Talk.step("build", &format!("in {:.1} s", started.elapsed().as_secs_f64()));
    *folder = Some(request.source.folder.clone());
    let listener = listener.try_clone().map_err(|error| Failure::of(&error))?;
    app::runtime()?.block_on(serve(listener, typed, made, watched, interrupt))
}

async fn serve(
    listener: TcpListener,
    typed: &args::Dev,
    made: Ready,
    watched: Option<Watched>,
    interrupt: &Interrupt,
) -> Result<Ended, Failure> {
    let Ready { app, sources, static_folders, live } = made;
    let app = Arc::new(app);
    // Buffered: every framework reads that.
    let route = Route { app: Arc::clone(&app), mount: Mount::default(), uploads: Uploads::Buffered };
    let errors = Errors::Shown { sources };
    let config = Config {
        bind: Vec::new(),
        router: Arc::new(Router::new(Table::of_one(Site::ready(route, static_folders)))),
        limits: app.limits().clone(),
        bells: Bells::default(),
        callers: Callers::alone(),
        stop_grace: Duration::from_secs(1),
        errors,
        proxies: Proxies::default(),
    };
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
    let follow = watched.map(|watched| Follow::start(watched, live, Arc::clone(&app), rebuild));
    let mut ended = Ended::Stopped;
    server
        .run(async {
            tokio::select! {
                () = interrupt.came() => {}
                Ok(()) = asked => ended = Ended::Rebuild,
            }
        })
        .await;
    drop(follow);
    Ok(ended)
}
