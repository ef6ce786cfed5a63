//! `wasgi serve --config host.toml`: a host of many tenants, and the commands that speak to it.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use notify::{RecursiveMode, Watcher, recommended_watcher};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::{RwLock, mpsc};

use super::{
    args,
    build::Talk,
    fault::Failure,
    serve::{Asked, Signals, ready, stop, tell_walls, unbound},
};
use crate::{
    admin::{self, Operator},
    artifact::hex,
    build::Progress,
    config::{Admin, HostConfig, Mistakes},
    exchange::Tasks,
    stage::Refused,
    supervisor::{AppName, Bound, Deployed, Host, Origin, Turns, Wish},
    telemetry,
    tenant::TenantId,
};

/// How long a watched folder has to be at rest before it is looked at.
const REST: Duration = Duration::from_millis(300);

/// The configuration, read; every mistake is told.
pub(super) fn read(file: &Path, common: &args::Common) -> Result<HostConfig, Failure> {
    let cache = super::cache(common.cache_dir.clone())?;
    let read = HostConfig::read(file, &cache, &super::log_levels());
    let read = read.map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display()), ""))?;
    read.map_err(|mistakes| told(&mistakes))
}

fn told(mistakes: &Mistakes) -> Failure {
    Failure::usage(
        format!("the configuration is wrong\n\n{}", mistakes.to_string().trim_end()),
        "`wasgi config check FILE` looks again; `wasgi config schema` says what may stand there",
    )
}

/// Serves until it is told to stop.
pub(super) fn run(file: &Path, typed: &args::Serve) -> Result<(), Failure> {
    let mut config = read(file, &typed.common)?;
    config.plan.require_sandbox |= typed.require_sandbox;
    config.plan.rewind.verify |= typed.verify_rewind;
    super::app::artifacts(&args::Common { cache_dir: Some(config.plan.cache.clone()) })?;
    telemetry::start(&config.plan.format);
    let desk = Desk {
        file: file.to_owned(),
        cache: typed.common.cache_dir.clone(),
        state: config.plan.state.clone(),
        begun: begun(&config),
        host: Mutex::default(),
        turns: Mutex::default(),
        changing: RwLock::default(),
        writing: Mutex::default(),
    };
    desk.prepare().map_err(|error| Failure::failed(format!("{} cannot be used: {error}", config.plan.state.display()), ""))?;
    let _alone = desk.alone()?;
    super::app::runtime()?.block_on(serve(config, Arc::new(desk)))
}

async fn serve(config: HostConfig, desk: Arc<Desk>) -> Result<(), Failure> {
    let bound = Bound::of(&config.plan).map_err(|error| unbound(&error))?;
    let addresses = bound.addresses.clone();
    let mut signals = Signals::new()?;
    let host = Host::start(config.plan.clone(), bound).map_err(|error| Failure::of(&error))?;
    *desk.host.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&host));
    let tasks = Tasks::default();
    if let Err(error) = admin::listen(&config.admin, &host, &desk, &tasks).await {
        host.stop().await;
        return Err(Failure::failed(format!("the admin listener: {error}"), ""));
    }
    let Found { wishes, mistakes, .. } = desk.wishes(&config)?;
    Talk.step("load", &format!("{} applications", wishes.len()));
    for mistakes in &mistakes {
        told(mistakes).print();
    }
    let failed = tokio::select! {
        failed = host.deploy_all(wishes) => failed,
        _ = signals.next() => {
            stop(&host).await;
            return Ok(());
        }
    };
    for failed in failed {
        Failure::from(failed).print();
    }
    signals.until_ready(&host).await?;
    tell_walls(&host, config.plan.require_sandbox);
    Talk.step("admin", &config.admin.socket.display().to_string());
    if let Some(watch) = &config.watch {
        follow(watch.folder.clone(), &desk, &tasks)?;
        Talk.step("watch", &watch.folder.display().to_string());
    }
    for address in addresses {
        ready(&format!("http://{address}"));
    }
    while signals.next().await == Asked::Reload {
        // Beside it, a stop is heard.
        let desk = Arc::clone(&desk);
        tasks.spawn(async move {
            match desk.reload().await {
                Ok(done) => Talk.step("reload", &done),
                Err(why) => Talk.warn(&why),
            }
        });
    }
    stop(&host).await;
    tasks.break_off();
    tasks.wait().await;
    Ok(())
}

/// Looks at a folder again when it has changed and rests.
fn follow(folder: PathBuf, desk: &Arc<Desk>, tasks: &Tasks) -> Result<(), Failure> {
    let failed = |error: notify::Error| Failure::failed(format!("{} cannot be watched: {error}", folder.display()), "");
    let (nudge, mut changes) = mpsc::channel(1);
    let mut watcher = recommended_watcher(move |_| {
        // One that waits stands for all.
        nudge.try_send(()).unwrap_or_default();
    })
    .map_err(failed)?;
    watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(failed)?;
    let desk = Arc::clone(desk);
    tasks.spawn(async move {
        let _watcher = watcher;
        while changes.recv().await.is_some() {
            while tokio::time::timeout(REST, changes.recv()).await.is_ok_and(|change| change.is_some()) {}
            match desk.look().await {
                Ok(done) => tracing::info!("{}: {done}", folder.display()),
                Err(why) => tracing::warn!("{}: {why}", folder.display()),
            }
        }
    });
    Ok(())
}

/// Where a host is told what to do: its configuration, and what was asked for over the admin socket, which it remembers.
struct Desk {
    file: PathBuf,
    cache: Option<PathBuf>,
    state: PathBuf,
    /// How it was begun, of what a reload cannot change.
    begun: (Admin, Option<PathBuf>),
    host: Mutex<Option<Arc<Host>>>,
    /// Who changes what is remembered of an application: one at a time.
    turns: Mutex<Turns>,
    /// Read-locked by each change of one application, and write-locked by who looks at all of them.
    changing: RwLock<()>,
    /// Held by who writes which applications are suspended.
    writing: Mutex<()>,
}

impl Desk {
    fn prepare(&self) -> io::Result<()> {
        std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).recursive(true).create(self.state.join("apps"))
    }

    /// No other host has the same state.
    fn alone(&self) -> Result<fs::File, Failure> {
        let lock = fs::File::create(self.state.join("lock")).map_err(|error| Failure::of(&error))?;
        let hint = "give each host a `[host] state` of its own";
        lock.try_lock().map_err(|_| Failure::failed(format!("another host keeps its state in {}", self.state.display()), hint))?;
        Ok(lock)
    }

    fn host(&self) -> Result<Arc<Host>, String> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(|| "the host is not there yet".to_owned())
    }

    fn config(&self) -> Result<HostConfig, String> {
        read(&self.file, &args::Common { cache_dir: self.cache.clone() }).map_err(|failure| failure.text())
    }

    /// All that is to be served.
    fn wishes(&self, config: &HostConfig) -> Result<Found, Failure> {
        let failed = |error: io::Error| Failure::failed(format!("what is to be served cannot be read: {error}"), "");
        let mut all = Found { wishes: config.wishes.clone(), ..Found::default() };
        for other in [self.asked_for(config).map_err(failed)?, found(config).map_err(failed)?] {
            for wish in other.wishes {
                if !all.wishes.iter().any(|other| other.name == wish.name) {
                    all.wishes.push(wish);
                }
            }
            all.kept.extend(other.kept);
            all.mistakes.extend(other.mistakes);
        }
        let suspended = self.suspended();
        for wish in &mut all.wishes {
            wish.suspended |= suspended.contains(&wish.name.to_string());
        }
        Ok(all)
    }

    /// What was asked for over the admin socket.
    fn asked_for(&self, config: &HostConfig) -> io::Result<Found> {
        let mut all = Found::default();
        let folder = self.state.join("apps");
        for entry in fs::read_dir(&folder)? {
            let file = entry?.path();
            if file.extension().is_some_and(|ending| ending == "toml") {
                // Its name is what `table_of` gave it.
                let name = file.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.split_once('.'));
                let wish = config.drop_in(&file, &fs::read_to_string(&file)?, &folder);
                all.add(wish, Origin::Admin, name.and_then(|(tenant, app)| named(tenant, app)));
            }
        }
        Ok(all)
    }

    async fn look(&self) -> Result<String, String> {
        let _alone = self.changing.write().await;
        let (host, config) = (self.host()?, self.config()?);
        let mut all = found(&config).map_err(|error| format!("it cannot be read: {error}"))?;
        let suspended = self.suspended();
        for wish in &mut all.wishes {
            wish.suspended |= suspended.contains(&wish.name.to_string());
        }
        let count = all.wishes.len();
        let failed = host.reload(all.wishes, &all.kept, Origin::Folder).await;
        summary(count, &failed, &all.mistakes)
    }

    fn suspended(&self) -> BTreeSet<String> {
        let text = fs::read_to_string(self.state.join("suspended")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn remember_suspended(&self, name: &AppName, suspended: bool) -> io::Result<()> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names = self.suspended();
        if suspended {
            names.insert(name.to_string());
        } else {
            names.remove(&name.to_string());
        }
        write(&self.state.join("suspended"), &names.iter().flat_map(|name| [name.as_str(), "\n"]).collect::<String>())
    }

    /// A copy of a built file, of its own: what was deployed stays what it was.
    fn copy(&self, source: &Path) -> Result<PathBuf, String> {
        let failed = |error: io::Error| format!("{} cannot be read: {error}", source.display());
        let mut sum = Sha256::new();
        let mut file = fs::File::open(source).map_err(failed)?;
        io::copy(&mut file, &mut sum).map_err(failed)?;
        let folder = self.state.join("apps");
        let kept = folder.join(format!("{}.wasm", hex(&sum.finalize())));
        if !kept.is_file() {
            let copy = |mut new: NamedTempFile| {
                io::copy(&mut fs::File::open(source)?, &mut new)?;
                new.as_file().sync_all()?;
                Ok(new.persist(&kept)?)
            };
            NamedTempFile::new_in(&folder).and_then(copy).map_err(|error| format!("{} cannot be kept: {error}", source.display()))?;
        }
        Ok(kept)
    }

    /// Removes copies that no application has any more; none while one may be on its way to a table, for that deployment looks here again.
    fn forget_copies(&self) -> io::Result<()> {
        let Ok(_alone) = self.changing.try_write() else { return Ok(()) };
        let entries: Vec<_> = fs::read_dir(self.state.join("apps"))?.collect::<io::Result<_>>()?;
        let paths = |ending: &'static str| {
            entries.iter().map(fs::DirEntry::path).filter(move |path| path.extension().is_some_and(|found| found == ending))
        };
        let tables = paths("toml").map(fs::read_to_string).collect::<io::Result<Vec<_>>>()?;
        for copy in paths("wasm") {
            let name = copy.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if !tables.iter().any(|table| table.contains(&name)) {
                fs::remove_file(copy)?;
            }
        }
        Ok(())
    }

    fn turn(&self, name: &AppName) -> Arc<tokio::sync::Mutex<()>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).of(name)
    }

    /// Deploys what `table` says, from a copy of its own, and remembers it.
    async fn deploy_copy(&self, host: &Arc<Host>, wish: Wish, table: &str) -> Result<Deployed, String> {
        let copy = self.copy(&wish.file)?;
        let mut document: toml::Table = table.parse().map_err(|error| format!("{error}"))?;
        if let Some(app) = document
            .get_mut("app")
            .and_then(toml::Value::as_array_mut)
            .and_then(|apps| apps.first_mut())
            .and_then(toml::Value::as_table_mut)
        {
            app.insert("source".to_owned(), copy.display().to_string().into());
        }
        let name = wish.name.clone();
        let suspended = wish.suspended || self.suspended().contains(&name.to_string());
        let deployed = host.deploy(Wish { file: copy, origin: Origin::Admin, suspended, ..wish }).await;
        let deployed = deployed.map_err(|refused| explained(&name, &refused))?;
        write(&self.table_of(&name), &document.to_string())
            .map_err(|error| format!("{name} is served, and will not be after a restart: {error}"))?;
        Ok(deployed)
    }

    fn table_of(&self, name: &AppName) -> PathBuf {
        self.state.join("apps").join(format!("{}.{}.toml", name.tenant, name.app))
    }
}

/// Writes a file of this user's alone, whole or not at all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    drop(fs::remove_file(&new));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)
}

/// What was found that is to be served.
#[derive(Default)]
struct Found {
    wishes: Vec<Wish>,
    /// Of those it is not known what they are to be: they stay as they are.
    kept: BTreeSet<AppName>,
    mistakes: Vec<Mistakes>,
}

impl Found {
    fn add(&mut self, wish: Result<Wish, Mistakes>, origin: Origin, name: Option<AppName>) {
        match wish {
            Ok(wish) => self.wishes.push(Wish { origin, ..wish }),
            Err(mistakes) => {
                self.kept.extend(name);
                self.mistakes.push(mistakes);
            }
        }
    }
}

fn summary(count: usize, failed: &[(AppName, Refused)], mistakes: &[Mistakes]) -> Result<String, String> {
    if failed.is_empty() && mistakes.is_empty() {
        return Ok(format!("{count} applications are as they should be"));
    }
    let told = failed.iter().map(|(name, refused)| explained(name, refused)).chain(mistakes.iter().map(ToString::to_string));
    let (bad, all) = (failed.len() + mistakes.len(), count + mistakes.len());
    let told: Vec<_> = told.collect();
    Err(format!("{bad} of {all} applications are not deployed; what was served before is served on\n{}", told.join("\n")))
}

fn explained(name: &AppName, Refused { what, detail, hint }: &Refused) -> String {
    let hint = if hint.is_empty() { String::new() } else { format!("\nhint: {hint}") };
    let detail = if detail.is_empty() { String::new() } else { format!("\n{}", detail.trim_end()) };
    format!("{name}: {what}{detail}{hint}")
}

/// What of a configuration a reload cannot change, beside its plan.
fn begun(config: &HostConfig) -> (Admin, Option<PathBuf>) {
    (config.admin.clone(), config.watch.as_ref().map(|watch| watch.folder.clone()))
}

/// What lies in the watched folder.
fn found(config: &HostConfig) -> io::Result<Found> {
    let mut all = Found::default();
    let Some(watch) = &config.watch else { return Ok(all) };
    for entry in fs::read_dir(&watch.folder)? {
        let file = entry?.path();
        if file.extension().is_none_or(|ending| ending != "wasm") {
            continue;
        }
        let Some(name) = file.file_stem().and_then(|stem| TenantId::new(&stem.to_string_lossy()).ok()) else {
            tracing::warn!("{} is not served: its name is to be 1 to 63 of a-z, 0-9 and -", file.display());
            continue;
        };
        let place = match &watch.domain {
            Some(domain) => format!("host = {:?}\n", format!("{name}.{domain}")),
            None => format!("path = \"/{name}\"\n"),
        };
        let table = format!("[[app]]\ntenant = \"{name}\"\nsource = {:?}\n{place}", file.display().to_string());
        let wish = config.drop_in(&file, &table, &watch.folder);
        all.add(wish, Origin::Folder, named(name.as_str(), name.as_str()));
    }
    Ok(all)
}

fn named(tenant: &str, app: &str) -> Option<AppName> {
    Some(AppName { tenant: TenantId::new(tenant).ok()?, app: app.to_owned() })
}

impl Operator for Desk {
    async fn reload(&self) -> Result<String, String> {
        let _alone = self.changing.write().await;
        let (host, config) = (self.host()?, self.config()?);
        let listening = (self.begun != begun(&config)).then_some("[admin], or [watch],");
        if let Some(fixed) = host.plan().unlike(&config.plan).or(listening) {
            tracing::warn!("{fixed} of {} has changed, and is taken over by a restart only", self.file.display());
        }
        let Found { wishes, kept, mistakes } = self.wishes(&config).map_err(|failure| failure.text())?;
        let mut failed = Vec::new();
        let count = wishes.len();
        let (folder, rest): (Vec<_>, Vec<_>) = wishes.into_iter().partition(|wish| wish.origin == Origin::Folder);
        let (asked, configured): (Vec<_>, Vec<_>) = rest.into_iter().partition(|wish| wish.origin == Origin::Admin);
        for (wishes, origin) in [(configured, Origin::Configuration), (asked, Origin::Admin), (folder, Origin::Folder)] {
            failed.extend(host.reload(wishes, &kept, origin).await);
        }
        summary(count, &failed, &mistakes)
    }

    async fn deploy(&self, table: String) -> Result<String, String> {
        let (host, config) = (self.host()?, self.config()?);
        let folder = self.state.join("apps");
        let wish = config.drop_in(Path::new("the request"), &table, &folder).map_err(|mistakes| mistakes.to_string())?;
        if config.wishes.iter().any(|other| other.name == wish.name) {
            return Err(format!("{} stands in {}: change it there, and reload", wish.name, self.file.display()));
        }
        let name = wish.name.clone();
        let turn = self.turn(&name);
        let _alone = turn.lock().await;
        let served = {
            let _one_of_many = self.changing.read().await;
            self.deploy_copy(&host, wish, &table).await
        };
        let forgotten = self.forget_copies();
        let Deployed { version, unchanged } = served?;
        forgotten.map_err(|error| format!("{name} is served, and copies of what was before lie in {}: {error}", folder.display()))?;
        Ok(if unchanged {
            format!("{name} is served as version {version}, as before")
        } else {
            format!("{name} is served as version {version}")
        })
    }

    async fn undeploy(&self, tenant: String, app: String) -> Option<Result<String, String>> {
        let name = named(&tenant, &app)?;
        let host = self.host().ok()?;
        let origin = host.origin(&name);
        if matches!(origin, Some(Origin::Configuration | Origin::Folder)) {
            let place = if origin == Some(Origin::Folder) { "the watched folder".to_owned() } else { self.file.display().to_string() };
            return Some(Err(format!("{name} stands in {place}: take it out there; or `wasgi suspend` it")));
        }
        let turn = self.turn(&name);
        let _alone = turn.lock().await;
        let (forgotten, served) = {
            let _one_of_many = self.changing.read().await;
            let forgotten = fs::remove_file(self.table_of(&name)).is_ok();
            self.remember_suspended(&name, false).unwrap_or_default();
            (forgotten, host.undeploy(&name).await)
        };
        self.forget_copies().unwrap_or_default();
        (served || forgotten).then(|| Ok(format!("{name} is served no longer")))
    }

    async fn suspend(&self, tenant: String, app: String, suspended: bool) -> Option<Result<String, String>> {
        let name = named(&tenant, &app)?;
        let host = self.host().ok()?;
        let turn = self.turn(&name);
        let _alone = turn.lock().await;
        let _one_of_many = self.changing.read().await;
        let done = host.suspend(&name, suspended).await?;
        Some(match done {
            Ok(()) => self
                .remember_suspended(&name, suspended)
                .map_err(|error| format!("it will not be so after a restart: {error}"))
                .map(|()| format!("{name} is {}", if suspended { "suspended" } else { "served" })),
            Err(refused) => Err(explained(&name, &refused)),
        })
    }
}
