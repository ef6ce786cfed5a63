//! The commands that speak to a running host: deploy, undeploy, suspend, resume, reload, logs, tenants, top.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use hyper::Method;
use serde_json::Value;

use super::{app, args, environment, fault::Failure, host};
use crate::{
    admin::client::{Answering, ask},
    build::Settings,
    config::project::{self, Wrong},
    limits::{Amount, Unit},
};

/// How often `top` looks.
const LOOK: Duration = Duration::from_secs(1);

/// Where the host is told: as said, or as its configuration says.
fn socket(where_to: &args::Where) -> Result<PathBuf, Failure> {
    match (&where_to.socket, &where_to.config) {
        (Some(socket), _) => Ok(socket.clone()),
        (None, Some(config)) => Ok(host::read(config, &where_to.common)?.admin.socket),
        (None, None) => Ok(super::cache(where_to.common.cache_dir.clone())?.join("host").join("admin.sock")),
    }
}

async fn asked(where_to: &args::Where, method: Method, path: &str, body: String) -> Result<Answering, Failure> {
    let socket = socket(where_to)?;
    ask(&socket, method, path, body).await.map_err(|error| {
        Failure::failed(
            format!("no host is told what to do at {}: {error}", socket.display()),
            "`wasgi serve --config host.toml` is one; `--config` or `--socket` says where",
        )
    })
}

/// Asks, and prints what is answered.
async fn say(where_to: &args::Where, method: Method, path: &str, body: String) -> Result<(), Failure> {
    let answer = asked(where_to, method, path, body).await?;
    let good = answer.status.is_success();
    let text = answer.text().await.map_err(|error| Failure::of(&error))?;
    if good {
        io::stdout().write_all(text.as_bytes()).unwrap_or_default();
        Ok(())
    } else {
        Err(Failure::failed(text.trim_end().trim_start_matches("error: "), ""))
    }
}

pub(super) fn deploy(typed: &args::Deploy) -> Result<(), Failure> {
    let table = table(typed)?;
    app::runtime()?.block_on(say(&typed.to, Method::POST, "/apps", table))
}

/// The `[[app]]` table of what was typed.
fn table(typed: &args::Deploy) -> Result<String, Failure> {
    let source = std::path::absolute(&typed.file).map_err(|error| Failure::of(&error))?;
    let mut app = toml::Table::new();
    let mut set = |name: &str, value: toml::Value| drop(app.insert(name.to_owned(), value));
    set("tenant", typed.tenant.clone().into());
    set("source", source.display().to_string().into());
    if let Some(name) = &typed.name {
        set("name", name.clone().into());
    }
    if !typed.host.is_empty() {
        set("host", typed.host.clone().into());
    }
    if let Some(path) = &typed.path {
        set("path", path.clone().into());
    }
    if let Some(check) = &typed.check {
        set("check", check.clone().into());
    }
    match typed.isolation {
        args::IsolationName::Request => {}
        args::IsolationName::Rewind => set("isolation", "rewind".into()),
        args::IsolationName::Reuse => set("isolation", "reuse".into()),
    }
    if typed.data {
        set("data", true.into());
    }
    if typed.shared_release {
        set("shared_release", true.into());
    }
    let variables: toml::Table = environment::of(&typed.environment)?.into_iter().map(|(name, value)| (name, value.into())).collect();
    if !variables.is_empty() {
        set("env", variables.into());
    }
    let mut limits = toml::Table::new();
    for limit in &typed.limit {
        let (name, value) = limit.split_once('=').ok_or_else(|| Failure::usage(format!("--limit {limit}: not NAME=VALUE"), ""))?;
        limits.insert(name.replace('-', "_"), value.into());
    }
    if !limits.is_empty() {
        set("limits", limits.into());
    }
    let table: toml::Table = [("app".to_owned(), toml::Value::from(vec![toml::Value::from(app)]))].into_iter().collect();
    Ok(table.to_string())
}

/// `TENANT/APP`, or the tenant's one application of its own name.
fn app_path(name: &str) -> String {
    let (tenant, app) = name.split_once('/').unwrap_or((name, name));
    format!("/apps/{tenant}/{app}")
}

pub(super) fn undeploy(typed: &args::Named) -> Result<(), Failure> {
    app::runtime()?.block_on(say(&typed.to, Method::DELETE, &app_path(&typed.app), String::new()))
}

pub(super) fn suspend(typed: &args::Named, verb: &str) -> Result<(), Failure> {
    app::runtime()?.block_on(say(&typed.to, Method::POST, &format!("{}/{verb}", app_path(&typed.app)), String::new()))
}

pub(super) fn reload(typed: &args::Where) -> Result<(), Failure> {
    app::runtime()?.block_on(say(typed, Method::POST, "/reload", String::new()))
}

pub(super) fn logs(typed: &args::Logs) -> Result<(), Failure> {
    let query = if typed.follow { "?follow" } else { "" };
    app::runtime()?.block_on(async {
        let mut answer = asked(&typed.to, Method::GET, &format!("/logs/{}{query}", typed.tenant), String::new()).await?;
        if !answer.status.is_success() {
            let text = answer.text().await.map_err(|error| Failure::of(&error))?;
            return Err(Failure::failed(text.trim_end(), ""));
        }
        while let Some(piece) = answer.next().await.map_err(|error| Failure::of(&error))? {
            let mut stdout = io::stdout().lock();
            if stdout.write_all(&piece).and_then(|()| stdout.flush()).is_err() {
                break;
            }
        }
        Ok(())
    })
}

pub(super) fn top(typed: &args::Top) -> Result<(), Failure> {
    app::runtime()?.block_on(async {
        let mut before: Option<Value> = None;
        loop {
            let answer = asked(&typed.to, Method::GET, "/tenants", String::new()).await?;
            let text = answer.text().await.map_err(|error| Failure::of(&error))?;
            if typed.json {
                io::stdout().write_all(text.as_bytes()).unwrap_or_default();
                return Ok(());
            }
            let now: Value = serde_json::from_str(&text).map_err(|error| Failure::of(&error))?;
            let clear = if io::stdout().is_terminal() && before.is_some() { "\x1b[H\x1b[2J" } else { "" };
            if io::stdout().write_all(format!("{clear}{}", shown(&now, before.as_ref())).as_bytes()).is_err() || typed.once {
                return Ok(());
            }
            before = Some(now);
            tokio::time::sleep(LOOK).await;
        }
    })
}

/// A table of the tenants, those that compute most first.
fn shown(now: &Value, before: Option<&Value>) -> String {
    let number = |value: &Value, field: &str| value.get(field).and_then(Value::as_f64).unwrap_or(0.0);
    let name = |value: &Value| value.get("tenant").and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let earlier = before.map(list).unwrap_or_default();
    let requests = |tenant: &Value| -> f64 {
        let apps = tenant.get("apps").map(list).unwrap_or_default();
        let of_app =
            |app: &Value| app.get("requests").and_then(Value::as_object).map_or(0.0, |all| all.values().filter_map(Value::as_f64).sum());
        apps.iter().map(of_app).sum()
    };
    let mut rows: Vec<_> = list(now)
        .iter()
        .map(|tenant| {
            let was = earlier.iter().find(|was| name(was) == name(tenant));
            let cpu = number(tenant, "cpu_s") - was.map_or(0.0, |was| number(was, "cpu_s"));
            let served = requests(tenant) - was.map_or(0.0, requests);
            let apps = tenant.get("apps").map(list).unwrap_or_default();
            let states: Vec<_> = apps
                .iter()
                .map(|app| {
                    if app.get("cooling_down") == Some(&Value::Bool(true)) {
                        "cooling"
                    } else {
                        app.get("state").and_then(Value::as_str).unwrap_or("?")
                    }
                })
                .collect();
            (cpu, served, name(tenant), tenant.clone(), states.join(","))
        })
        .collect();
    rows.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| other.1.total_cmp(&one.1)).then_with(|| one.2.cmp(&other.2)));
    let per = if before.is_some() { "/s" } else { "" };
    let mut text = format!(
        "{:<24} {:>9} {:>9} {:>7} {:>7} {:>9} {:>5} {:>5}  {}\n",
        "TENANT",
        format!("CPU s{per}"),
        format!("REQ{per}"),
        "RUNNING",
        "WAITING",
        "MEMORY",
        "INST",
        "IDLE",
        "STATE"
    );
    for (cpu, served, name, tenant, state) in rows {
        let bytes = tenant.get("memory_bytes").and_then(Value::as_u64).unwrap_or(0);
        let memory = Amount(bytes >> 20 << 20, Unit::Bytes);
        let (running, waiting) = (number(&tenant, "running"), number(&tenant, "waiting"));
        let (instances, idle) = (number(&tenant, "instances"), number(&tenant, "idle"));
        // A text can always be written to.
        writeln!(text, "{name:<24} {cpu:>9.3} {served:>9} {running:>7} {waiting:>7} {memory:>9} {instances:>5} {idle:>5}  {state}")
            .unwrap_or_default();
    }
    text
}

pub(super) fn config(typed: &args::Config) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match &typed.verb {
        args::ConfigVerb::Schema { app } => {
            let schema = if *app { project::schema() } else { crate::config::schema() };
            writeln!(stdout, "{schema:#}").unwrap_or_default();
        }
        args::ConfigVerb::Check { file, .. } if is_project(file) => {
            checked(file)?;
            writeln!(stdout, "{} is right", file.display()).unwrap_or_default();
        }
        args::ConfigVerb::Show { file, json, .. } if is_project(file) => {
            let settings = checked(file)?;
            let text = if *json { serde_json::to_string(&settings).ok() } else { toml::to_string(&settings).ok() };
            writeln!(stdout, "{}", text.unwrap_or_default().trim_end()).unwrap_or_default();
        }
        args::ConfigVerb::Check { file, common } => {
            let config = host::read(file, common)?;
            writeln!(stdout, "{} is right: {} applications", file.display(), config.wishes.len()).unwrap_or_default();
        }
        args::ConfigVerb::Show { file, json, common } => {
            let config = host::read(file, common)?;
            let text = if *json { shown_as_json(&config) } else { shown_as_text(file, &config) };
            stdout.write_all(text.as_bytes()).unwrap_or_default();
        }
    }
    Ok(())
}

fn is_project(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == "wasgi.toml")
}

/// An application's file; every mistake in it is told.
fn checked(file: &Path) -> Result<Settings, Failure> {
    let read = project::check(file).map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display()), ""))?;
    read.map_err(|wrong| match wrong {
        Wrong::Shape(mistakes) => Failure::usage(
            format!("the configuration is wrong\n\n{}", mistakes.to_string().trim_end()),
            "`wasgi config schema --app` says what may stand there",
        ),
        Wrong::Meaning(fault) => Failure::from(*fault),
    })
}

fn shown_as_json(config: &crate::config::HostConfig) -> String {
    let value = serde_json::json!({ "walls": crate::confine::offered(), "defaults": config.defaults, "ceilings": config.ceilings, "settings": config.settings });
    format!("{value}\n")
}

fn shown_as_text(file: &Path, config: &crate::config::HostConfig) -> String {
    let plan = &config.plan;
    let mut text = format!("# {}\nkernel    {}\n", file.display(), crate::confine::offered());
    let mut line = |name: &str, value: String| writeln!(text, "{name:<9} {value}").unwrap_or_default();
    for group in &plan.groups {
        let bind: Vec<_> = group.bind.iter().map(ToString::to_string).collect();
        line("workers", format!("{} × {} at {}", group.workers, group.name, bind.join(", ")));
    }
    line("cache", plan.cache.display().to_string());
    line("state", plan.state.display().to_string());
    line("admin", config.admin.socket.display().to_string());
    for wish in &config.wishes {
        let hosts: Vec<_> = wish.hosts.iter().map(ToString::to_string).collect();
        let hosts = if hosts.is_empty() { "any host".to_owned() } else { hosts.join(", ") };
        let mount = if wish.mount.is_empty() { "/" } else { &wish.mount };
        line("app", format!("{} at {hosts} {mount}, {:?}", wish.name, wish.terms.isolation));
        for setting in config.settings.iter().filter(|setting| setting.app == wish.name.to_string()) {
            line("", format!("{:<20} {:<12} {}", setting.limit, setting.value, setting.source));
        }
    }
    text
}
