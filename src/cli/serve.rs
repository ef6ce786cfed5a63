//! `wasgi serve`: builds what is stale, loads it, and serves it on one thread until SIGTERM or SIGINT.

use std::{
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use tokio::signal::unix::{SignalKind, signal};

use super::{
    app::{self, checked},
    args,
    build::Talk,
    fault::Failure,
    inspect::MAY_TOUCH,
};
use crate::{
    artifact::Start,
    build::Progress,
    exchange::{Route, Uploads},
    limits::{Amount, Unit},
    sandbox::Strictness,
    server::{Bells, Config, Errors, Router, Server, Site, Table},
    telemetry,
    tenant::Mount,
};

pub(super) fn run(typed: args::Serve) -> Result<(), Failure> {
    telemetry::start(typed.access_log);
    let limits = checked(&typed.limits.0)?;
    app::raise_open_files();
    let mount = Mount::new(&typed.mount).map_err(|bad| Failure::usage(bad.to_string(), ""))?;
    let file = app::built(&typed.what, typed.allow_sdist, &typed.grants.environment, &typed.common)?;
    let mut options = app::options(&file, &typed.grants, &limits)?;
    if typed.compile_only {
        let artifacts = app::artifacts(&typed.common)?;
        let engine = app::engine(&limits, &artifacts)?;
        let loaded = app::loaded(&engine, &artifacts, &file, options, Start::Released)?;
        loaded.report.iter().for_each(app::warn);
        return Ok(());
    }
    options.isolation = typed.isolation.into();
    if typed.strict {
        options.strictness = Strictness::Strict;
    }
    let loaded = app::load(&file, options, Start::Released, &typed.grants, &typed.common)?;
    Talk.step("load", &file.display().to_string());
    let static_folders = app::static_folders(loaded.meta.as_ref(), loaded.app.options(), mount.script_name());
    let uploads = match typed.uploads {
        Some(name) => name.into(),
        None if loaded.meta.as_ref().is_some_and(|meta| meta.buffered_uploads) => Uploads::Buffered,
        None => Uploads::Streamed,
    };
    let route = Route { app: Arc::new(loaded.app), mount, uploads };
    let stop_grace = Duration::from_secs(typed.stop_grace.into());
    app::runtime()?.block_on(serve(Config {
        bind: typed.bind,
        router: Arc::new(Router::new(Table::of_one(Site::ready(route, static_folders)))),
        limits,
        bells: Bells::default(),
        stop_grace,
        errors: Errors::Hidden,
        proxies: typed.proxies.proxies(),
    }))
}

pub(super) async fn serve(config: Config) -> Result<(), Failure> {
    let limits = config.limits.clone();
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

/// The line that says that requests are answered from now on; data, so that a script can wait for it. Nobody may be listening any more.
pub(super) fn ready(url: &str) {
    writeln!(io::stdout(), "ready  {url}").unwrap_or_default();
}

pub(super) fn unbound(error: &io::Error) -> Failure {
    #[expect(clippy::wildcard_enum_match_arm, reason = "three kinds have an advice")]
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there; choose another port: `--bind 127.0.0.1:8001`",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose another: `--bind 127.0.0.1:8000`",
        io::ErrorKind::AddrNotAvailable => "this address is not one of this machine's",
        _ => "",
    };
    Failure::failed(format!("cannot listen on {error}"), hint)
}
