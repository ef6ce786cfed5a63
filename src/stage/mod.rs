//! What has to be done before an application can be served, in processes of their own: one that compiles, and runs no code of the guest; one
//! that imports the application, and compiles nothing; and the first again, for what the second has drawn.
//!
//! Each is this program again, behind its walls ([`crate::confine`]), with limits of memory and of time, and ends when whoever asked does.
//! What goes between is JSON on standard input and output. Nothing that such a process says is trusted to be short, or to come.

mod inside;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::Command,
    time::timeout,
};

pub use self::inside::run as inside;
use crate::{
    artifact::{Artifacts, Next, Prepared, Start, Terms},
    limits::Limits,
    sandbox::Report,
    telemetry::Format,
};

/// The longest answer of a stage.
const ANSWER_BYTES: u64 = 16 << 20;
/// The longest line that a stage may log, and how many lines.
const LINE_BYTES: u64 = 16 << 10;
const LINES: usize = 10_000;
/// How much longer a release may take than its own limits, which it enforces itself and can say more about.
const GRACE: Duration = Duration::from_secs(10);

/// What is to be done.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
enum Task {
    /// Check, unpack and compile the file.
    Compile,
    /// Import it and draw its memory.
    Release { prepared: Box<Prepared>, drawing: PathBuf },
    /// Compile the drawing as the release.
    Keep { drawing: PathBuf, place: PathBuf, used_storage: bool },
}

/// An order to a stage.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
struct Order {
    cache: PathBuf,
    file: PathBuf,
    terms: Terms,
    /// Made by whoever asks that it is made, whatever lies in the cache.
    again: bool,
    /// Whether a kernel without the walls is refused.
    required: bool,
    format: Format,
    task: Task,
}

/// What a stage answers.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
enum Done {
    Compiled(Box<Prepared>),
    Released { report: Box<Report>, used_storage: bool },
    Kept,
    Refused(Refused),
}

/// Why an application cannot be served, as a person reads it.
#[derive(Clone, Debug, Default, Error, serde::Deserialize, serde::Serialize)]
#[error("{what}")]
pub struct Refused {
    /// What is wrong.
    pub what: String,
    /// The application's own traceback, if it has one.
    pub detail: String,
    /// What to do.
    pub hint: String,
}

impl Refused {
    /// The same, of a file that a person knows by another name.
    #[must_use]
    pub fn renamed(self, file: &Path, given: &Path) -> Self {
        let (file, given) = (file.display().to_string(), given.display().to_string());
        let renamed = |text: String| text.replace(&file, &given);
        Self { what: renamed(self.what), detail: renamed(self.detail), hint: renamed(self.hint) }
    }
}

/// An application that can be served.
#[derive(Debug)]
pub struct Staged {
    /// Where its code lies.
    pub prepared: Prepared,
    /// What it said when its release was made, if that was now.
    pub report: Option<Report>,
    /// How long that took.
    pub took: Took,
}

/// How long the stages took, their processes' start among it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// To check, unpack and compile the file.
    pub prepare: Duration,
    /// To import the application and draw its memory, if that was done.
    pub import: Option<Duration>,
    /// To compile what was drawn.
    pub release: Option<Duration>,
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "prepared in {:.2} s", self.prepare.as_secs_f64())?;
        if let (Some(import), Some(release)) = (self.import, self.release) {
            write!(f, ", imported in {:.2} s, its release compiled in {:.2} s", import.as_secs_f64(), release.as_secs_f64())?;
        }
        Ok(())
    }
}

/// What is to be served.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The cache.
    pub cache: PathBuf,
    /// The built file.
    pub file: PathBuf,
    /// How it runs.
    pub terms: Terms,
    /// How much of it.
    pub start: Start,
    /// Whether a kernel without the walls is refused.
    pub required: bool,
    /// How it logs.
    pub format: Format,
}

/// Does all that has to be done; `line` takes what is logged on the way.
///
/// # Errors
/// [`Refused`].
pub async fn run(wanted: &Wanted, mut line: impl FnMut(&str)) -> Result<Staged, Refused> {
    let limits = &wanted.terms.limits;
    let order = |task| Order {
        cache: wanted.cache.clone(),
        file: wanted.file.clone(),
        terms: wanted.terms.clone(),
        again: wanted.start == Start::Released,
        required: wanted.required,
        format: Format { access: None, ..wanted.format.clone() },
        task,
    };
    let compiling = Duration::from_millis(limits.compile_wall_ms);
    let (mut took, mut began) = (Took::default(), Instant::now());
    let mut lap = || std::mem::replace(&mut began, Instant::now()).elapsed();
    let mut prepared = match ask(&order(Task::Compile), "compile", compiling, &mut line).await? {
        Done::Compiled(prepared) => *prepared,
        other @ (Done::Released { .. } | Done::Kept | Done::Refused(_)) => return Err(other.unexpected()),
    };
    took.prepare = lap();
    if !prepared.lies_in(&wanted.cache, &wanted.terms.tenant) {
        return Err(Done::Kept.unexpected());
    }
    let Next::Release { place } = prepared.next.clone() else { return Ok(Staged { prepared, report: None, took }) };
    if wanted.start == Start::Unprepared {
        prepared.next = Next::Serve;
        return Ok(Staged { prepared, report: None, took });
    }
    let drawing = drawing(&wanted.cache)?;
    let releasing = Duration::from_millis(limits.release_wall_ms.saturating_add(limits.head_wall_ms)) + GRACE;
    let task = Task::Release { prepared: Box::new(prepared.clone()), drawing: drawing.to_path_buf() };
    let (report, used_storage) = match ask(&order(task), "release", releasing, &mut line).await? {
        Done::Released { report, used_storage } => (*report, used_storage),
        other @ (Done::Compiled(_) | Done::Kept | Done::Refused(_)) => return Err(other.unexpected()),
    };
    took.import = Some(lap());
    let task = Task::Keep { drawing: drawing.to_path_buf(), place: place.clone(), used_storage };
    match ask(&order(task), "compile", compiling, &mut line).await? {
        Done::Kept => {}
        other @ (Done::Compiled(_) | Done::Released { .. } | Done::Refused(_)) => return Err(other.unexpected()),
    }
    took.release = Some(lap());
    prepared.code = place;
    prepared.next = Next::Serve;
    Ok(Staged { prepared, report: Some(report), took })
}

/// Where a memory is drawn: it may hold secrets, and goes when this does.
fn drawing(cache: &Path) -> Result<tempfile::TempPath, Refused> {
    let cache = Artifacts::new(cache).map_err(|error| Refused { what: error.to_string(), ..Refused::default() })?;
    let file = tempfile::NamedTempFile::new_in(cache.temporary());
    file.map(tempfile::NamedTempFile::into_temp_path).map_err(|error| failed("a release cannot be drawn", &error))
}

impl Done {
    fn unexpected(self) -> Refused {
        match self {
            Self::Refused(refused) => refused,
            Self::Compiled(_) | Self::Released { .. } | Self::Kept => {
                Refused { what: "a stage answered what it was not asked; this is a bug in wasgi".to_owned(), ..Refused::default() }
            }
        }
    }
}

fn failed(what: &str, error: &dyn fmt::Display) -> Refused {
    Refused { what: format!("{what}: {error}"), ..Refused::default() }
}

/// Has a process of its own do one task.
async fn ask(order: &Order, name: &str, time: Duration, line: &mut impl FnMut(&str)) -> Result<Done, Refused> {
    let text = serde_json::to_vec(order).map_err(|error| failed("an order cannot be written", &error))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("wasgi").arg("stage").env_clear().env("TMPDIR", order.cache.join("tmp"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| failed("a stage cannot be started", &error))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(failed("a stage cannot be started", &"it has no pipes"));
    };
    let talk = async {
        let write = async {
            stdin.write_all(&text).await?;
            stdin.shutdown().await?;
            drop(stdin);
            Ok::<_, io::Error>(())
        };
        let mut answer = Vec::new();
        let mut answers = stdout.take(ANSWER_BYTES);
        let read = answers.read_to_end(&mut answer);
        let (written, read, ()) = tokio::join!(write, read, lines(stderr, line));
        // One that died before it had read all says more by its end.
        drop(written);
        read.map(|_| answer)
    };
    let answer = timeout(time, talk).await;
    let Ok(answer) = answer else {
        child.kill().await.unwrap_or_default();
        let flag = if name == "compile" { "--compile-timeout" } else { "--release-timeout" };
        return Err(Refused {
            hint: format!("`{flag}` gives it more time"),
            ..failed(&format!("the {name} took too long"), &"it was ended")
        });
    };
    let ended = child.wait().await.map_err(|error| failed("a stage cannot be waited for", &error))?;
    let answer = answer.map_err(|error| failed("a stage cannot be read", &error))?;
    serde_json::from_slice(&answer).map_err(|_| Refused {
        what: format!("the {name} ended early ({ended})"),
        detail: String::new(),
        hint: if name == "compile" { "it may need more memory: `--compile-memory`".to_owned() } else { String::new() },
    })
}

/// Hands on what is logged, line by line, within a bound.
async fn lines(stream: impl AsyncRead + Unpin, line: &mut impl FnMut(&str)) {
    let mut reader = BufReader::new(stream);
    for _ in 0..LINES {
        let mut bytes = Vec::new();
        match (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut bytes).await {
            Ok(1..) => line(String::from_utf8_lossy(&bytes).trim_end()),
            Ok(0) | Err(_) => return,
        }
    }
    drop(tokio::io::copy(&mut reader, &mut tokio::io::sink()).await);
}

/// What of limits a stage of its own needs.
fn stage_limits(limits: &Limits) -> Limits {
    // One instance at a time, and for a release the tenant's own memory.
    Limits { worker_instances: 2, ..limits.clone() }
}
