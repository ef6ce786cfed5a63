//! `wasgi manage`: a management command of an application, in the sandbox, with what the application is given when it is served.

use super::{app, args, build, fault::Failure};
use crate::{
    artifact::{Loaded, Start},
    fault::Fault,
    sandbox::{Allowance, Instance, Kept, Storage, Streams},
    telemetry,
};

pub(super) fn run(typed: &args::Manage) -> Result<(), Failure> {
    telemetry::start(&super::log_format(None));
    let limits = app::checked(&typed.limits.0)?;
    let file = app::built(&typed.what, typed.allow_sdist, &typed.grants.environment, &typed.common)?;
    let mut options = app::options(&file, &typed.grants, &limits)?;
    options.streams = Streams::Terminal;
    if typed.write {
        let folder = build::request(&typed.what, None, typed.allow_sdist, &typed.common)?.source.folder;
        // A quota of its own, for what comes to it: the project is the person's.
        let folders = vec![Kept { inside: "".into(), guest: "/0".to_owned() }];
        let allowance = Allowance::Growth;
        options.storage.push(Storage { root: folder, folders, limit: limits.data_bytes, names: Storage::NAMES, allowance });
    }
    let loaded = app::load(&file, options, Start::Unprepared, &typed.common)?;
    match app::runtime()?.block_on(manage(&loaded, &typed.command))? {
        0 => Ok(()),
        code => Err(Failure::ended(code)),
    }
}

async fn manage(loaded: &Loaded, command: &[String]) -> Result<u8, Failure> {
    let plan = loaded.meta.as_ref().and_then(|meta| meta.plan.as_ref());
    let plan = plan.ok_or_else(|| {
        Failure::failed("this application has no management commands", "they are Python's: Django's manage.py, Flask's commands")
    })?;
    let mut instance = Instance::start(&loaded.app, "manage").await.map_err(|fault| Failure::failed(fault.chain(), ""))?;
    let ran = instance.manage(&loaded.app, plan, command).await;
    ran.map_err(|fault| {
        Failure::failed(
            format!("the command ended early: {}", Fault::Guest(fault).chain()),
            "`--release-cpu`, `--release-timeout` and `--memory` are what it may use",
        )
    })
}
