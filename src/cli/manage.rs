//! `wasgi manage`: a management command of an application, in the sandbox, with what the application is given when it is served.

use super::{app, args, build, fault::Failure};
use crate::{
    artifact::{Loaded, Start},
    fault::Fault,
    sandbox::{Folder, Instance, Storage, Streams},
    telemetry,
};

pub(super) fn run(typed: &args::Manage) -> Result<(), Failure> {
    telemetry::start(false);
    let limits = app::checked(&typed.limits.0)?;
    let file = app::built(&typed.what, typed.allow_sdist, &typed.grants.environment, &typed.common)?;
    let mut options = app::options(&file, &typed.grants, &limits)?;
    options.streams = Streams::Terminal;
    if typed.write {
        let folder = build::request(&typed.what, None, typed.allow_sdist, &typed.common)?.source.folder;
        let kept = options.storage.take();
        let mut storage = kept.unwrap_or_else(|| Storage { root: folder.clone(), folders: Vec::new(), limit: limits.data_bytes });
        storage.folders.push(Folder { host: folder, guest: "/0".to_owned() });
        options.storage = Some(storage);
    }
    let loaded = app::load(&file, options, Start::Unprepared, &typed.grants, &typed.common)?;
    match app::runtime()?.block_on(manage(&loaded, &typed.command))? {
        0 => Ok(()),
        code => Err(Failure::ended(code)),
    }
}

async fn manage(loaded: &Loaded, command: &[String]) -> Result<u8, Failure> {
    let plan = loaded.meta.as_ref().and_then(|meta| meta.plan.as_ref());
    let plan = plan.ok_or_else(|| Failure::failed("this application has no management commands: it was not built by `wasgi build`", ""))?;
    let mut instance = Instance::start(&loaded.app, "manage").await.map_err(|fault| Failure::failed(fault.chain(), ""))?;
    let ran = instance.manage(&loaded.app, plan, command).await;
    ran.map_err(|fault| {
        Failure::failed(
            format!("the command ended early: {}", Fault::Guest(fault).chain()),
            "`--release-cpu`, `--release-timeout` and `--memory` are what it may use",
        )
    })
}
