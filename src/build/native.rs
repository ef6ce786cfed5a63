//! An application in a language that has a compiler: what is the same for all of them. The compiler's own file makes the component.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use sha2::{Digest, Sha256};

use super::{
    BuildFault, Built, Purpose, Request, Settings,
    finish::{finished, pack, seconds_since, write},
    progress::Progress,
    sdk, stage,
};
use crate::{
    artifact::{self, Meta, hex},
    limits::Limits,
    sandbox::Report,
};

/// What a compiler made.
pub(super) struct Compiled {
    /// Stands for all that the component depends on.
    pub inputs: Vec<u8>,
    /// What made it: `ziglang 0.17.1`.
    pub builder: String,
    /// The rest of the way, for who has not gone it with the same inputs.
    pub component: Box<dyn FnOnce() -> Result<Vec<u8>, BuildFault>>,
}

/// Builds `request`, unless the output is already what would be built.
pub(super) fn build(
    request: &Request,
    compile: fn(&Request, &dyn Progress) -> Result<Compiled, BuildFault>,
    progress: &dyn Progress,
) -> Result<Built, BuildFault> {
    let started = Instant::now();
    let Request { source, output, settings, purpose, .. } = request;
    sdk::provide(&source.folder, &source.language)?;
    let compiled = compile(request, progress)?;
    let temporary = tempfile::tempdir().map_err(BuildFault::io(&std::env::temp_dir()))?;
    let staged = temporary.path().join("app");
    for link in stage_static(settings, &source.folder, &staged)? {
        progress.warn(&format!("{} is left out: it leads out of its folder", link.display()));
    }
    let meta = Meta {
        format: 2,
        name: settings.name.clone().unwrap_or_else(|| source.name()),
        source: source.language.to_string(),
        inputs: inputs(&compiled, settings, *purpose, &staged)?,
        builder: format!("wasgi {}, {}", env!("CARGO_PKG_VERSION"), compiled.builder),
        static_files: settings.static_files(),
        environment: settings.env.clone().into_iter().collect(),
        limits: settings.own_limits(),
        ..Meta::default()
    };
    if artifact::meta(output, &Limits::ceiling()).is_some_and(|found| found == meta) {
        progress.step("build", &format!("{} is up to date", output.display()));
        return finished(output, meta, None);
    }
    let component = (compiled.component)()?;
    let folders = if staged.is_dir() { &[("0", staged.as_path())][..] } else { &[] };
    let bytes = pack(component, &meta, folders)?;
    write(output, &bytes)?;
    progress.step("build", &format!("{}  {}", output.display(), seconds_since(started, bytes.len())));
    finished(output, meta, Some(Report::default()))
}

/// Copies the folders that the host serves, without what is hidden; those in `/data` are there already. Links that are left out are returned.
fn stage_static(settings: &Settings, folder: &Path, staged: &Path) -> Result<Vec<PathBuf>, BuildFault> {
    let mut left = Vec::new();
    let project = folder.canonicalize().map_err(BuildFault::io(folder))?;
    for (url, root) in settings.r#static.iter().filter(|(_, root)| !root.starts_with("/data/")) {
        let from = folder.join(root);
        if !from.is_dir() {
            let what = format!("static.{url:?}: there is no folder {}", from.display());
            return Err(BuildFault::new(what, "", "make it, or take the line out of wasgi.toml"));
        }
        if !from.canonicalize().is_ok_and(|from| from.starts_with(&project)) {
            return Err(BuildFault::new(format!("static.{url:?}: {} leads out of the project", from.display()), "", ""));
        }
        let to = staged.join(root);
        fs::create_dir_all(&to).map_err(BuildFault::io(&to))?;
        left.extend(stage::copy_shown(&from, &to).map_err(BuildFault::io(&from))?);
    }
    Ok(left)
}

fn inputs(compiled: &Compiled, settings: &Settings, purpose: Purpose, staged: &Path) -> Result<String, BuildFault> {
    let mut digest = Sha256::new();
    digest.update(format!("{} {settings:?} {purpose:?}\0", env!("CARGO_PKG_VERSION")));
    digest.update(Sha256::digest(&compiled.inputs));
    if staged.is_dir() {
        stage::digest(staged, &mut digest).map_err(BuildFault::io(staged))?;
    }
    Ok(hex(&digest.finalize()))
}
