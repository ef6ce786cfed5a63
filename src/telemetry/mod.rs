//! Where log lines go: to standard error, or, of a worker, to its supervisor, a queue for each tenant. `WASGI_LOG` chooses levels, as in
//! `WASGI_LOG=wasgi=debug`. In development a request is one short line.

mod line;
mod outlet;
mod short;

use std::{io, os::unix::net::UnixStream};

use tracing_subscriber::{EnvFilter, Layer, filter::LevelFilter, layer::SubscriberExt, util::SubscriberInitExt};

use self::line::Lines;
pub use self::outlet::{Kind, Outlet, Record, read};

/// How lines are written.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub struct Format {
    /// Everything that is no request.
    pub lines: Style,
    /// Requests; none are logged without.
    pub access: Option<Style>,
    /// Which levels, in the notation of `WASGI_LOG`; empty for the usual ones.
    pub levels: String,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// For people: time, level, where it comes from, text, and fields.
    #[default]
    Text,
    /// One object.
    Json,
    /// Of a request, the line that Apache made familiar; text of everything else.
    Combined,
}

impl Format {
    /// The same, with other lines than requests written so.
    #[must_use]
    pub fn with_lines(self, lines: Style) -> Self {
        Self { lines, ..self }
    }

    fn filter(&self) -> EnvFilter {
        let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse_lossy(&self.levels);
        let access = if self.access.is_some() { "wasgi::access=info" } else { "wasgi::access=off" };
        match access.parse() {
            Ok(directive) => filter.add_directive(directive),
            Err(_) => filter,
        }
    }
}

/// Starts logging to standard error, once a process.
pub fn start(format: &Format) {
    let lines = Lines::new(format, |_, line| {
        let mut text = line.to_owned();
        text.push('\n');
        // Nobody may be listening any more.
        io::Write::write_all(&mut io::stderr().lock(), text.as_bytes()).unwrap_or_default();
    });
    // A second start is a process that serves twice, as tests do: the first one's choice stays.
    drop(tracing_subscriber::registry().with(lines.with_filter(format.filter())).try_init());
}

/// Starts logging of a worker, to the supervisor at the other end of `stream`. Within a runtime.
///
/// # Errors
/// When the stream cannot be made ready for it.
pub fn start_worker(stream: UnixStream, format: &Format) -> io::Result<Outlet> {
    let outlet = Outlet::new(stream)?;
    let queue = outlet.clone();
    let lines = Lines::new(format, move |key, line| queue.push(key, line));
    drop(tracing_subscriber::registry().with(lines.with_filter(format.filter())).try_init());
    Ok(outlet)
}

/// Starts logging for a person who writes an application.
pub(crate) fn start_dev(levels: &str) {
    let filter = Format { access: Some(Style::Text), levels: levels.to_owned(), ..Format::default() }.filter();
    let short = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false);
    drop(short.event_format(short::Short).try_init());
}
