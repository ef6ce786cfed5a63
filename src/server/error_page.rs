//! The error page of development: the application's own traceback, with its source around the line that raised. Never for production:
//! there, what an application raises goes to its log alone.

use std::{
    fmt::Write as _,
    path::{Component, Path, PathBuf},
};

use http::{HeaderValue, header, request::Parts};

use crate::fault::Fault;

/// Who sees what an application raised.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Errors {
    /// Its tenant, in the log.
    #[default]
    Hidden,
    /// Whoever asks: for development.
    Shown {
        /// Where the application's files lie, which its traceback calls `/0`.
        sources: Option<PathBuf>,
    },
}

/// Lines around the one that raised.
const AROUND: usize = 6;
/// The largest source that is read.
const SOURCE_BYTES: u64 = 1 << 20;

/// A page for a fault of the application, and its type; None for other faults, and where faults are hidden.
pub(super) fn page(errors: &Errors, fault: &Fault, head: &Parts) -> Option<(String, HeaderValue)> {
    let (Errors::Shown { sources }, Fault::Guest(guest)) = (errors, fault) else { return None };
    let traceback = guest.traceback();
    let html = head.headers.get(header::ACCEPT).is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")));
    if !html {
        return Some((format!("{guest}\n\n{traceback}"), HeaderValue::from_static("text/plain; charset=utf-8")));
    }
    let source = sources.as_deref().and_then(|sources| around(sources, traceback)).unwrap_or_default();
    let page = format!(
        "<!doctype html><meta charset=utf-8><title>{title}</title>\
         <style>body{{font:16px/1.5 sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}}\
         pre{{background:#f4f4f4;padding:1rem;overflow:auto}}mark{{display:block;background:#fdd}}</style>\
         <h1>{title}</h1>{source}<h2>Traceback</h2><pre>{traceback}</pre>\
         <p>{method} {path}. This page is shown by <code>wasgi dev</code> only.</p>",
        title = escaped(&guest.to_string()),
        traceback = escaped(traceback),
        method = escaped(head.method.as_str()),
        path = escaped(head.uri.path()),
    );
    Some((page, HeaderValue::from_static("text/html; charset=utf-8")))
}

/// The source around the last line of the application's own in a traceback.
fn around(sources: &Path, traceback: &str) -> Option<String> {
    let frame = traceback.lines().rev().find_map(|line| {
        let (file, rest) = line.trim_start().strip_prefix("File \"/0/")?.split_once("\", line ")?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some((file.to_owned(), digits.parse::<usize>().ok()?))
    });
    let (file, number) = frame?;
    let inside = Path::new(&file);
    let plain = inside.components().all(|part| matches!(part, Component::Normal(_)));
    let whole = sources
        .join(inside)
        .canonicalize()
        .ok()
        .filter(|whole| plain && sources.canonicalize().is_ok_and(|root| whole.starts_with(root)))?;
    if whole.metadata().ok()?.len() > SOURCE_BYTES {
        return None;
    }
    let text = std::fs::read_to_string(whole).ok()?;
    let mut shown = format!("<h2>{} line {number}</h2><pre>", escaped(&file));
    for (line, content) in (1..).zip(text.lines()).skip(number.saturating_sub(AROUND + 1)).take(2 * AROUND + 1) {
        let content = escaped(&format!("{line:5}  {content}"));
        if line == number {
            write!(shown, "<mark>{content}</mark>").ok()?;
        } else {
            writeln!(shown, "{content}").ok()?;
        }
    }
    shown.push_str("</pre>");
    Some(shown)
}

/// Text in HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_around_a_line_is_shown_and_nothing_outside_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let text: String = (1..=30).flat_map(|number| ["line <".to_owned(), number.to_string(), ">\n".to_owned()]).collect();
        std::fs::write(folder.path().join("app.py"), text).unwrap();
        let shown =
            around(folder.path(), "Traceback\n  File \"/0/app.py\", line 20, in f\n  File \"/1/flask.py\", line 3, in g\n").unwrap();
        assert!(
            shown.contains("<mark>   20  line &lt;20&gt;</mark>")
                && shown.contains("line &lt;14&gt;")
                && !shown.contains("line &lt;13&gt;"),
            "{shown}"
        );
        for outside in ["../../etc/passwd", "/etc/passwd", "none.py"] {
            assert_eq!(around(folder.path(), &format!("  File \"/0/{outside}\", line 1, in f\n")), None);
        }
    }
}
