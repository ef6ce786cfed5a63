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
/// Places in a traceback that are looked at.
const PLACES: usize = 200;
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

/// The source around the line that raised: the first place of a traceback that lies in the application's own files. Python names it last.
fn around(sources: &Path, traceback: &str) -> Option<String> {
    let python = traceback.lines().rev().filter_map(|line| {
        let (file, rest) = line.trim_start().strip_prefix("File \"/0/")?.split_once("\", line ")?;
        Some((file, leading_number(rest)?))
    });
    // A path may have spaces: the whole of what stands behind `at` comes first.
    let whole = |line: &str| line.trim_start().strip_prefix("at ").map(str::to_owned);
    let words = |line: &str| line.split([' ', '(', ')', '@']).map(str::to_owned).collect::<Vec<_>>();
    let texts: Vec<_> = traceback.lines().flat_map(|line| whole(line).into_iter().chain(words(line))).collect();
    let others = texts.iter().filter_map(|text| place(text.trim_start()));
    let (whole, number) = python.chain(others).take(PLACES).find_map(|(file, number)| Some((own(sources, file)?, number)))?;
    let file = whole.strip_prefix(sources.canonicalize().ok()?).ok()?.display().to_string();
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

/// `file:line` or `file:line:column`, as compilers and engines write it.
fn place(word: &str) -> Option<(&str, usize)> {
    let (file, rest) = word.split_once(':')?;
    Some((file, leading_number(rest)?)).filter(|_| file.contains('.'))
}

fn leading_number(text: &str) -> Option<usize> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// A file of the application's own. Go puts its module's name before it.
fn own(sources: &Path, file: &str) -> Option<PathBuf> {
    let root = sources.canonicalize().ok()?;
    let module = std::fs::read_to_string(root.join("go.mod")).unwrap_or_default();
    let module = module.lines().find_map(|line| line.strip_prefix("module ")).unwrap_or_default().trim().to_owned();
    let behind_module = file.strip_prefix(&module).and_then(|rest| rest.strip_prefix('/')).filter(|_| !module.is_empty());
    let found = [Some(file), behind_module]
        .into_iter()
        .flatten()
        .map(|file| root.join(file))
        .find_map(|path| path.canonicalize().ok().filter(|path| path.is_file()))?;
    let inside = found.strip_prefix(&root).ok()?;
    let hidden = inside.components().any(|part| !matches!(part, Component::Normal(name) if !name.to_string_lossy().starts_with('.')));
    (!hidden).then_some(found)
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

    #[test]
    fn the_place_is_found_as_every_language_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("src")).unwrap();
        std::fs::create_dir_all(folder.path().join(".wasgi")).unwrap();
        for name in ["app.c", "app.go", "app.js", "src/lib.rs", ".wasgi/body.c"] {
            std::fs::write(folder.path().join(name), "one\ntwo\nthree\n").unwrap();
        }
        let root = folder.path().display().to_string();
        let title = |traceback: &str| around(folder.path(), traceback).map(|shown| shown.split_once("</h2>").unwrap().0.to_owned());
        let shown = |text: &str| Some(format!("<h2>{text}"));
        assert_eq!(title(&format!("  f\n      at {root}/.wasgi/body.c:3\n  g\n      at {root}/app.c:2:7\n")), shown("app.c line 2"));
        assert_eq!(
            title(&format!("  my::f\n      at /rustc/abc/library/core/panicking.rs:80:14\n  at {root}/src/lib.rs:1:5\n")),
            shown("src/lib.rs line 1")
        );
        std::fs::write(folder.path().join("errors.go"), "").unwrap();
        std::fs::write(folder.path().join("go.mod"), "module blog\n").unwrap();
        assert_eq!(title("\twasgi@v0.0.0/errors.go:32\n\tblog/app.go:3 +0x12\n"), shown("app.go line 3"));
        std::fs::create_dir(folder.path().join("sp ace")).unwrap();
        std::fs::write(folder.path().join("sp ace/a.c"), "one\n").unwrap();
        assert_eq!(title(&format!("      at {root}/sp ace/a.c:1:2\n")), shown("sp ace/a.c line 1"));
        assert_eq!(title("goroutine 1 [running]:\nmain.f()\n\tblog/app.go:3 +0x12\n"), shown("app.go line 3"));
        assert_eq!(title("f@app.js:2:11\n"), shown("app.js line 2"));
        assert_eq!(title("    at f (app.js:3:1)\n"), shown("app.js line 3"));
        assert_eq!(title("    at f (/etc/passwd:1)\n"), None);
    }
}
