//! A request as one short line, for a person who writes an application.

use std::fmt::{self, Write as _};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// `GET / 200  412 B  3.1 ms` for a request, and the text alone for everything else.
pub(super) struct Short;

#[derive(Default)]
struct Fields {
    message: String,
    method: String,
    path: String,
    status: String,
    bytes: String,
    duration: String,
    outcome: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = match field.name() {
            "message" => &mut self.message,
            "method" => &mut self.method,
            "path" => &mut self.path,
            "status" => &mut self.status,
            "bytes_out" => &mut self.bytes,
            "duration_ms" => &mut self.duration,
            "outcome" => &mut self.outcome,
            _ => return,
        };
        // A text that cannot be written is left out of a line for people.
        write!(text, "{value:?}").unwrap_or_default();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'a> FormatFields<'a> + 'static> FormatEvent<S, N> for Short {
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { message, method, path, status, bytes, duration, outcome } = fields;
        if event.metadata().target() != "wasgi::access" {
            return writeln!(writer, "         | {message}");
        }
        let outcome = if outcome == "ok" { String::new() } else { format!("  {outcome}") };
        writeln!(writer, "{method} {path}  {status}  {bytes} B  {duration} ms{outcome}")
    }
}
