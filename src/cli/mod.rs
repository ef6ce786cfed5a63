//! The command line. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a check
//! found problems. Standard output carries data, standard error carries talk.
//!
//! `args` is what was typed; each command says what it means, and calls the library.

mod app;
mod args;
mod build;
mod cgi;
mod check;
mod dev;
mod environment;
mod fault;
mod host;
mod inspect;
mod manage;
mod new;
mod proxies;
mod serve;
mod tell;

use std::{path::PathBuf, process::ExitCode};

use self::{args::Command, fault::Failure};
use crate::{
    stage,
    telemetry::{Format, Style},
    worker,
};

/// Runs the command that was typed.
#[must_use]
pub fn run() -> ExitCode {
    let typed = match args::parse(std::env::args_os()) {
        Ok(typed) => typed,
        Err(error) => {
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let done = match typed {
        Command::New(new) => new::run(&new),
        Command::Build(build) => build::run(&build),
        Command::Serve(serve) => serve::run(*serve),
        Command::Dev(dev) => dev::run(&dev),
        Command::Manage(manage) => manage::run(&manage),
        Command::Check(check) => check::run(&check),
        Command::Cgi(cgi) => cgi::run(&cgi),
        Command::Inspect(inspect) => inspect::run(&inspect),
        Command::Deploy(deploy) => tell::deploy(&deploy),
        Command::Undeploy(named) => tell::undeploy(&named),
        Command::Suspend(named) => tell::suspend(&named, "suspend"),
        Command::Resume(named) => tell::suspend(&named, "resume"),
        Command::Reload(to) => tell::reload(&to),
        Command::Logs(logs) => tell::logs(&logs),
        Command::Top(top) => tell::top(&top),
        Command::Config(config) => tell::config(&config),
        Command::Worker => inner(worker::run()),
        Command::Stage => inner(stage::inside()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.code())
        }
    }
}

/// What a process of this program does for another one.
fn inner(ended: std::io::Result<()>) -> Result<(), Failure> {
    ended.map_err(|error| Failure::of(&error))
}

/// Which levels are logged.
fn log_levels() -> String {
    #[expect(clippy::disallowed_methods, reason = "which levels are logged is the operator's word")]
    std::env::var("WASGI_LOG").unwrap_or_default()
}

/// Text on standard error; requests if `access` says how.
fn log_format(access: Option<Style>) -> Format {
    Format { lines: Style::Text, access, levels: log_levels() }
}

/// Where tools, packages and compiled code are kept.
fn cache(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    #[expect(clippy::disallowed_methods, reason = "where a person's cache lies is told by the environment (XDG Base Directory)")]
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let found = given
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("wasgi")))
        .or_else(|| variable("HOME").map(|folder| folder.join(".cache/wasgi")))
        .ok_or_else(|| Failure::usage("no place for the cache: HOME is not set", "name one: `--cache-dir DIR`"))?;
    // Tools in it are run from other folders.
    std::path::absolute(found).map_err(|error| Failure::of(&error))
}
