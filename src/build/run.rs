//! Runs componentize-py: the application is imported in its guest, and the memory then becomes the component.
//!
//! The guest sees only copies: it may write to what is mounted for it at build.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    BuildFault, Packages, Source, embedded,
    packages::Native,
    tools::{Tools, last_lines, output, text},
};

/// The module that componentize-py takes: it prepares the application, and offers what the WIT world exports.
const ENTRY: &str = "\
from wasgi.prepare import prepare

prepare('/2')

from wasgi.gateway import Application  # noqa: E402,F401
";

/// What the guest reported (`guest/python/wasgi/prepare.py`).
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Report {
    error: Option<Failure>,
    traceback: Option<String>,
    missing: Vec<String>,
    /// Where the application takes random bytes while it is imported: `app.py:4`.
    pub secrets: Vec<String>,
}

#[derive(Debug, serde::Deserialize)]
struct Failure {
    kind: String,
    text: String,
}

/// What the guest is asked for.
#[derive(Default, serde::Serialize)]
struct Plan<'a> {
    module: Option<&'a str>,
    name: Option<&'a str>,
    app: &'static str,
    compile: &'a [&'static str],
    copy: &'a [(&'static str, &'static str)],
}

/// Makes the component of the application in `staged`, with the packages in `site`.
pub(super) fn componentize(
    tools: &Tools,
    source: &Source,
    staged: &Path,
    site: &Path,
    packages: &Packages,
    temporary: &Path,
) -> Result<(Vec<u8>, Report), BuildFault> {
    let plan = Plan { module: Some(&source.module), name: source.attribute.as_deref(), app: "/0", compile: &["/0"], copy: &[] };
    let (file, report, printed) = guest(tools, &[staged, site], &plan, temporary)?;
    match report {
        Some(report) if report.error.is_some() => Err(failed(report, &packages.natives)),
        Some(report) if file.is_file() => Ok((fs::read(&file).map_err(BuildFault::io(&file))?, report)),
        _ => Err(BuildFault::new("componentize-py failed", last_lines(&printed), "")),
    }
}

/// Copies the guest's standard library, compiled, into `temporary`; the folder.
pub(super) fn copy_stdlib(tools: &Tools, temporary: &Path) -> Result<PathBuf, BuildFault> {
    let empty = temporary.join("empty");
    fs::create_dir_all(&empty).map_err(BuildFault::io(&empty))?;
    let plan = Plan { app: "/0", compile: &["/python"], copy: &[("/python", "/2/stdlib")], ..Plan::default() };
    only_prepare(tools, &[&empty, &empty], &plan, temporary)?;
    Ok(temporary.join("sdk/stdlib"))
}

/// Compiles the modules in `site` for the guest's Python, in place.
pub(super) fn compile(tools: &Tools, site: &Path) -> Result<(), BuildFault> {
    let temporary = tempfile::tempdir().map_err(BuildFault::io(site))?;
    let empty = temporary.path().join("empty");
    fs::create_dir_all(&empty).map_err(BuildFault::io(&empty))?;
    let plan = Plan { app: "/0", compile: &["/1"], ..Plan::default() };
    only_prepare(tools, &[&empty, site], &plan, temporary.path())
}

fn only_prepare(tools: &Tools, folders: &[&Path; 2], plan: &Plan<'_>, temporary: &Path) -> Result<(), BuildFault> {
    let (_, report, printed) = guest(tools, folders, plan, temporary)?;
    match report {
        Some(report) if report.error.is_none() => Ok(()),
        _ => Err(BuildFault::new("the guest's Python could not be prepared", last_lines(&printed), "")),
    }
}

/// Runs componentize-py with `folders` as `/0` and `/1`, and the SDK as `/2`. The component's file, the report, and what was printed.
fn guest(tools: &Tools, folders: &[&Path; 2], plan: &Plan<'_>, temporary: &Path) -> Result<(PathBuf, Option<Report>, String), BuildFault> {
    let (sdk, wit, file) = (temporary.join("sdk"), temporary.join("wit"), temporary.join("component.wasm"));
    let plan = serde_json::to_string(plan).map_err(|error| BuildFault::new("the plan cannot be written", error.to_string(), ""))?;
    let written = embedded::write(&sdk, &wit).and_then(|()| fs::write(sdk.join("plan.json"), plan));
    written.and_then(|()| fs::write(sdk.join("wasgi_entry.py"), ENTRY)).map_err(BuildFault::io(&sdk))?;
    let mut command = tools.componentize();
    command.arg("-d").arg(&wit).args(["-w", "app-python", "componentize", "wasgi_entry"]);
    for folder in folders.iter().copied().chain([sdk.as_path()]) {
        command.arg("-p").arg(folder);
    }
    let ran = output(command.arg("-o").arg(&file))?;
    let report = fs::read(sdk.join("report.json")).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Ok((file, report, text(&ran)))
}

/// What a person reads when the application could not be imported.
fn failed(report: Report, natives: &[Native]) -> BuildFault {
    let detail = report.traceback.unwrap_or_default();
    let Some(Failure { kind, text }) = report.error else { return BuildFault::new("the guest failed", detail, "") };
    if kind == "not-found" {
        return BuildFault::new(text, "", "name it: `wasgi build module:name`");
    }
    if let Some(native) = natives.iter().find(|native| report.missing.contains(&native.module)) {
        let what = format!("`{}` needs native code, which no WebAssembly guest can load: {}", native.package, native.file);
        return BuildFault::new(what, detail, alternative(&native.package));
    }
    let hint = match report.missing.first().map(String::as_str) {
        Some(
            name @ ("ssl" | "_ssl" | "ctypes" | "_ctypes" | "fcntl" | "mmap" | "resource" | "termios" | "multiprocessing"
            | "_multiprocessing"),
        ) => {
            format!("`{name}` cannot exist in a WebAssembly guest; use a library that does without it")
        }
        Some(name) => format!("if `{name}` is a package, add it to requirements.txt"),
        None => String::new(),
    };
    BuildFault::new(format!("the application raised while it was imported: {text}"), detail, hint)
}

/// What to use instead.
fn alternative(package: &str) -> &'static str {
    let name = package.split(' ').next().unwrap_or_default().to_lowercase().replace('_', "-");
    match name.as_str() {
        "psycopg2" | "psycopg2-binary" | "psycopg-binary" | "asyncpg" => "use pg8000, which is pure Python",
        "mysqlclient" | "mysql-connector-python" => "use PyMySQL, which is pure Python",
        "orjson" | "ujson" | "python-rapidjson" => "use the json of the standard library",
        "lxml" => "use xml.etree.ElementTree of the standard library, or html5lib",
        "bcrypt" | "argon2-cffi" | "argon2-cffi-bindings" | "cryptography" | "pynacl" => "use hashlib and hmac of the standard library",
        "gevent" | "greenlet" | "eventlet" | "uvloop" => "leave it out: a guest serves one request at a time",
        "pydantic-core" => "use dataclasses, or pydantic 1 (`pydantic<2`), which has a pure wheel",
        _ => "use a package that is pure Python",
    }
}
