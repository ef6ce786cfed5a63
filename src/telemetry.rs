//! Where log lines go: standard error, as text. `WASGI_LOG` chooses levels, as in `WASGI_LOG=wasgi=debug`.

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Starts logging, once a process. Requests are logged if `access_log` says so.
pub(crate) fn start(access_log: bool) {
    let access = if access_log { "wasgi::access=info" } else { "wasgi::access=off" };
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).with_env_var("WASGI_LOG").from_env_lossy();
    let filter = match access.parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let started = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).try_init();
    // A second start is a process that serves twice, as tests do: the first one's choice stays.
    drop(started);
}
