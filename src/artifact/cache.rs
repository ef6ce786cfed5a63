//! The private cache: compiled code and unpacked bundles, each written whole and then renamed, so that a reader never sees half of one.
//!
//! Compiled code is trusted when it is loaded: wasmtime cannot check it. So only what this host wrote itself is loaded, from a folder that
//! nobody else can write, under a name that says of which bytes and by which engine it was made.

use std::{
    borrow::Cow,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Component as PathPart, Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use thiserror::Error;

use super::{
    ArtifactFault, Bundle, Loaded, Meta, Opened, Start, Terms,
    code::{CHECKS, Codes, LIBRARIES, Linking, invalid, lines_of, made_for, purpose},
    read,
    sweep::PINS,
};
use crate::{
    limits::Limits,
    sandbox::{self, App, AppOptions, Code, Engine, Folder, Isolation, Lines, NotReleasable},
    tenant::TenantId,
};

/// A cache that cannot be used.
#[derive(Debug, Error)]
pub enum CacheFault {
    /// The disk refuses.
    #[error("the cache folder {path} cannot be used")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else could put code there.
    #[error("the cache folder {path} can be written by others; it must be yours alone (chmod 700)")]
    NotPrivate {
        /// The folder.
        path: PathBuf,
    },
}

/// The folders of a cache.
const PARTS: [&str; 8] = ["", "code", LIBRARIES, "bundles", "functions-by-hash", "releases", "tmp", PINS];

/// The cache.
#[derive(Clone, Debug)]
pub struct Artifacts {
    folder: PathBuf,
}

impl Artifacts {
    /// Opens the cache in `folder`, and makes it if it is not there.
    ///
    /// # Errors
    /// [`CacheFault`] if it cannot be made, or belongs to another user, or can be written by one.
    pub fn new(folder: impl Into<PathBuf>) -> Result<Self, CacheFault> {
        let folder = folder.into();
        let cache = Self { folder: folder.clone() };
        let fault = |source| CacheFault::Io { path: folder.clone(), source };
        for part in PARTS {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join(part)).map_err(fault)?;
        }
        let status = fs::metadata(&folder).map_err(fault)?;
        let foreign = status.uid() != rustix::process::geteuid().as_raw() || status.permissions().mode() & 0o022 != 0;
        if foreign { Err(CacheFault::NotPrivate { path: folder }) } else { Ok(cache) }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where functions are kept that compilations have in common, for [`Engine::compiling`].
    #[must_use]
    pub fn functions(&self) -> PathBuf {
        self.folder.join("functions-by-hash").join("functions")
    }

    /// Where its temporary files lie.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    /// Where compiled code, unpacked bundles and a tenant's releases lie: what one who imports it reads.
    #[must_use]
    pub fn imported_from(&self, tenant: &TenantId) -> Vec<PathBuf> {
        ["code", LIBRARIES, "bundles"].map(|part| self.folder.join(part)).into_iter().chain([self.releases(tenant)]).collect()
    }

    /// Where compiled code, unpacked bundles and releases lie: what one who serves reads.
    #[must_use]
    pub fn served(&self) -> Vec<PathBuf> {
        ["code", LIBRARIES, "bundles", "releases"].map(|part| self.folder.join(part)).into()
    }

    /// Where a compiler writes: of the releases, a tenant's own alone.
    ///
    /// # Errors
    /// [`CacheFault`] if there is no such folder, and none can be made.
    pub fn compiled_into(&self, tenant: &TenantId) -> Result<Vec<PathBuf>, CacheFault> {
        let releases = self.releases(tenant);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&releases).map_err(|source| self.fault(source))?;
        Ok(["code", LIBRARIES, "bundles", "functions-by-hash", "tmp"]
            .map(|part| self.folder.join(part))
            .into_iter()
            .chain([releases])
            .collect())
    }

    /// Where a tenant's releases lie.
    pub(super) fn releases(&self, tenant: &TenantId) -> PathBuf {
        self.folder.join("releases").join(tenant.as_str())
    }

    /// Makes the application of the built file at `path` ready: unpacks it, compiles it and makes its release, each unless that was done
    /// before. `options.files` becomes what the file carries; its other word counts as [`Terms::with`] says.
    ///
    /// # Errors
    /// [`ArtifactFault`].
    pub async fn app(&self, engine: &Engine, path: &Path, options: AppOptions, start: Start) -> Result<Loaded, ArtifactFault> {
        let meta = super::meta(path, &options.limits);
        let options = Terms::beside(options, meta.as_ref());
        let prepared = self.prepare(engine, path, &options, start)?;
        let mut report = None;
        let code = match &prepared.next {
            Next::Serve => self.codes().load(engine, &prepared.code).map_err(|error| invalid(path, &error))?,
            Next::Release { place } => {
                let (code, made) = self.release(engine, path, &prepared, &options, place, start).await?;
                report = made;
                code
            }
        };
        let app = prepared.app_of(engine, path, options, start, code)?;
        Ok(Loaded { app, meta: prepared.meta, report })
    }

    /// Checks the built file at `path`, unpacks it and compiles it, each unless that was done before. No code of its is run: what has a
    /// release has yet to be released then ([`Next::Release`]).
    ///
    /// # Errors
    /// [`ArtifactFault`].
    pub fn prepare(&self, engine: &Engine, path: &Path, options: &AppOptions, start: Start) -> Result<Prepared, ArtifactFault> {
        let bytes = read(path, &options.limits)?;
        let opened = Opened::of(path, &bytes)?;
        let component = opened.parts.component;
        let kept_bytes = sandbox::kept_bytes(component).map_err(|fault| ArtifactFault::Heavy { path: path.to_owned(), fault })?;
        let files = match opened.parts.bundle {
            // What may be written stands where the bundle has the same.
            Some(bundle) => {
                let kept =
                    |file: &Folder| !options.storage.iter().any(|storage| storage.folders.iter().any(|folder| folder.guest == file.guest));
                self.bundle(path, bundle, &options.limits)?.into_iter().filter(kept).collect()
            }
            None => Vec::new(),
        };
        let (rewound, not_rewound) = match options.isolation {
            Isolation::Rewind => match sandbox::rewindable(component) {
                Ok(rewound) => (Some(rewound), None),
                Err(why) => (None, Some(why.to_string())),
            },
            Isolation::Request | Isolation::Reuse => (None, None),
        };
        let made_for = made_for(options.isolation, rewound.is_some());
        // Once: it is tens of megabytes.
        let named = digest(component);
        let instrumented = self.instrumented_place(engine, &named);
        let (code, next, is_found) = match (opened.plan(), start) {
            (Some(plan), Start::Released | Start::ReleasedNow) => {
                let place = self.release_place(engine, (&named, opened.parts.bundle), options, (plan, made_for));
                if is_made(&place, start) && self.found(engine, &place).is_some() {
                    (place, Next::Serve, true)
                } else {
                    self.instrumented_at(engine, path, component, &instrumented)?;
                    (instrumented, Next::Release { place }, false)
                }
            }
            (Some(_), Start::EachInstance | Start::Unprepared) => {
                self.instrumented_at(engine, path, component, &instrumented)?;
                (instrumented, Next::Serve, false)
            }
            (None, _) => {
                let name = format!("{}-{}", purpose(made_for), code_name(engine, &named));
                let place = self.folder.join("code").join(name);
                let make = || Ok(rewound.map_or(Cow::Borrowed(component), Cow::Owned));
                let (_, is_found) = self.code(engine, path, (&place, Linking::of(made_for)), make)?;
                (place, Next::Serve, is_found)
            }
        };
        Ok(Prepared { code, files, meta: opened.meta, next, is_found, not_rewound, kept_bytes })
    }

    /// The compiled code of a component whose state can be read.
    pub(crate) fn instrumented(&self, engine: &Engine, path: &Path, component: &[u8]) -> Result<Arc<Code>, ArtifactFault> {
        self.instrumented_at(engine, path, component, &self.instrumented_place(engine, &digest(component)))
    }

    fn instrumented_at(&self, engine: &Engine, path: &Path, component: &[u8], place: &Path) -> Result<Arc<Code>, ArtifactFault> {
        let refused = |fault: NotReleasable| ArtifactFault::Invalid { path: path.to_owned(), detail: fault.to_string() };
        let make = || sandbox::instrumented(component).map(Cow::Owned).map_err(refused);
        self.code(engine, path, (place, Linking::Libraries), make).map(|(code, _)| code)
    }

    fn instrumented_place(&self, engine: &Engine, named: &str) -> PathBuf {
        self.folder.join("code").join(format!("instrumented-{}", code_name(engine, named)))
    }

    pub(super) fn fault(&self, source: io::Error) -> CacheFault {
        CacheFault::Io { path: self.folder.clone(), source }
    }

    pub(super) fn bundle(&self, path: &Path, bundle: &[u8], limits: &Limits) -> Result<Vec<Folder>, ArtifactFault> {
        let folder = self.folder.join("bundles").join(digest(bundle));
        if !folder.is_dir() {
            let refused = |source| ArtifactFault::Bundle { path: path.to_owned(), source };
            let temporary = tempfile::tempdir_in(self.folder.join("tmp")).map_err(|source| self.fault(source))?;
            Bundle::unpack(bundle, temporary.path(), limits.bundle_bytes).map_err(refused)?;
            settle(&temporary.keep(), &folder).map_err(|source| self.fault(source))?;
        }
        // A new one as well: its folders have a time of their own, which is long ago.
        Self::touch(&folder);
        Ok(Bundle::folders(&folder).map_err(|source| self.fault(source))?)
    }

    /// The code at `place`, or what is compiled of `make`; and whether it was there.
    pub(super) fn code<'a>(
        &self,
        engine: &Engine,
        path: &Path,
        (place, linking): (&Path, Linking),
        make: impl FnOnce() -> Result<Cow<'a, [u8]>, ArtifactFault>,
    ) -> Result<(Arc<Code>, bool), ArtifactFault> {
        if let Some(code) = self.found(engine, place) {
            return Ok((code, true));
        }
        // Processes that start together compile once.
        let _alone = self.alone(&self.folder.join("code").join(".lock"))?;
        if let Some(code) = self.found(engine, place) {
            return Ok((code, true));
        }
        self.compiled(engine, path, (place, linking), &make()?).map(|code| (code, false))
    }

    pub(super) fn alone(&self, lock: &Path) -> Result<fs::File, CacheFault> {
        let locked = fs::File::create(lock).and_then(|file| file.lock().map(|()| file));
        locked.map_err(|source| self.fault(source))
    }

    pub(super) fn write(&self, file: &Path, code: &[u8]) -> io::Result<()> {
        let mut temporary = NamedTempFile::new_in(self.folder.join("tmp"))?;
        io::Write::write_all(&mut temporary, code)?;
        temporary.as_file().sync_all()?;
        temporary.persist(file)?;
        Ok(())
    }
}

/// Whether a release need not be made (again).
pub(super) fn is_made(place: &Path, start: Start) -> bool {
    place.is_file() && (start == Start::ReleasedNow || !super::release::is_bound(place))
}

impl Prepared {
    /// Whether everything lies where this cache has it for `tenant`: what another process says is not believed.
    #[must_use]
    pub fn lies_in(&self, cache: &Path, tenant: &TenantId) -> bool {
        let plain = |path: &Path| path.components().all(|part| matches!(part, PathPart::Normal(_) | PathPart::RootDir));
        let within = |path: &Path, folder: &Path| plain(path) && path.parent() == Some(folder);
        let releases = cache.join("releases").join(tenant.as_str());
        let code = |path: &Path| within(path, &cache.join("code")) || within(path, &releases);
        let bundles = cache.join("bundles");
        let in_bundle =
            |folder: &Folder| plain(&folder.host) && folder.host.strip_prefix(&bundles).is_ok_and(|rest| rest.components().count() > 0);
        let next = match &self.next {
            Next::Serve => true,
            Next::Release { place } => within(place, &releases),
        };
        code(&self.code) && next && self.files.iter().all(in_bundle)
    }
}

/// A built file that was checked, unpacked and compiled.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct Prepared {
    /// Its compiled code.
    pub code: PathBuf,
    /// What it carries.
    pub files: Vec<Folder>,
    /// What its builder says.
    pub meta: Option<Meta>,
    /// What has to be done yet.
    pub next: Next,
    /// Whether nothing of it had to be compiled, nor has yet.
    pub is_found: bool,
    /// Why its instances cannot be rewound, if that was asked.
    pub not_rewound: Option<String>,
    /// Bytes that the host keeps of each instance beside its memories and tables.
    pub kept_bytes: u64,
}

/// What has to be done with a prepared file.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub enum Next {
    /// It can be served.
    Serve,
    /// It is to be imported, and its release compiled to this place; its code is that of the component before.
    Release {
        /// The release's compiled code.
        place: PathBuf,
    },
}

impl Prepared {
    /// The application, of code that is there; applications share what is the same of it.
    ///
    /// # Errors
    /// [`ArtifactFault`], most often because the code has gone or belongs to another version.
    pub fn app(&self, engine: &Engine, codes: &Codes, path: &Path, options: AppOptions, start: Start) -> Result<App, ArtifactFault> {
        let code = codes.load(engine, &self.code).map_err(|error| invalid(path, &error))?;
        self.app_of(engine, path, options, start, code)
    }

    fn app_of(&self, engine: &Engine, path: &Path, mut options: AppOptions, start: Start, code: Arc<Code>) -> Result<App, ArtifactFault> {
        options.files.clone_from(&self.files);
        options.not_rewound.clone_from(&self.not_rewound);
        options.kept_bytes = self.kept_bytes;
        options.plan = self.meta.as_ref().and_then(|meta| meta.plan.clone()).filter(|_| start == Start::EachInstance);
        let place = match &self.next {
            Next::Release { place } if start == Start::Released => place,
            Next::Release { .. } | Next::Serve => &self.code,
        };
        options.lines = Lines::at(lines_of(place));
        App::new(engine, code, options).map_err(|fault| ArtifactFault::World { path: path.to_owned(), fault })
    }
}

/// The name of code: of which bytes, and for which engine.
fn code_name(engine: &Engine, named: &str) -> String {
    format!("{named}-{}.cwasm", engine_name(engine))
}

/// What of an engine decides about code.
pub(super) fn engine_name(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.wasmtime().precompile_compatibility_hash().hash(&mut hasher);
    CHECKS.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Gives a folder its name, unless another process was faster.
fn settle(temporary: &Path, folder: &Path) -> io::Result<()> {
    match fs::rename(temporary, folder) {
        Err(_) if folder.is_dir() => fs::remove_dir_all(temporary),
        renamed => renamed,
    }
}

/// SHA-256 in hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    super::hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{artifact::code, sandbox::TenantLog};

    #[test]
    fn a_cache_that_others_can_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        Artifacts::new(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Artifacts::new(&path), Err(CacheFault::NotPrivate { .. })));
    }

    #[test]
    fn a_component_that_is_served_in_another_way_is_compiled_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let (limits, cache) = (Limits::default(), Artifacts::new(folder.path().join("cache")).unwrap());
        let engine = Engine::new(&limits).unwrap();
        let file = folder.path().join("a.wasm");
        fs::write(&file, code::tests::linked(1)).unwrap();
        let libraries = [Isolation::Request, Isolation::Reuse, Isolation::Rewind, Isolation::Request].map(|isolation| {
            let log = TenantLog::new(TenantId::of("a"), &limits);
            let options = AppOptions { isolation, ..AppOptions::new(log) };
            let prepared = cache.prepare(&engine, &file, &options, Start::Released).unwrap();
            code::libraries_of(&cache.folder, &prepared.code).len()
        });
        assert_eq!(libraries, [0, 1, 1, 0]);
    }

    #[test]
    fn a_component_is_compiled_once_and_damaged_code_is_compiled_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (limits, cache) = (Limits::default(), Artifacts::new(folder.path()).unwrap());
        let engine = Engine::new(&limits).unwrap();
        let file = folder.path().join("a.wasm");
        fs::write(&file, wat::parse_str("(component)").unwrap()).unwrap();
        let code = |component: &[u8]| {
            let place = cache.folder.join("code").join(code_name(&engine, &digest(component)));
            cache.code(&engine, &file, (&place, Linking::Whole), || Ok(Cow::Borrowed(component)))
        };
        let component = fs::read(&file).unwrap();
        code(&component).unwrap();
        let files: Vec<_> = fs::read_dir(folder.path().join("code")).unwrap().map(|entry| entry.unwrap().path()).collect();
        let files: Vec<_> = files.into_iter().filter(|file| file.extension().is_some()).collect();
        assert_eq!(files.len(), 1);
        fs::write(&files[0], b"damaged").unwrap();
        code(&component).unwrap();
        assert!(fs::metadata(&files[0]).unwrap().len() > 100);
    }
}
