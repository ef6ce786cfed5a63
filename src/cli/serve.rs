//! `wasgi serve`: the host. One application that is named here, or all that a configuration names, until SIGTERM or SIGINT; SIGHUP has it look
//! again at what it serves.

use std::{
    io::{self, Write as _},
    num::NonZero,
    sync::Arc,
    time::Duration,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    app::{self, checked},
    args,
    build::Talk,
    fault::Failure,
    inspect::MAY_TOUCH,
};
use crate::{
    artifact::Terms,
    build::Progress,
    limits::{Amount, Limits, Unit},
    sandbox::Strictness,
    stage::Refused,
    supervisor::{AppName, Bound, CACHE_BYTES, DEFAULT_GROUP, Group, Host, LogPlan, Origin, Plan, Rewinding, Wish},
    tenant::Mount,
};

/// Rows for a tenant, and for the versions of its one application, some of which may be on their way out.
const ROWS: usize = 16;

pub(super) fn run(typed: args::Serve) -> Result<(), Failure> {
    app::raise_open_files();
    if let Some(config) = &typed.config {
        return super::host::run(config, &typed);
    }
    let limits = checked(&typed.limits.0)?;
    let mount = Mount::new(&typed.mount).map_err(|bad| Failure::usage(bad.to_string(), ""))?;
    let file = app::built(&typed.what, typed.allow_sdist, &typed.grants.environment, &typed.common)?;
    let mut options = app::options(&file, &typed.grants, &limits)?;
    options.isolation = typed.isolation.into();
    if typed.strict {
        options.strictness = Strictness::Strict;
    }
    let tenant = options.log.tenant().clone();
    let wish = Wish {
        name: AppName { app: tenant.to_string(), tenant },
        given: file.clone(),
        file: file.clone(),
        hosts: Vec::new(),
        mount: mount.script_name().to_owned(),
        uploads: typed.uploads.map(Into::into),
        terms: Terms::of(&options),
        suspended: false,
        check: None,
        group: None,
        shared_release: false,
        origin: Origin::Configuration,
    };
    let state = tempfile::Builder::new().prefix("wasgi-run-").tempdir().map_err(|error| Failure::of(&error))?;
    let plan = Plan {
        groups: vec![Group { name: DEFAULT_GROUP.to_owned(), workers: workers(typed.workers), bind: typed.bind }],
        cache: app::artifacts(&typed.common)?.folder().to_owned(),
        cache_bytes: CACHE_BYTES,
        state: state.path().to_owned(),
        rows: ROWS,
        limits: limits.clone(),
        proxies: typed.proxies.proxies(),
        stop_grace: Duration::from_secs(typed.stop_grace.into()),
        format: super::log_format(typed.access_log.map(Into::into)).with_lines(typed.log_format.into()),
        logs: LogPlan::Terminal,
        require_sandbox: typed.require_sandbox,
        rewind: Rewinding { way: typed.rewind.map(Into::into), verify: typed.verify_rewind },
        stages: 1,
    };
    crate::telemetry::start(&plan.format);
    let storage = options.data().map(|storage| format!("{} as /data, at most {}", storage.root.display(), bytes(storage.limit)));
    app::runtime()?.block_on(async {
        Talk.step("load", &file.display().to_string());
        let bound = Bound::of(&plan).map_err(|error| unbound(&error))?;
        let addresses = bound.addresses.clone();
        let mut signals = Signals::new()?;
        let host = Host::start(plan, bound).map_err(|error| Failure::of(&error))?;
        if let Some((_, refused)) = host.deploy_all(vec![wish.clone()]).await.pop() {
            host.stop().await;
            return Err(refused.into());
        }
        tell(&limits);
        if let Some(storage) = storage {
            Talk.step("data", &storage);
        }
        signals.until_ready(&host).await?;
        tell_walls(&host, typed.require_sandbox);
        for address in addresses {
            ready(&format!("http://{address}"));
        }
        while signals.next().await == Asked::Reload {
            match host.deploy(wish.clone()).await {
                Ok(deployed) if deployed.unchanged => Talk.step("reload", "nothing has changed"),
                Ok(deployed) => Talk.step("reload", &format!("version {} is served", deployed.version)),
                Err(refused) => Failure::from(refused).print(),
            }
        }
        stop(&host).await;
        Ok(())
    })
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    Stop,
    Reload,
}

/// The signals of a host.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
        let watch = |kind| signal(kind).map_err(|_| Failure::failed("the signals SIGTERM, SIGINT and SIGHUP cannot be watched", ""));
        let (terminate, interrupt) = (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hang_up: watch(SignalKind::hangup())? })
    }

    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }

    /// Waits until the workers serve.
    pub(super) async fn until_ready(&mut self, host: &Arc<Host>) -> Result<(), Failure> {
        let all = tokio::time::timeout(Duration::from_mins(1), host.ready());
        tokio::select! {
            ready = all => if ready.is_err() {
                host.stop().await;
                return Err(Failure::failed("the workers do not begin to serve", "their own lines above say why"));
            },
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        Ok(())
    }
}

pub(super) async fn stop(host: &Arc<Host>) {
    Talk.step("stop", "waiting for requests in flight");
    host.stop().await;
    Talk.step("stopped", "");
}

/// One worker a core, if no number is said.
pub(super) fn workers(said: Option<NonZero<usize>>) -> usize {
    said.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get)
}

fn bytes(value: u64) -> String {
    Amount(value, Unit::Bytes).to_string()
}

fn tell(limits: &Limits) {
    let cpu = Amount(limits.guest_cpu_ms, Unit::Millis);
    let memory = bytes(limits.memory_bytes);
    Talk.step("limits", &format!("memory {memory} · CPU {cpu} a request · {} at once", limits.concurrency));
    Talk.step("touches", MAY_TOUCH);
}

/// Says how the workers are confined; a kernel that lacks something is worth a warning.
pub(super) fn tell_walls(host: &Host, required: bool) {
    let count = host.workers().len();
    match host.held() {
        Some(held) if held.is_whole() => Talk.step("workers", &format!("{count}, each behind {held}")),
        Some(held) if !required => Talk.warn(&format!("{count} workers with {held}: an escape from the sandbox would meet no second wall")),
        Some(_) | None => {}
    }
}

impl From<(AppName, Refused)> for Failure {
    fn from((name, refused): (AppName, Refused)) -> Self {
        Self::from(Refused { what: format!("{name}: {}", refused.what), ..refused })
    }
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
