//! What a worker serves: the applications that its supervisor has named, each made ready when it is asked for.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use http::{Request as HttpRequest, header};
use http_body_util::{BodyExt, Empty};
use tokio::sync::mpsc;

use super::{cut, message::SiteSpec, shown};
use crate::{
    artifact::{Codes, Start, static_folders},
    environ::{Head, Local, Peer, Proxies},
    exchange::{self, Request, Tasks},
    fault::{Fault, HostFault},
    ledger::Ledger,
    sandbox::{App, AppOptions, Engine},
    server::{Router, Site, Table},
    stage::Refused,
    tenant::{HostName, Mount},
};

/// What of a first answer is read.
const FIRST_BYTES: usize = 1 << 20;

/// What a worker serves.
pub(super) struct Sites {
    engine: Engine,
    ledger: Arc<Ledger>,
    worker: usize,
    router: Arc<Router>,
    codes: Arc<Codes>,
    served: BTreeMap<u64, (Vec<HostName>, Arc<Site>)>,
    /// Made ready, and not served yet; nothing where a trial runs.
    tried: Arc<Mutex<HashMap<u64, Option<Arc<Site>>>>>,
    /// By which it is seen whether somebody may still write to an application's rows.
    leases: HashMap<u64, Vec<Weak<()>>>,
    leaving: Vec<(u64, Vec<Weak<()>>)>,
    tasks: Tasks,
}

impl Sites {
    pub(super) fn new((engine, codes): (Engine, Codes), ledger: Arc<Ledger>, worker: usize, router: Arc<Router>) -> Self {
        Self {
            engine,
            ledger,
            worker,
            router,
            codes: Arc::new(codes),
            served: BTreeMap::new(),
            tried: Arc::default(),
            leases: HashMap::new(),
            leaving: Vec::new(),
            tasks: Tasks::default(),
        }
    }

    pub(super) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Makes an application ready, and has it answer a request, if there is a path for one.
    pub(super) fn try_out(&mut self, spec: SiteSpec, path: Option<String>) -> impl Future<Output = (u64, Result<u16, Refused>)> + use<> {
        let (id, host) = (spec.id, spec.hosts.first().map_or("localhost", |host| host.trim_start_matches("*.")).to_owned());
        let (prepared, file, engine, codes) = (spec.prepared.clone(), spec.file.clone(), self.engine.clone(), Arc::clone(&self.codes));
        let made = self.site(spec);
        let (tried, tasks) = (Arc::clone(&self.tried), self.tasks.clone());
        lock(&tried).insert(id, None);
        let trial = async move {
            let (site, options) = made.map_err(refused)?;
            // Not on the thread that serves: it reads from disk.
            let load = tokio::task::spawn_blocking(move || prepared.app(&engine, &codes, &file, options, Start::ReleasedNow).map(drop));
            load.await.map_err(|_| refused("it cannot be loaded".to_owned()))?.map_err(|fault| Refused::from(&fault))?;
            let status = match path {
                Some(path) => first_answer(&site, &host, &path, &tasks).await?,
                None => 0,
            };
            // Unless it was forgotten meanwhile.
            if let Some(place) = lock(&tried).get_mut(&id) {
                *place = Some(site);
            }
            Ok(status)
        };
        async move { (id, trial.await.map_err(shortened)) }
    }

    /// Lets go of what was tried, unless it is served.
    pub(super) fn forget(&mut self, id: u64) {
        lock(&self.tried).remove(&id);
        if !self.served.contains_key(&id) {
            self.leave(id);
        }
    }

    /// Serves `put`, and `remove` no longer.
    pub(super) fn change(&mut self, put: Vec<SiteSpec>, remove: &[u64]) {
        for id in remove {
            self.served.remove(id);
            lock(&self.tried).remove(id);
            self.leave(*id);
        }
        self.stock(put);
        self.router.switch(Table::new(self.served.values().map(|(hosts, site)| (hosts.clone(), Arc::clone(site)))));
    }

    /// Will serve `put` with the next change.
    pub(super) fn stock(&mut self, put: Vec<SiteSpec>) {
        for spec in put {
            let (id, hosts) = (spec.id, spec.hosts.iter().filter_map(|host| HostName::new(host).ok()).collect());
            let tried = lock(&self.tried).remove(&id).flatten();
            match tried.map_or_else(|| self.site(spec).map(|(site, _)| site), Ok) {
                Ok(site) => {
                    self.served.insert(id, (hosts, site));
                }
                Err(why) => tracing::error!("an application cannot be served: {why}"),
            }
        }
    }

    fn leave(&mut self, id: u64) {
        self.leaving.push((id, self.leases.remove(&id).unwrap_or_default()));
    }

    pub(super) fn are_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Those of which the last request has ended.
    pub(super) fn gone(&mut self) -> Vec<u64> {
        let ended = |leases: &[Weak<()>]| leases.iter().all(|lease| lease.strong_count() == 0);
        let (gone, leaving): (Vec<_>, Vec<_>) = self.leaving.drain(..).partition(|(_, leases)| ended(leases));
        self.leaving = leaving;
        gone.into_iter().map(|(id, _)| id).collect()
    }

    fn site(&mut self, spec: SiteSpec) -> Result<(Arc<Site>, AppOptions), String> {
        let SiteSpec { id, name, version, tenant_row, row, mount, suspended, uploads, file, terms, prepared, .. } = spec;
        let account = |row| self.ledger.account(row, self.worker).ok_or_else(|| "it has no row in the ledger".to_owned());
        let terms = terms.with(prepared.meta.as_ref());
        let mut options = terms.options(account(tenant_row)?, account(row)?);
        self.leases.entry(id).or_default().extend([options.account.lease(), options.usage.lease()]);
        options.files.clone_from(&prepared.files);
        let mount = Mount::new(&mount).map_err(|bad| bad.to_string())?;
        if suspended {
            return Ok((Arc::new(Site::suspended(name, version, &options, mount)), options));
        }
        let (folders, warnings) = static_folders(prepared.meta.as_ref(), &options, mount.script_name());
        let unmet = prepared.meta.iter().flat_map(|meta| meta.limits.unmet(&options.limits));
        for warning in warnings.into_iter().chain(unmet) {
            options.log.tell(&warning);
        }
        let (engine, codes, loaded) = (self.engine.clone(), Arc::clone(&self.codes), options.clone());
        let load = move || -> std::pin::Pin<Box<dyn Future<Output = Result<Arc<App>, HostFault>> + Send>> {
            let (engine, codes, prepared, file, options) =
                (engine.clone(), Arc::clone(&codes), prepared.clone(), file.clone(), loaded.clone());
            // Not on the thread that serves: it reads from disk.
            let loading = tokio::task::spawn_blocking(move || {
                prepared.app(&engine, &codes, &file, options, Start::ReleasedNow).map_err(|fault| HostFault::Sandbox {
                    what: "the application cannot be loaded",
                    detail: format!("{}: {fault}", shown(&file)),
                })
            });
            Box::pin(async { loading.await.unwrap_or(Err(HostFault::Panicked)).map(Arc::new) })
        };
        Ok((Arc::new(Site::on_demand((name, version), &options, (mount, uploads), folders, Box::new(load))), options))
    }
}

/// The status of an application's first answer.
async fn first_answer(site: &Site, host: &str, path: &str, tasks: &Tasks) -> Result<u16, Refused> {
    let first = |why: &str| refused(format!("its first request ({path}) failed: {why}"));
    let faulty = |fault: &Fault| {
        let detail = if let Fault::Guest(guest) = fault { guest.traceback().to_owned() } else { String::new() };
        Refused { detail, ..first(&fault.chain()) }
    };
    let route = site.route().await.map_err(|fault| faulty(&fault))?;
    let request = HttpRequest::get(format!("{}{path}", site.mount().script_name())).header(header::HOST, host).body(());
    let (parts, ()) = request.map_err(|bad| first(&bad.to_string()))?.into_parts();
    let nowhere = ([127, 0, 0, 1], 0).into();
    let head = Head::new(parts, Peer(nowhere), &Proxies::default()).map_err(|fault| first(&fault.to_string()))?;
    let (hints, _) = mpsc::channel(1);
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request { head, body, local: Local(nowhere), id: "first".to_owned(), hints };
    let answer = exchange::run(&route, request, (), |_| {}, tasks).await.map_err(|fault| faulty(&fault))?;
    let mut body = answer.body;
    let mut bytes = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|aborted| first(&aborted.to_string()))?;
        bytes = bytes.saturating_add(frame.data_ref().map_or(0, bytes::Bytes::len));
        if bytes > FIRST_BYTES {
            break;
        }
    }
    let status = answer.reply.status.code.as_u16();
    if status < 500 { Ok(status) } else { Err(first(&format!("it was answered with {status}"))) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(what: String) -> Refused {
    Refused { what, ..Refused::default() }
}

/// No longer than a worker may speak.
fn shortened(refused: Refused) -> Refused {
    Refused { what: cut(&refused.what), detail: cut(&refused.detail), hint: refused.hint }
}
