//! One event as one line: text, JSON, or for a request Apache's combined format.

use std::{
    fmt::{self, Write as _},
    time::SystemTime,
};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

use super::{Format, Kind, Style};

/// Makes a line of each event, and hands it on with its kind and the tenant that it belongs to.
pub(super) struct Lines<F> {
    plain: Style,
    access: Style,
    sink: F,
}

impl<F: Fn((Kind, &str), &str) + 'static> Lines<F> {
    pub(super) fn new(format: &Format, sink: F) -> Self {
        Self { plain: format.lines, access: format.access.unwrap_or_default(), sink }
    }
}

impl<S: Subscriber, F: Fn((Kind, &str), &str) + 'static> Layer<S> for Lines<F> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let kind = match target {
            "wasgi::access" => Kind::Access,
            "wasgi::app" => Kind::App,
            _ => Kind::Host,
        };
        let style = if kind == Kind::Access { self.access } else { self.plain };
        let now = SystemTime::now();
        let line = match (style, kind) {
            (Style::Json, _) => fields.json(now, *level, target, kind),
            (Style::Combined, Kind::Access) => fields.combined(now),
            (Style::Combined | Style::Text, _) => fields.text(now, *level, target),
        };
        let tenant = fields.string("tenant").unwrap_or_default();
        (self.sink)((kind, &tenant), &line);
    }
}

/// The fields of an event, in their order.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, Found)>,
}

enum Found {
    /// A text that is quoted where it stands among others.
    Quoted(String),
    /// One that is not.
    Plain(String),
    Number(Value),
}

impl Found {
    fn value(&self) -> Value {
        match self {
            Self::Quoted(text) | Self::Plain(text) => text.clone().into(),
            Self::Number(number) => number.clone(),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.rest.push((field.name(), Found::Plain(text)));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.rest.push((field.name(), Found::Quoted(value.to_owned())));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.rest.push((field.name(), Found::Number(value.into())));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.rest.push((field.name(), Found::Number(value.into())));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.rest.push((field.name(), Found::Number(value.into())));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.rest.push((field.name(), Found::Number(value.into())));
    }
}

impl Fields {
    fn find(&self, name: &str) -> Option<&Found> {
        self.rest.iter().find(|(field, _)| *field == name).map(|(_, found)| found)
    }

    fn string(&self, name: &str) -> Option<String> {
        match self.find(name)? {
            Found::Quoted(text) | Found::Plain(text) => Some(text.clone()),
            Found::Number(number) => Some(number.to_string()),
        }
    }

    fn text(&self, now: SystemTime, level: Level, target: &str) -> String {
        let mut line = format!("{} {level:>5} {target}: {}", timestamp(now), self.message);
        for (name, found) in &self.rest {
            let space = if line.ends_with(' ') { "" } else { " " };
            // A text can always be written to.
            match found {
                Found::Quoted(text) => write!(line, "{space}{name}={text:?}"),
                Found::Plain(text) => write!(line, "{space}{name}={text}"),
                Found::Number(number) => write!(line, "{space}{name}={number}"),
            }
            .unwrap_or_default();
        }
        line
    }

    fn json(&self, now: SystemTime, level: Level, target: &str, kind: Kind) -> String {
        let mut object = Map::new();
        object.insert("time".to_owned(), timestamp(now).into());
        if kind != Kind::Access {
            object.insert("level".to_owned(), level.as_str().to_lowercase().into());
            object.insert("target".to_owned(), target.into());
            object.insert("message".to_owned(), self.message.clone().into());
        }
        object.extend(self.rest.iter().map(|(name, found)| ((*name).to_owned(), found.value())));
        Value::from(object).to_string()
    }

    /// `%h - - [%d/%b/%Y:%H:%M:%S %z] "%r" %>s %b "%{Referer}i" "%{User-Agent}i"`, with what is no printable ASCII as `\xhh`.
    fn combined(&self, now: SystemTime) -> String {
        let part = |name| self.string(name).map_or_else(|| "-".to_owned(), |text| hexed(&text));
        let bytes = match part("bytes_out").as_str() {
            "0" => "-".to_owned(),
            bytes => bytes.to_owned(),
        };
        format!(
            "{} - - [{}] \"{} {} {}\" {} {bytes} \"{}\" \"{}\"",
            part("client"),
            clf_time(now),
            part("method"),
            part("path"),
            part("protocol"),
            part("status"),
            part("referer"),
            part("user_agent"),
        )
    }
}

/// What could end a field or a line early, as `\xhh`.
fn hexed(text: &str) -> String {
    let plain = |b: u8| (b.is_ascii_graphic() || b == b' ') && !matches!(b, b'"' | b'\\');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("\\x{b:02x}") }).collect()
}

/// RFC 3339, in UTC, with microseconds.
fn timestamp(now: SystemTime) -> String {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = date(since.as_secs() / 86_400);
    let second = since.as_secs() % 86_400;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z", second / 3_600, second / 60 % 60, second % 60, since.subsec_micros())
}

/// `01/Jan/1970:00:00:00 +0000`.
fn clf_time(now: SystemTime) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let name = MONTHS.get(month.saturating_sub(1)).unwrap_or(&"-");
    let second = seconds % 86_400;
    format!("{day:02}/{name}/{year:04}:{:02}:{:02}:{:02} +0000", second / 3_600, second / 60 % 60, second % 60)
}

/// The date of a day since 1970 (proleptic Gregorian; H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn date(days: u64) -> (u64, usize, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), usize::try_from(month).unwrap_or(1), day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn times_are_written_as_logs_have_them() {
        assert_eq!(timestamp(at(951_827_696)), "2000-02-29T12:34:56.000000Z");
        assert_eq!(timestamp(at(1_767_225_599)), "2025-12-31T23:59:59.000000Z");
        assert_eq!(clf_time(at(0)), "01/Jan/1970:00:00:00 +0000");
    }

    #[test]
    fn a_request_is_a_combined_line_that_no_client_can_forge() {
        let quoted = |text: &str| Found::Quoted(text.to_owned());
        let fields = Fields {
            message: String::new(),
            rest: vec![
                ("client", Found::Plain("192.0.2.1".into())),
                ("method", Found::Plain("GET".into())),
                ("path", Found::Plain("/a".into())),
                ("protocol", Found::Plain("HTTP/1.1".into())),
                ("status", Found::Number(200.into())),
                ("bytes_out", Found::Number(5.into())),
                ("user_agent", quoted("x\" \n\u{e9}\\")),
            ],
        };
        let line = "192.0.2.1 - - [01/Jan/1970:00:00:00 +0000] \"GET /a HTTP/1.1\" 200 5 \"-\" \"x\\x22 \\x0a\\xc3\\xa9\\x5c\"";
        assert_eq!(fields.combined(at(0)), line);
    }

    #[test]
    fn a_line_is_text_or_one_object() {
        let fields = Fields {
            message: "hello".into(),
            rest: vec![("tenant", Found::Plain("t".into())), ("stream", Found::Quoted("stdout".into()))],
        };
        assert_eq!(
            fields.text(at(0), Level::INFO, "wasgi::app"),
            "1970-01-01T00:00:00.000000Z  INFO wasgi::app: hello tenant=t stream=\"stdout\""
        );
        let object: Value = serde_json::from_str(&fields.json(at(0), Level::WARN, "wasgi::app", Kind::App)).unwrap();
        let expected = serde_json::json!({
            "time": "1970-01-01T00:00:00.000000Z", "level": "warn", "target": "wasgi::app", "message": "hello", "tenant": "t", "stream": "stdout"
        });
        assert_eq!(object, expected);
    }
}
