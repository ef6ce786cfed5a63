//! Runs the guest's Python in the sandbox, over copies of an application's files that it may change: to compile modules, and to import the
//! application once, so that a build that succeeds has an application that starts.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use super::{BuildFault, packages::Native, runtime::Runtime};
use crate::{
    artifact::Artifacts,
    fault::{Fault, GuestFault},
    limits::Limits,
    sandbox::{Allowance, App, AppOptions, Code, Engine, Folder, Instance, Kept, Plan, Report, Storage, TenantLog},
    tenant::TenantId,
};

/// What the guest may write in a build: compiled modules, collected files.
const WRITTEN_BYTES: u64 = 4 << 30;
const WRITTEN_NAMES: u64 = 100_000;

/// The runtime, ready to run.
pub(super) struct Trial {
    engine: Engine,
    code: Arc<Code>,
    python: PathBuf,
    limits: Limits,
}

impl Trial {
    /// Compiles the runtime, unless that was done before.
    pub(super) fn new(runtime: &Runtime, cache: &Path) -> Result<Self, BuildFault> {
        let failed = |error: &dyn std::fmt::Display| BuildFault::new(format!("the sandbox cannot be set up: {error}"), "", "");
        // A build imports what a tenant's limits may refuse later; the memory is what WebAssembly has.
        let limits = Limits {
            memory_bytes: 1 << 30,
            concurrency: 1,
            release_cpu_ms: 10 * 60_000,
            release_wall_ms: 20 * 60_000,
            ..Limits::default()
        };
        let artifacts = Artifacts::new(cache).map_err(|error| failed(&error))?;
        let engine = Engine::compiling(&limits, &artifacts.functions()).map_err(|error| failed(&error))?;
        let file = runtime.component();
        let bytes = fs::read(&file).map_err(BuildFault::io(&file))?;
        let code = artifacts.instrumented(&engine, &file, &bytes).map_err(|error| failed(&error))?;
        Ok(Self { engine, code, python: runtime.python(), limits })
    }

    /// Has the guest make `plan` ready, with `folders` of `root` that it may write.
    pub(super) fn run(
        &self,
        plan: &Plan,
        root: &Path,
        folders: &[(String, PathBuf)],
        environment: &[(String, String)],
    ) -> Result<Report, BuildFault> {
        let inside = |host: &Path| host.strip_prefix(root).map(Path::to_owned).unwrap_or_default();
        let kept = folders.iter().map(|(guest, host)| Kept { inside: inside(host), guest: guest.clone() }).collect();
        let mut options = AppOptions::new(TenantLog::new(TenantId::of("build"), &self.limits));
        options.limits = self.limits.clone();
        options.files = vec![Folder { host: self.python.clone(), guest: "/python".to_owned() }];
        let (limit, names, allowance) = (WRITTEN_BYTES, WRITTEN_NAMES, Allowance::Growth);
        options.storage = vec![Storage { root: root.to_owned(), folders: kept, limit, names, allowance }];
        options.environment = environment.to_vec();
        let broken = |what: String| BuildFault::new(what, "", "");
        let app = App::new(&self.engine, Arc::clone(&self.code), options).map_err(|error| broken(error.to_string()))?;
        let report = thread::scope(|scope| {
            // A thread of its own: whoever builds may have an asynchronous runtime already.
            let run = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
                runtime.block_on(prepare(&app, plan))
            });
            run.join().unwrap_or_else(|_| Err("the build panicked; this is a bug in wasgi".to_owned()))
        });
        report.map_err(|why| BuildFault::new(format!("the application cannot be imported: {why}"), "", ""))
    }

    /// Compiles the modules in `site` for the guest's Python, in place.
    pub(super) fn compile(&self, site: &Path) -> Result<(), BuildFault> {
        let plan = Plan { compile: vec!["/1".to_owned()], ..Plan::default() };
        self.run(&plan, site, &[("/1".to_owned(), site.to_owned())], &[]).and_then(|report| judged(report, &[])).map(drop)
    }
}

async fn prepare(app: &App, plan: &Plan) -> Result<Report, String> {
    let told = |fault: GuestFault| fault.to_string();
    let started = Instance::start(app, "build").await;
    let mut instance = started.map_err(|fault| match fault {
        Fault::Guest(guest) => told(guest),
        Fault::Client(_) | Fault::Busy(_) | Fault::Host(_) => fault.chain(),
    })?;
    instance.prepare(app, plan).await.map_err(told)
}

/// What a person reads when the application could not be imported.
pub(super) fn judged(report: Report, natives: &[Native]) -> Result<Report, BuildFault> {
    let Some(error) = &report.error else { return Ok(report) };
    let (detail, text) = (report.traceback.clone().unwrap_or_default(), &error.text);
    match error.kind.as_str() {
        "not-found" => return Err(BuildFault::new(text, "", "name it: `wasgi build module:name`")),
        "refused" => return Err(BuildFault::new(text, "", "")),
        // Its environment is where it is served.
        "environment" => return Ok(report),
        _ => {}
    }
    if let Some(native) = natives.iter().find(|native| report.missing.contains(&native.module)) {
        let what = format!("`{}` needs native code, which no WebAssembly guest can load: {}", native.package, native.file);
        return Err(BuildFault::new(what, detail, alternative(&native.package)));
    }
    let hint = match report.missing.first().map(String::as_str) {
        Some(
            name @ ("ssl" | "_ssl" | "ctypes" | "_ctypes" | "fcntl" | "grp" | "pwd" | "mmap" | "resource" | "termios" | "_multiprocessing"
            | "_posixsubprocess" | "bz2" | "_bz2" | "lzma" | "_lzma" | "readline" | "curses" | "_curses" | "dbm" | "syslog"),
        ) => absent(name),
        Some(name) => format!("if `{name}` is a package, add it to requirements.txt"),
        None => String::new(),
    };
    Err(BuildFault::new(format!("the application raised while it was imported: {text}"), detail, hint))
}

/// What a guest cannot have, and what to do about it.
fn absent(name: &str) -> String {
    let instead = match name.trim_start_matches('_') {
        "ssl" => "a guest makes no TLS connections; if the import is only tried, set `stubs = [\"ssl\"]` under [python] in wasgi.toml",
        "fcntl" | "grp" | "pwd" => {
            return format!(
                "`{name}` does not exist in a WebAssembly guest; where a stub that does nothing is enough, set `stubs = [\"{name}\"]` under [python] in wasgi.toml"
            );
        }
        "multiprocessing" | "posixsubprocess" => "a guest is one process with one thread",
        "bz2" | "lzma" => "use zlib or gzip",
        "dbm" => "use sqlite3",
        _ => "use a library that does without it",
    };
    format!("`{name}` cannot exist in a WebAssembly guest; {instead}")
}

/// What to use instead.
fn alternative(package: &str) -> &'static str {
    let name = package.split(' ').next().unwrap_or_default().to_lowercase().replace('_', "-");
    match name.as_str() {
        "psycopg2" | "psycopg2-binary" | "psycopg-binary" | "asyncpg" => "use pg8000, which is pure Python",
        "mysqlclient" | "mysql-connector-python" => "use PyMySQL, which is pure Python",
        "orjson" | "ujson" | "python-rapidjson" => "use the json of the standard library",
        "lxml" => "use xml.etree.ElementTree of the standard library, or html5lib",
        "bcrypt" | "argon2-cffi" | "argon2-cffi-bindings" | "cryptography" | "pynacl" => "use hashlib and hmac of the standard library",
        "gevent" | "greenlet" | "eventlet" | "uvloop" => "leave it out: a guest serves one request at a time",
        "pydantic-core" => "use dataclasses, or pydantic 1 (`pydantic<2`), which has a pure wheel",
        _ => "use a package that is pure Python",
    }
}
