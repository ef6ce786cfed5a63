//! The harness: a host as a process on a free port, and a client that sends and reads bytes.

mod browser;
mod log;
mod reply;
mod tenants;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, OnceLock, mpsc},
    time::{Duration, Instant},
};

use rustix::{
    net::{AddressFamily, SocketType, sockopt::set_socket_recv_buffer_size},
    process::{Pid, Signal, kill_process},
};

use self::log::Log;
pub use self::{
    browser::Browser,
    reply::Reply,
    tenants::{Tenants, app as tenant_app, behaviours, wait_for},
};

/// No wait of a test is longer.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// The program under test.
pub fn wasgi() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasgi"));
    command.stdin(Stdio::null());
    command
}

/// What a command has said that has to end by itself; one that goes on, because it serves after all, is killed and fails the test.
pub fn ended(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (pid, (sender, receiver)) = (Pid::from_child(&child), mpsc::channel());
    std::thread::spawn(move || drop(sender.send(child.wait_with_output())));
    receiver.recv_timeout(DEADLINE).map_or_else(
        |error| {
            kill_process(pid, Signal::KILL).unwrap();
            panic!("{command:?} has not ended: {error}")
        },
        |ran| ran.unwrap(),
    )
}

/// What a program wrote.
pub fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A guest that `make guests` built.
pub fn guest(name: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "the Makefile says where the guests are")]
    let folder = std::env::var_os("WASGI_TEST_GUESTS").map_or_else(|| root().join("target/wasm32-wasip2/release"), PathBuf::from);
    let file = folder.join(format!("{name}.wasm"));
    assert!(file.is_file(), "{} is missing; run the tests with `make test`, which builds it with `make guests`", file.display());
    file
}

/// The Python with the clients that the tests use (`tests/programs/requirements.txt`).
pub fn test_python() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "the Makefile says where it is")]
    let folder = std::env::var_os("WASGI_TEST_PYTHON").map_or_else(|| root().join("target/python-tools"), PathBuf::from);
    let python = folder.join("bin/python");
    assert!(python.exists(), "{} is missing; run the tests with `make test`, which makes it with `make python-tools`", python.display());
    python
}

/// A Python application of this repository, built once a test run.
pub fn python(folder: &'static str) -> PathBuf {
    static BUILT: Mutex<Vec<(&str, PathBuf)>> = Mutex::new(Vec::new());
    static OUTPUT: OnceLock<tempfile::TempDir> = OnceLock::new();
    let mut built = BUILT.lock().unwrap();
    if let Some((_, file)) = built.iter().find(|(name, _)| *name == folder) {
        return file.clone();
    }
    let output = OUTPUT.get_or_init(|| tempfile::tempdir().unwrap());
    let file = output.path().join(format!("{}.wasm", folder.replace('/', "-")));
    // As one builds what reads its environment: with a value that is not the one it will be served with.
    let ran = wasgi().arg("build").arg(root().join(folder)).args(["-e", "SECRET_KEY=for the build"]).arg("-o").arg(&file).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    built.push((folder, file.clone()));
    file
}

/// A running host.
pub struct Host {
    child: Child,
    pub address: SocketAddr,
    log: Log,
    /// Where its guests' /tmp folders lie.
    temporary: tempfile::TempDir,
}

impl Host {
    /// Serves the behaviours of `tests/apps`.
    pub fn behaving(flags: &[&str]) -> Self {
        Self::serving(&guest("behaviours"), flags)
    }

    pub fn serving(app: &Path, flags: &[&str]) -> Self {
        let mut command = wasgi();
        command.arg("serve").arg(app).args(["--bind", "127.0.0.1:0", "--access-log"]).args(flags);
        // One: so the next request has the instance that the last one had.
        if !flags.contains(&"--workers") {
            command.args(["--workers", "1"]);
        }
        Self::running(command)
    }

    /// Serves a Python application of this repository, with a folder that it keeps.
    pub fn keeping(name: &'static str, data: &tempfile::TempDir, flags: &[&str]) -> Self {
        Self::serving(&python(name), &[&["--data", data.path().to_str().unwrap()], flags].concat())
    }

    /// Serves a project while it is written.
    pub fn developing(project: &Path) -> Self {
        let mut command = wasgi();
        // One place: so the next request has the instance that the last one had.
        command.arg("dev").arg(project).args(["--bind", "127.0.0.1:0", "--concurrency", "1"]);
        Self::running(command)
    }

    fn running(mut command: Command) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        command.env("TMPDIR", temporary.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find_map(|line| line.unwrap().strip_prefix("ready  http://").map(str::to_owned));
        let address = ready.unwrap_or_else(|| panic!("the host did not start:\n{}", log.text())).parse().unwrap();
        Self { child, address, log, temporary }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// A connection whose client takes little at a time.
    pub fn connect_narrow(&self) -> TcpStream {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        set_socket_recv_buffer_size(&socket, 4 << 10).unwrap();
        rustix::net::connect(&socket, &self.address).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends bytes, and reads until the host closes.
    pub fn send(&self, request: &[u8]) -> Reply {
        let mut stream = self.connect();
        // A host that has answered already may close while the rest is sent.
        let sent = stream.write_all(request);
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        assert!(!bytes.is_empty() || read.is_ok(), "no reply: {sent:?} {read:?}");
        Reply::of(&bytes, read.is_ok())
    }

    /// The same, of a host that may be beginning again: a connection that it has accepted and not read ends in a reset.
    pub fn try_get(&self, path: &str) -> Option<Reply> {
        let mut stream = self.connect();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        bytes.starts_with(b"HTTP/1.1 ").then(|| Reply::of(&bytes, true))
    }

    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, "")
    }

    /// A request on a connection of its own, with further fields.
    pub fn ask(&self, method: &str, path: &str, fields: &str) -> Reply {
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{fields}\r\n").as_bytes())
    }

    /// The length of a body that is too long to keep.
    pub fn discard(&self, path: &str) -> usize {
        let mut stream = self.connect();
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: a.test\r\n\r\n").as_bytes()).unwrap();
        let (mut piece, mut head, mut length) = (vec![0; 1 << 20], Vec::new(), 0);
        loop {
            let read = stream.read(&mut piece).unwrap();
            if read == 0 {
                return length;
            }
            if length > 0 {
                length += read;
                continue;
            }
            head.extend_from_slice(&piece[..read]);
            if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                length = head.len() - end - 4;
            }
        }
    }

    /// A request on a connection that is kept, whose answer has a body of `length` bytes.
    pub fn keep_alive(&self, stream: &mut TcpStream, path: &str, length: usize) {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).as_bytes()).unwrap();
        let (mut piece, mut reply) = ([0; 16 << 10], Vec::new());
        loop {
            let read = stream.read(&mut piece).unwrap();
            assert_ne!(read, 0, "{}", String::from_utf8_lossy(&reply));
            reply.extend_from_slice(&piece[..read]);
            let end = reply.windows(4).position(|window| window == b"\r\n\r\n");
            if end.is_some_and(|end| reply.len() == end + 4 + length) {
                assert!(reply.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&reply));
                return;
            }
        }
    }

    /// A request with a body.
    pub fn post(&self, path: &str, fields: &str, body: &[u8]) -> Reply {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
        self.send(&[head.as_bytes(), body].concat())
    }

    /// Waits until the log has a line with all of `words`; that line.
    pub fn logged(&self, words: &[&str]) -> String {
        self.log.wait_for(words)
    }

    /// All lines of the log with `word`, so far.
    pub fn log_lines(&self, word: &str) -> Vec<String> {
        self.log.text().lines().filter(|line| line.contains(word)).map(str::to_owned).collect()
    }

    /// The processes that serve; the host itself, where it serves by itself.
    pub fn workers(&self) -> Vec<u32> {
        let own = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap();
        let workers: Vec<u32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        if workers.is_empty() { vec![own] } else { workers }
    }

    /// Peak resident memory counts from now on.
    pub fn forget_peak_memory(&self) {
        for worker in self.workers() {
            std::fs::write(format!("/proc/{worker}/clear_refs"), "5").unwrap();
        }
    }

    /// Peak resident memory of those that serve, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let peak = |worker: u32| {
            let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:").map(str::to_owned)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
        };
        self.workers().into_iter().map(peak).sum()
    }

    /// What guests have left behind, once those that still end have ended.
    pub fn leftovers(&self) -> usize {
        let started = Instant::now();
        loop {
            // What lies in a worker's own folder, and in no folder of the host's.
            let folder = |entry: &walkdir::DirEntry| entry.file_name().to_string_lossy().starts_with("wasgi-tmp-");
            let found = walkdir::WalkDir::new(self.temporary.path()).into_iter().filter_map(Result::ok).filter(folder);
            let count = found.filter(|entry| !is_spare(entry.path())).count();
            if count == 0 || started.elapsed() > DEADLINE {
                return count;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Open files of those that serve.
    pub fn open_files(&self) -> usize {
        self.workers().into_iter().map(|worker| std::fs::read_dir(format!("/proc/{worker}/fd")).unwrap().count()).sum()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end of the process; its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < DEADLINE, "the host does not end");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether a folder waits for the next instance: it is empty, and has the times of a new one.
fn is_spare(folder: &Path) -> bool {
    let untimed =
        folder.metadata().and_then(|status| status.modified()).is_ok_and(|modified| modified == std::time::SystemTime::UNIX_EPOCH);
    untimed && folder.read_dir().is_ok_and(|mut entries| entries.next().is_none())
}
