//! The process's own part: it reads its order, stands behind its walls, does one task, and answers.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::PathBuf,
};

use rustix::process::{Signal, set_parent_process_death_signal, setpriority_process};

use super::{Done, Order, Refused, Task, failed, stage_limits};
use crate::{
    artifact::{self, ArtifactFault, Artifacts, Start},
    confine::{self, Walls},
    fault::GuestFault,
    ledger::Account,
    sandbox::{AppOptions, Engine, Isolation},
    telemetry,
};

/// The priority behind all others.
const LAST: i32 = 19;

/// Reads an order from standard input, and writes the answer to standard output.
///
/// # Errors
/// When there is none, or nobody reads the answer.
pub fn run() -> io::Result<()> {
    // Who asked may be killed.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Those that serve come first.
    setpriority_process(None, LAST)?;
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    let order: Order = serde_json::from_slice(&text).map_err(io::Error::other)?;
    telemetry::start(&order.format);
    let done = act(&order).unwrap_or_else(Done::Refused);
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, &done).map_err(io::Error::other)?;
    stdout.flush()
}

fn act(order: &Order) -> Result<Done, Refused> {
    let artifacts = Artifacts::new(&order.cache).map_err(|error| failed("the cache cannot be used", &error))?;
    let meta = artifact::meta(&order.file, &order.terms.limits);
    let terms = order.terms.clone().with(meta.as_ref());
    let options = terms.options(Account::alone(), Account::alone());
    let start = if order.again { Start::Released } else { Start::ReleasedNow };
    match &order.task {
        Task::Compile => {
            let engine = compiler(order, &artifacts)?;
            artifacts
                .prepare(&engine, &order.file, &options, start)
                .map(|prepared| Done::Compiled(Box::new(prepared)))
                .map_err(|error| Refused::from(&error))
        }
        Task::Keep { drawing, place, used_storage } => {
            let engine = compiler(order, &artifacts)?;
            let component = fs::read(drawing).map_err(|error| failed("the drawing of a release cannot be read", &error))?;
            let kept = artifacts.keep_release(&engine, &order.file, &component, (options.isolation, place), *used_storage);
            kept.map(|_| Done::Kept).map_err(|error| Refused::from(&error))
        }
        Task::Release { prepared, drawing } => {
            // It is imported once, and serves nothing.
            let options = AppOptions { isolation: Isolation::Request, ..options };
            let engine = releaser(order, &artifacts, &options, drawing.clone())?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| failed("the release cannot be begun", &error))?;
            wall(order)?;
            let drawn =
                runtime.block_on(artifacts.draw(&engine, &order.file, prepared, &options)).map_err(|error| Refused::from(&error))?;
            fs::write(drawing, &drawn.component).map_err(|error| failed("the release cannot be drawn", &error))?;
            Ok(Done::Released { report: Box::new(drawn.report), used_storage: drawn.used_storage })
        }
    }
}

/// Builds the walls of a compiler, and an engine within them.
fn compiler(order: &Order, artifacts: &Artifacts) -> Result<Engine, Refused> {
    let write = artifacts.compiled_into(&order.terms.tenant).map_err(|error| failed("the cache cannot be used", &error))?;
    let walls = Walls { read: vec![order.file.clone()], write, address_space: Some(order.terms.limits.compile_memory_bytes) };
    files(order, &walls)?;
    let engine = Engine::compiler(&stage_limits(&order.terms.limits), &artifacts.functions());
    let engine = engine.map_err(|error| failed("the compiler cannot be set up", &error))?;
    wall(order)?;
    Ok(engine)
}

/// The same for one that runs the guest.
fn releaser(order: &Order, artifacts: &Artifacts, options: &AppOptions, drawing: PathBuf) -> Result<Engine, Refused> {
    let data = options.storage.iter().map(|storage| storage.root.clone());
    let walls = Walls {
        read: artifacts.imported_from(&order.terms.tenant).into_iter().chain([order.file.clone()]).collect(),
        write: data.chain([artifacts.temporary(), drawing]).collect(),
        address_space: None,
    };
    files(order, &walls)?;
    Engine::new(&stage_limits(&order.terms.limits)).map_err(|error| failed("the sandbox cannot be set up", &error))
}

fn files(order: &Order, walls: &Walls) -> Result<(), Refused> {
    let level = confine::before_threads(walls).map_err(|error| failed("no process can be confined", &error))?;
    if order.required && level == confine::Level::None {
        return Err(lacking());
    }
    Ok(())
}

fn wall(order: &Order) -> Result<(), Refused> {
    let held = confine::before_guests(confine::Level::Full, &[]).map_err(|error| failed("no process can be confined", &error))?;
    if order.required && !held.calls { Err(lacking()) } else { Ok(()) }
}

fn lacking() -> Refused {
    Refused {
        what: "this kernel lacks landlock or seccomp, and --require-sandbox asks for them".to_owned(),
        hint: "Linux 5.13 or newer, with both, has them".to_owned(),
        ..Refused::default()
    }
}

impl From<&ArtifactFault> for Refused {
    fn from(error: &ArtifactFault) -> Self {
        let mut what = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            what = format!("{what}: {error}");
            cause = error.source();
        }
        Self { what, detail: traceback(error), hint: error.hint().to_owned() }
    }
}

fn traceback(error: &ArtifactFault) -> String {
    match error {
        ArtifactFault::Unreleased { fault: GuestFault::Raised(raised), .. } => raised.traceback.clone(),
        ArtifactFault::Unreleased { .. }
        | ArtifactFault::Unreadable { .. }
        | ArtifactFault::TooLarge { .. }
        | ArtifactFault::Shape { .. }
        | ArtifactFault::Bundle { .. }
        | ArtifactFault::Invalid { .. }
        | ArtifactFault::Heavy { .. }
        | ArtifactFault::World { .. }
        | ArtifactFault::Cache(_) => String::new(),
    }
}
