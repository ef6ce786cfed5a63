//! A host with a configuration of its own, spoken to by name of its tenants.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{DEADLINE, Reply, guest, log::Log, wasgi};

/// `wasgi serve --config`.
pub struct Tenants {
    child: Child,
    pub address: SocketAddr,
    pub folder: tempfile::TempDir,
    log: Log,
}

impl Tenants {
    /// Serves what `apps` says; the state is the folder's own, and the cache everybody's.
    pub fn serving(apps: &str) -> Self {
        Self::with("", apps)
    }

    pub fn with(head: &str, apps: &str) -> Self {
        Self::beginning(tempfile::tempdir().unwrap(), head, apps)
    }

    /// With lines of the table `[host]`.
    pub fn hosting(host: &str, head: &str, apps: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let workers = if host.contains("workers = ") { "" } else { "workers = 2\n" };
        let text = configuration(head, apps).replacen("workers = 2\n", &format!("{workers}{host}\n"), 1);
        std::fs::write(folder.path().join("host.toml"), text).unwrap();
        Self::begun(folder)
    }

    fn beginning(folder: tempfile::TempDir, head: &str, apps: &str) -> Self {
        std::fs::write(folder.path().join("host.toml"), configuration(head, apps)).unwrap();
        Self::begun(folder)
    }

    fn begun(folder: tempfile::TempDir) -> Self {
        let mut command = wasgi();
        command.arg("serve").arg("--config").arg(folder.path().join("host.toml"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find_map(|line| line.unwrap().strip_prefix("ready  http://").map(str::to_owned));
        let address = ready.unwrap_or_else(|| panic!("the host did not start:\n{}", log.text())).parse().unwrap();
        Self { child, address, folder, log }
    }

    /// Ends it, and begins again with the same state.
    pub fn restarted(mut self, head: &str, apps: &str) -> Self {
        self.end();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Self::beginning(folder, head, apps)
    }

    fn end(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.signal(Signal::TERM);
            self.child.wait().unwrap();
        }
    }

    pub fn configure(&self, head: &str, apps: &str) {
        std::fs::write(self.folder.path().join("host.toml"), configuration(head, apps)).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), signal).unwrap();
    }

    /// A request at a host name.
    pub fn get(&self, host: &str, path: &str) -> Reply {
        let mut stream = self.ask(host, path);
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        Reply::of(&bytes, read.is_ok())
    }

    /// The same, whose answer is not waited for.
    pub fn ask(&self, host: &str, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        stream
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command that speaks to it.
    pub fn command(&self, words: &[&str]) -> Output {
        wasgi().args(words).arg("--config").arg(self.path("host.toml")).output().unwrap()
    }

    /// What a request over the admin socket is answered.
    pub fn admin(&self, request: &str) -> Reply {
        let mut stream = UnixStream::connect(self.path("state/admin.sock")).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Reply::of(&bytes, true)
    }

    /// What a tenant uses.
    pub fn tenant(&self, name: &str) -> Value {
        let all: Vec<Value> = serde_json::from_str(&self.admin("GET /tenants").text()).unwrap();
        all.into_iter().find(|tenant| tenant["tenant"] == name).unwrap()
    }

    /// The processes that serve.
    pub fn workers(&self) -> Vec<u64> {
        let all: Value = serde_json::from_str(&self.admin("GET /workers").text()).unwrap();
        all["workers"].as_array().unwrap().iter().filter_map(|worker| worker["pid"].as_u64()).collect()
    }

    pub fn logged(&self, words: &[&str]) -> String {
        self.log.wait_for(words)
    }

    /// A tenant's own log.
    pub fn tenant_log(&self, tenant: &str) -> String {
        std::fs::read_to_string(self.path("state/logs").join(format!("{tenant}.log"))).unwrap_or_default()
    }
}

impl Drop for Tenants {
    fn drop(&mut self) {
        // In order, so that its workers end too before the folder goes.
        self.end();
    }
}

fn configuration(head: &str, apps: &str) -> String {
    format!("[host]\nstate = \"state\"\nworkers = 2\nstop_grace = \"5s\"\n[listen]\nbind = \"127.0.0.1:0\"\n{head}\n{apps}\n")
}

/// An application at TENANT.test.
pub fn app(tenant: &str, source: &Path, more: &str) -> String {
    let source = source.display();
    format!("[[app]]\ntenant = \"{tenant}\"\nsource = \"{source}\"\nhost = \"{tenant}.test\"\n{more}\n")
}

/// The application of behaviours at TENANT.test.
pub fn behaviours(tenant: &str, more: &str) -> String {
    app(tenant, &guest("behaviours"), more)
}

/// Waits until `look` finds something.
pub fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "{what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
