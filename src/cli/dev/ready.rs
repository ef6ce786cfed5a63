//! An application that `wasgi dev` can serve: in Python from its own folder, with nothing packed; in other languages compiled.

use std::{collections::BTreeMap, path::PathBuf};

use super::super::{
    app, args,
    build::{self, Talk},
    environment,
    fault::Failure,
};
use crate::{
    artifact::{Start, static_folders},
    build::{Language, Live, Module, Progress, Request, refuse_link},
    sandbox::{App, AppOptions, Engine, Isolation, TenantLog},
    server::StaticFolder,
    tenant::TenantId,
};

/// Where `/data` lies in a project that names no other place. Hidden: it is neither staged nor watched.
const DATA: &str = ".wasgi/data";
/// Where a compiled one lies.
const OUTPUT: &str = ".wasgi/dev.wasm";

/// What is served.
pub(super) struct Ready {
    /// The application.
    pub app: App,
    /// Where its files lie, for the page that shows its errors.
    pub sources: Option<PathBuf>,
    /// What the host serves of it.
    pub static_folders: Vec<StaticFolder>,
    /// How it takes over changes, if it can.
    pub live: Option<Live>,
}

impl Ready {
    /// Builds what has to be.
    pub(super) fn of(typed: &args::Dev, engine: &Engine, request: &Request) -> Result<Self, Failure> {
        match &request.source.language {
            Language::Python(module) => Self::live(typed, engine, request, module),
            Language::Rust | Language::C | Language::Go | Language::JavaScript => Self::compiled(typed, engine, request),
        }
    }

    fn live(typed: &args::Dev, engine: &Engine, request: &Request, module: &Module) -> Result<Self, Failure> {
        let live = Live::new(request, module, &Talk)?;
        let mut options = options(typed, request, &live.kept_folders)?;
        options.files.clone_from(&live.files);
        options.plan = Some(live.plan.clone());
        let component = std::fs::read(&live.component).map_err(|error| Failure::of(&error))?;
        let artifacts = app::artifacts(&typed.common)?;
        let code = artifacts.instrumented(engine, &live.component, &component).map_err(|error| app::unloaded(&error))?;
        let app = App::new(engine, code, options).map_err(|error| Failure::of(&error))?;
        let sources = live.files.first().map(|folder| folder.host.clone());
        Ok(Self { app, sources, static_folders: Vec::new(), live: Some(live) })
    }

    fn compiled(typed: &args::Dev, engine: &Engine, request: &Request) -> Result<Self, Failure> {
        let request = Request { output: request.source.folder.join(OUTPUT), ..request.clone() };
        let built = build::make(&request)?;
        let options = options(typed, &request, &[])?;
        let loaded = app::loaded(engine, &app::artifacts(&typed.common)?, &built.output, options, Start::Released)?;
        let (static_folders, warnings) = static_folders(loaded.meta.as_ref(), loaded.app.options(), "");
        for warning in &warnings {
            Talk.warn(warning);
        }
        Ok(Self { app: loaded.app, sources: Some(request.source.folder), static_folders, live: None })
    }
}

fn options(typed: &args::Dev, request: &Request, kept_folders: &[String]) -> Result<AppOptions, Failure> {
    let own = request.settings.own_limits();
    let limits = typed.limits.0.clone().within(&own);
    own.unmet(&limits).for_each(|unmet| Talk.warn(&unmet));
    let mut typed_environment = typed.grants.environment.clone();
    let own = request.source.folder.join(".env");
    for part in [".env", ".wasgi", DATA] {
        refuse_link(&request.source.folder.join(part))?;
    }
    if own.is_file() {
        typed_environment.env_file.insert(0, own);
    }
    let mut variables: BTreeMap<_, _> = request.settings.env.clone();
    variables.extend(environment::of(&typed_environment)?);
    let name = request.settings.name.clone().unwrap_or_else(|| request.source.name());
    let tenant = match &typed.grants.tenant {
        Some(name) => TenantId::new(name).map_err(|bad| Failure::usage(bad.to_string(), ""))?,
        None => TenantId::of(&name),
    };
    let mut options = AppOptions::new(TenantLog::new(tenant, &limits));
    options.environment = variables.into_iter().collect();
    options.isolation = Isolation::Reuse;
    let data = typed.grants.data.clone().unwrap_or_else(|| request.source.folder.join(DATA));
    options.storage = vec![app::storage(&data, kept_folders, limits.data_bytes)?];
    options.limits = limits;
    Ok(options)
}
