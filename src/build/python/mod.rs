//! A Python application, from its source to one built file: installs what it needs, tries it out in the sandbox, and packs the result behind
//! the runtime.
//!
//! What is a stranger's runs in the sandbox: the application is imported by componentize-py's own guest. On this machine run only pip and
//! componentize-py, both pinned, in an environment of their own.

mod embedded;
mod live;
mod packages;
mod runtime;
mod tools;
mod trial;

use std::{fs, path::Path, time::Instant};

use sha2::{Digest, Sha256};

pub use self::{
    live::{Change, Live},
    packages::{Packages, Sdist},
};
use self::{
    packages::Requirements,
    runtime::Runtime,
    tools::Tools,
    trial::{Trial, judged},
};
use super::{
    BuildFault, Built, Module, Purpose, Request, Settings,
    finish::{alone, finished, pack, seconds_since, write},
    progress::Progress,
    stage,
};
use crate::{
    artifact::{self, Meta, StaticFiles, hex},
    limits::Limits,
    sandbox::{Plan, Report},
};

/// Builds `request`, unless the output is already what would be built.
pub(super) fn build(request: &Request, module: &Module, progress: &dyn Progress) -> Result<Built, BuildFault> {
    let started = Instant::now();
    let Request { source, output, sdist, cache, settings, .. } = request;
    let temporary = tempfile::tempdir().map_err(BuildFault::io(&std::env::temp_dir()))?;
    let staged = temporary.path().join("app");
    for link in stage::copy(&source.folder, &staged, output)? {
        progress.warn(&format!("{} is left out: it is neither a file nor a folder of the application", link.display()));
    }
    let requirements = Requirements::of(&source.folder)?;
    let inputs = inputs(request, module, &staged, &requirements)?;
    let tried_again = |meta: &Meta| !meta.tried && !request.environment.is_empty();
    if let Some(meta) = artifact::meta(output, &Limits::ceiling()).filter(|meta| meta.inputs == inputs && !tried_again(meta)) {
        progress.step("build", &format!("{} is up to date", output.display()));
        return finished(output, meta, None);
    }

    let _alone = alone(cache)?;
    let tools = Tools::provide(cache, progress)?;
    let runtime = Runtime::provide(&tools, cache, progress)?;
    let trial = Trial::new(&runtime, cache)?;
    let packages = Packages::provide(&tools, cache, &requirements, *sdist, temporary.path(), &trial, progress)?;
    let collected = temporary.path().join("static");
    fs::create_dir(&collected).map_err(BuildFault::io(&collected))?;
    let (plan, kept_folders) = (plan(request, module), kept_folders(&staged));
    let report = tried(request, &trial, &packages, &plan, temporary.path(), &kept_folders)?;
    let meta = Meta {
        format: 2,
        name: settings.name.clone().unwrap_or_else(|| source.name()),
        source: source.language.to_string(),
        inputs,
        builder: format!("wasgi {}, componentize-py {}", env!("CARGO_PKG_VERSION"), tools::COMPONENTIZE),
        warnings: warnings(&report, &packages),
        tried: report.error.is_none(),
        buffered_uploads: !report.frameworks.iter().any(|name| matches!(name.as_str(), "werkzeug" | "webob")),
        kept_folders,
        static_files: static_files(settings, &report),
        environment: settings.env.clone().into_iter().collect(),
        limits: settings.own_limits(),
        plan: Some(plan),
    };
    let component = fs::read(runtime.component()).map_err(BuildFault::io(&runtime.component()))?;
    let python = runtime.python();
    let mut folders = vec![("0", staged.as_path()), ("1", packages.site.as_path()), ("python", python.as_path())];
    if fs::read_dir(&collected).map_err(BuildFault::io(&collected))?.next().is_some() {
        folders.push(("static", &collected));
    }
    let bytes = pack(component, &meta, &folders)?;
    write(output, &bytes)?;
    for warning in &meta.warnings {
        progress.warn(warning);
    }
    progress.step("build", &format!("{}  {}", output.display(), seconds_since(started, bytes.len())));
    finished(output, meta, Some(report))
}

/// Folders beside an application's code that are its operator's: what Flask calls the instance folder, and where Django projects keep what
/// was uploaded.
const KEPT: [&str; 2] = ["instance", "media"];

/// Those that the application brings nothing for.
fn kept_folders(staged: &Path) -> Vec<String> {
    KEPT.iter().filter(|name| !staged.join(name).exists()).map(|name| (*name).to_owned()).collect()
}

/// How a release is made of it.
fn plan(request: &Request, module: &Module) -> Plan {
    let Request { settings, purpose, .. } = request;
    Plan {
        module: Some(module.module.clone()),
        name: module.attribute.clone(),
        manage: module.manage.clone(),
        warm: settings.build.warm.clone(),
        threads: settings.python.threads.clone(),
        stubs: settings.python.stubs.clone(),
        development: (*purpose == Purpose::Development).then_some(true),
        ..Plan::default()
    }
}

/// Imports the application once, over its copy, in which its modules are then compiled and its static files collected.
fn tried(request: &Request, trial: &Trial, packages: &Packages, plan: &Plan, root: &Path, kept: &[String]) -> Result<Report, BuildFault> {
    if request.purpose == Purpose::Development {
        return Ok(Report::default());
    }
    // A copy of its own: the packages in the cache serve other builds.
    let site = root.join("site");
    stage::copy_tree(&packages.site, &site).map_err(BuildFault::io(&packages.site))?;
    let plan = Plan { compile: vec!["/0".to_owned()], r#static: Some("/static".to_owned()), warm: Vec::new(), ..plan.clone() };
    let mut environment: Vec<_> = request.settings.env.clone().into_iter().collect();
    environment.extend(request.environment.iter().cloned());
    // An empty /data: code that makes its folders there while it is imported finds it, and nothing of it is kept.
    let data = root.join("data");
    fs::create_dir_all(&data).map_err(BuildFault::io(&data))?;
    let mut folders = vec![
        ("/0".to_owned(), root.join("app")),
        ("/1".to_owned(), site),
        ("/static".to_owned(), root.join("static")),
        ("/data".to_owned(), data.clone()),
    ];
    folders.extend(kept.iter().map(|name| (format!("/0/{name}"), data.join(name))));
    let report = trial.run(&plan, root, &folders, &environment)?;
    judged(report, &packages.natives)
}

/// What the host serves: what the settings say, and what Django collected.
fn static_files(settings: &Settings, report: &Report) -> Vec<StaticFiles> {
    let django = report.django.as_ref().and_then(|django| django.r#static.as_ref()).filter(|files| !files.root.is_empty());
    let collected = django.map(|files| StaticFiles { url: files.url.clone(), root: files.root.clone() });
    settings.static_files().into_iter().chain(collected.filter(|files| !settings.r#static.contains_key(&files.url))).collect()
}

/// A digest of everything that the result depends on.
fn inputs(request: &Request, module: &Module, staged: &Path, requirements: &Requirements) -> Result<String, BuildFault> {
    let Request { sdist, settings, purpose, .. } = request;
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        digest.update(part);
    };
    let own = [env!("CARGO_PKG_VERSION"), tools::COMPONENTIZE, module.module.as_str(), module.attribute.as_deref().unwrap_or_default()];
    for part in own {
        add(part.as_bytes());
    }
    add(format!("{sdist:?} {purpose:?} {settings:?} {:?}", module.manage).as_bytes());
    add(runtime::digest().as_bytes());
    for text in requirements.files.values() {
        add(text.as_bytes());
    }
    stage::digest(staged, &mut digest).map_err(BuildFault::io(staged))?;
    Ok(hex(&digest.finalize()))
}

fn warnings(report: &Report, packages: &Packages) -> Vec<String> {
    let needed = report.error.iter().map(|error| {
        format!("the application needs `{}` in its environment, and was not tried out: give it at build too (`-e {}=…`), or only where it is served", error.text, error.text)
    });
    let secrets = report.secrets.iter().map(|place| {
        format!("{place} takes random bytes while it is imported: a secret made there is the same in every instance of a release, and another in the next")
    });
    let natives = packages.natives.iter().map(|native| {
        format!(
            "{} goes without its native module `{}`; what needs it fails, and what has a pure Python part uses that",
            native.package, native.module
        )
    });
    needed.chain(secrets).chain(natives).collect()
}
