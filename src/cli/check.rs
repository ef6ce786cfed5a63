//! `wasgi check`: what would go wrong in production, found before it does. Exit code 3 when there are problems.

use std::{cell::RefCell, io::Write as _};

use super::{
    app, args,
    build::{self, Talk, plain},
    environment,
    fault::Failure,
};
use crate::{
    artifact::Start,
    build::{BuildFault, Built, Language, Progress, Request},
    fault::Fault,
    limits::{Amount, Limits, Unit},
    sandbox::{AppOptions, Django, Instance, Report, TenantLog},
    tenant::TenantId,
};

/// The exit code for problems.
const PROBLEMS: u8 = 3;

/// How much it matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// As it should be.
    Ok,
    /// It works, and its author should know.
    Warning,
    /// It does not work, or not safely.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
struct Finding {
    /// Its name, for scripts.
    id: &'static str,
    level: Level,
    text: String,
    /// What to do.
    hint: String,
}

impl Finding {
    fn new(id: &'static str, level: Level, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { id, level, text: text.into(), hint: hint.into() }
    }
}

pub(super) fn run(typed: &args::Check) -> Result<(), Failure> {
    let findings = findings(typed)?;
    let said = if typed.json {
        serde_json::to_string_pretty(&findings).map_err(|error| Failure::of(&error))? + "\n"
    } else {
        plain(&findings.iter().map(told).collect::<String>())
    };
    std::io::stdout().write_all(said.as_bytes()).map_err(|error| Failure::of(&error))?;
    if findings.iter().any(|finding| finding.level == Level::Problem) { Err(Failure::ended(PROBLEMS)) } else { Ok(()) }
}

fn told(finding: &Finding) -> String {
    let word = match finding.level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Problem => "problem",
    };
    let hint = if finding.hint.is_empty() { String::new() } else { format!("{:>9}  hint: {}\n", "", finding.hint) };
    format!("{word:>9}  {}\n{hint}", finding.text)
}

/// Builds the application to a place of its own, and looks at what it said.
fn findings(typed: &args::Check) -> Result<Vec<Finding>, Failure> {
    let temporary = tempfile::tempdir().map_err(|error| Failure::of(&error))?;
    let mut request = build::request(&typed.app, None, false, &typed.common)?;
    request.environment = environment::of(&typed.environment)?;
    let found = Finding::new("app", Level::Ok, format!("application: {}", request.source), "");
    request.output = temporary.path().join("checked.wasm");
    // What a build says on its way stands in the findings.
    let quiet = Quiet::default();
    match crate::build::build(&request, &quiet) {
        Ok(built) => {
            let compiled = !matches!(request.source.language, Language::Python(_));
            let mut compiling = Vec::new();
            if compiled {
                let warned = quiet.warnings.take();
                compiling.extend(warned.into_iter().map(|text| Finding::new("compiler", Level::Warning, text, "")));
                compiling.push(started(&built, &request, &typed.common)?);
            }
            Ok([vec![found], compiling, judged(&built)].concat())
        }
        Err(BuildFault::Failed { what, detail, hint }) => {
            let text = if detail.is_empty() { what } else { format!("{what}\n{detail}") };
            Ok(vec![found, Finding::new("build", Level::Problem, text, hint)])
        }
        Err(fault) => Err(fault.into()),
    }
}

/// What is compiled is not imported: it is started once, as for a request.
fn started(built: &Built, request: &Request, common: &args::Common) -> Result<Finding, Failure> {
    let limits = Limits::default().within(&request.settings.own_limits());
    let mut options = AppOptions::new(TenantLog::new(TenantId::of("check"), &limits));
    options.limits = limits.clone();
    options.environment = request.settings.env.clone().into_iter().chain(request.environment.iter().cloned()).collect();
    let artifacts = app::artifacts(common)?;
    let engine = app::engine(&limits, &artifacts)?;
    let loaded = app::loaded(&engine, &artifacts, &built.output, options, Start::Released)?;
    Ok(match app::runtime()?.block_on(Instance::start(&loaded.app, "check")) {
        Ok(_) => Finding::new("start", Level::Ok, "the application starts in the sandbox", ""),
        Err(fault) => {
            let backtrace = if let Fault::Guest(guest) = &fault { guest.traceback() } else { "" };
            Finding::new("start", Level::Problem, format!("{}\n{backtrace}", fault.chain()), "")
        }
    })
}

/// Keeps what a compiler warned of; what a build in Python warns of stands in its report.
#[derive(Default)]
struct Quiet {
    warnings: RefCell<Vec<String>>,
}

impl Progress for Quiet {
    fn step(&self, word: &str, text: &str) {
        // The slow steps are told, so that a person knows why it takes its time.
        if text.ends_with("once") {
            Talk.step(word, text);
        }
    }

    fn warn(&self, text: &str) {
        self.warnings.borrow_mut().push(text.to_owned());
    }
}

fn judged(built: &Built) -> Vec<Finding> {
    let mut findings = Vec::new();
    let report = built.report.clone().unwrap_or_default();
    if built.meta.tried {
        findings.push(Finding::new("import", Level::Ok, "the application is imported in the sandbox", ""));
    }
    for warning in &built.meta.warnings {
        let id = if warning.contains("environment") {
            "environment"
        } else if warning.contains("random bytes") {
            "secret-at-import"
        } else {
            "native-module"
        };
        findings.push(Finding::new(id, Level::Warning, warning, hint_of(id)));
    }
    findings.extend(report.django.iter().flat_map(django));
    findings.extend(databases(&report));
    let (limit, bytes) = (Limits::default().component_bytes, built.bytes);
    let size = format!("size {} of at most {}", super::inspect::megabytes(bytes), super::inspect::megabytes(limit));
    let level = if bytes > limit { Level::Problem } else { Level::Ok };
    findings.push(Finding::new("size", level, size, if bytes > limit { "`wasgi serve --max-component` raises the limit" } else { "" }));
    let show = |value, unit| Amount(value, unit).to_string();
    let limits = Limits::default().within(&built.meta.limits);
    for unmet in built.meta.limits.unmet(&limits) {
        findings.push(Finding::new(
            "limits",
            Level::Warning,
            unmet,
            "whoever serves it can give it more: `limits` in host.toml, or the flags of `wasgi serve`",
        ));
    }
    let (memory, cpu) = (show(limits.memory_bytes, Unit::Bytes), show(limits.guest_cpu_ms, Unit::Millis));
    findings.push(Finding::new(
        "limits",
        Level::Ok,
        format!("limits of a request where its operator sets none: memory {memory}, CPU {cpu}"),
        "",
    ));
    findings
}

fn hint_of(id: &str) -> &'static str {
    match id {
        "environment" => "run the check with it: `wasgi check -e NAME=VALUE`",
        "secret-at-import" => {
            "read it from the environment: `os.environ[\"SECRET_KEY\"]`, and serve with `-e SECRET_KEY=…` or `--env-file`"
        }
        _ => "a package in pure Python does not have this problem",
    }
}

fn django(django: &Django) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut problem = |wrong: bool, id, text: &str, hint: &str| {
        if wrong {
            findings.push(Finding::new(id, Level::Problem, text, hint));
        }
    };
    problem(
        django.debug,
        "django-debug",
        "DEBUG is on: error pages show settings to everybody",
        "DEBUG = os.environ.get(\"DEBUG\") == \"1\"",
    );
    problem(
        django.insecure_key,
        "django-secret-key",
        "SECRET_KEY is the one that startproject wrote: whoever has the source can sign sessions",
        "SECRET_KEY = os.environ[\"SECRET_KEY\"], and serve with `--env-file`",
    );
    problem(
        !django.debug && django.hosts.is_empty(),
        "django-hosts",
        "ALLOWED_HOSTS is empty: every request is answered 400",
        "name the hosts that it is served under",
    );
    let anyone = django.hosts.iter().any(|host| host == "*");
    if anyone {
        findings.push(Finding::new(
            "django-hosts",
            Level::Warning,
            "ALLOWED_HOSTS has `*`: a request may claim any host",
            "name the hosts",
        ));
    }
    match &django.r#static {
        Some(files) => findings.push(Finding::new("static", Level::Ok, format!("static files: {} served by the host", files.url), "")),
        None => findings.push(Finding::new(
            "static",
            Level::Warning,
            "no static files are collected",
            "add django.contrib.staticfiles to INSTALLED_APPS",
        )),
    }
    findings
}

/// Databases that must be written, and where.
fn databases(report: &Report) -> Vec<Finding> {
    let names = report.django.iter().flat_map(|django| &django.databases);
    let files = names.filter(|(_, name)| name.starts_with('/'));
    files
        .map(|(alias, name)| {
            let text = format!("database `{alias}`: {name} is kept in the folder that `--data` names");
            Finding::new("database", Level::Ok, text, "serve with `--data DIR`")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn djangos_settings_are_judged() {
        let levels = |django: Django| super::django(&django).iter().map(|finding| (finding.id, finding.level)).collect::<Vec<_>>();
        let good = Django { hosts: vec!["a.test".into()], r#static: Some(crate::sandbox::DjangoStatic::default()), ..Django::default() };
        assert_eq!(levels(good.clone()), [("static", Level::Ok)]);
        let bad = Django { debug: true, insecure_key: true, ..Django::default() };
        assert_eq!(levels(bad), [("django-debug", Level::Problem), ("django-secret-key", Level::Problem), ("static", Level::Warning)]);
        assert_eq!(levels(Django { hosts: Vec::new(), ..good.clone() }), [("django-hosts", Level::Problem), ("static", Level::Ok)]);
        assert_eq!(levels(Django { hosts: vec!["*".into()], ..good }), [("django-hosts", Level::Warning), ("static", Level::Ok)]);
    }
}
