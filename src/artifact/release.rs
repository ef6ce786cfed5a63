//! A release: an application imported under its tenant's environment, and its memory kept as where all instances begin (12 factor: a release
//! is a build with its configuration).
//!
//! The import runs in the sandbox, within the tenant's limits. A release holds what the environment holds: it lies in a folder of its
//! tenant's in the private cache, readable by its owner alone, and a release under another environment takes its place.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};

use super::{
    ArtifactFault, Artifacts, Opened, Prepared, Start,
    cache::{digest, engine_name, is_made},
    code::{Linking, made_for, purpose},
    hex, read,
};
use crate::{
    fault::{Fault, GuestFault, HostFault},
    sandbox::{App, AppOptions, Code, Engine, Instance, Isolation, Plan, Report, rewindable, snapshot},
};

/// What the lines of an import carry as their request.
const REQUEST: &str = "release";

impl Artifacts {
    /// Where the release lies: its name says of what it was made, of a component with this digest among it.
    pub(super) fn release_place(
        &self,
        engine: &Engine,
        (component, bundle): (&str, Option<&[u8]>),
        options: &AppOptions,
        (plan, made_for): (&Plan, Isolation),
    ) -> PathBuf {
        let mut sum = Sha256::new();
        let mut add = |part: &[u8]| {
            sum.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            sum.update(part);
        };
        add(component.as_bytes());
        add(digest(bundle.unwrap_or_default()).as_bytes());
        add(plan.json().as_bytes());
        add(purpose(made_for).as_bytes());
        for storage in &options.storage {
            add(storage.limit.to_string().as_bytes());
            storage.folders.iter().for_each(|folder| add(folder.guest.as_bytes()));
        }
        let name = format!("{}-{}-{}.cwasm", environment(&options.environment), hex(&sum.finalize()), engine_name(engine));
        self.releases(options.log.tenant()).join(name)
    }

    /// The release at `place`, or a new one.
    pub(super) async fn release(
        &self,
        engine: &Engine,
        path: &Path,
        prepared: &Prepared,
        options: &AppOptions,
        place: &Path,
        start: Start,
    ) -> Result<(Arc<Code>, Option<Report>), ArtifactFault> {
        // One at a time of each tenant: what a tenant imports is no reason for another to wait.
        let folder = place.parent().unwrap_or(place);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| self.fault(source))?;
        let _alone = self.alone(&folder.with_extension("lock"))?;
        if let Some(code) = is_made(place, start).then(|| self.found(engine, place)).flatten() {
            return Ok((code, None));
        }
        let drawn = self.draw(engine, path, prepared, options).await?;
        let code = self.keep_release(engine, path, &drawn.component, (options.isolation, place), drawn.used_storage)?;
        if let Err(error) = self.forget_releases(options.log.tenant(), Some(place)) {
            tracing::warn!("old releases cannot be removed: {error}");
        }
        Ok((code, Some(drawn.report)))
    }

    /// Imports the application of the built file at `path`, of which `prepared` was made, and takes a snapshot: the guest runs.
    ///
    /// # Errors
    /// [`ArtifactFault`].
    pub async fn draw(&self, engine: &Engine, path: &Path, prepared: &Prepared, options: &AppOptions) -> Result<Drawn, ArtifactFault> {
        let unreleased = |fault| ArtifactFault::Unreleased { path: path.to_owned(), fault };
        let bytes = read(path, &options.limits)?;
        let opened = Opened::of(path, &bytes)?;
        let plan = opened.plan().cloned().unwrap_or_default();
        let app = prepared.app(engine, &self.codes(), path, options.clone(), Start::Unprepared)?;
        let (component, report, used_storage) = release(&app, opened.parts.component, &plan).await.map_err(unreleased)?;
        Ok(Drawn { component, report, used_storage })
    }

    /// Compiles a snapshot, and keeps it as the release at `place`.
    ///
    /// # Errors
    /// [`ArtifactFault`].
    pub fn keep_release(
        &self,
        engine: &Engine,
        path: &Path,
        component: &[u8],
        (isolation, place): (Isolation, &Path),
        used_storage: bool,
    ) -> Result<Arc<Code>, ArtifactFault> {
        let folder = place.parent().unwrap_or(place);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| self.fault(source))?;
        // What was eligible before it was drawn is now: only its data has changed.
        let rewound = (isolation == Isolation::Rewind).then(|| rewindable(component).ok()).flatten();
        let linking = Linking::of(made_for(isolation, rewound.is_some()));
        let code = self.compiled(engine, path, (place, linking), rewound.as_deref().unwrap_or(component))?;
        if used_storage {
            fs::write(binding(place), "").map_err(|source| self.fault(source))?;
        }
        Ok(code)
    }
}

/// A snapshot of an application that was imported.
#[derive(Debug)]
pub struct Drawn {
    /// The component.
    pub component: Vec<u8>,
    /// What it said.
    pub report: Report,
    /// Whether it has looked at what its tenant keeps.
    pub used_storage: bool,
}

/// Imports the application, and takes a snapshot of the instance.
async fn release(app: &App, component: &[u8], plan: &Plan) -> Result<(Vec<u8>, Report, bool), GuestFault> {
    let started = Instance::start(app, REQUEST).await;
    let mut instance = started.map_err(|fault| match fault {
        Fault::Guest(guest) => guest,
        Fault::Client(_) | Fault::Busy(_) | Fault::Host(HostFault::Panicked) => GuestFault::Start("the host failed".to_owned().into()),
        Fault::Host(host) => GuestFault::Start(host.to_string().into()),
    })?;
    let report = instance.prepare(app, &Plan { image: true, ..plan.clone() }).await?;
    if let Some(raised) = report.raised() {
        return Err(GuestFault::Raised(raised));
    }
    let used_storage = instance.used_storage();
    let component = snapshot(app, component, instance, report.words).await?;
    Ok((component, report, used_storage))
}

/// Says that a release depends on what its tenant keeps: the import has made tables there, or read a file. It is made anew whenever its
/// host starts, as any other server would import it anew.
fn binding(place: &Path) -> PathBuf {
    place.with_extension("bound")
}

pub(super) fn is_bound(place: &Path) -> bool {
    binding(place).is_file()
}

/// A digest of the environment.
fn environment(variables: &[(String, String)]) -> String {
    let mut sum = Sha256::new();
    for part in variables.iter().flat_map(|(name, value)| [name, value]) {
        sum.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        sum.update(part.as_bytes());
    }
    hex(&sum.finalize())
}
