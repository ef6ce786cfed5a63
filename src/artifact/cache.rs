//! The private cache: compiled code and unpacked bundles, each written whole and then renamed, so that a reader never sees half of one.
//!
//! Compiled code is trusted when it is loaded: wasmtime cannot check it. So only what this host wrote itself is loaded, from a folder that
//! nobody else can write, under a name that says of which bytes and by which engine it was made.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use thiserror::Error;
use wasmtime::component::Component;

use super::{ArtifactFault, Bundle, Loaded, parts, read};
use crate::{
    limits::Limits,
    sandbox::{Engine, ReadOnlyFolder},
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
        for part in ["", "code", "bundles", "tmp"] {
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

    /// Loads the built file at `path`: unpacks and compiles it, unless that was done before.
    ///
    /// # Errors
    /// [`ArtifactFault`].
    pub fn load(&self, engine: &Engine, path: &Path, limits: &Limits) -> Result<Loaded, ArtifactFault> {
        let bytes = read(path, limits)?;
        let parts = parts(&bytes).map_err(|shape| ArtifactFault::Shape { path: path.to_owned(), shape })?;
        let meta = parts.meta.and_then(|meta| serde_json::from_slice(meta).ok());
        let files = match parts.bundle {
            Some(bundle) => self.bundle(path, bundle, limits)?,
            None => Vec::new(),
        };
        let component = self.code(engine.wasmtime(), path, parts.component)?;
        Ok(Loaded { component, files, meta })
    }

    /// Whether the component of the file at `path` is compiled for `engine` already.
    ///
    /// # Errors
    /// [`ArtifactFault`] for a file that is no component.
    pub fn is_compiled(&self, engine: &Engine, path: &Path, limits: &Limits) -> Result<bool, ArtifactFault> {
        let bytes = read(path, limits)?;
        let parts = parts(&bytes).map_err(|shape| ArtifactFault::Shape { path: path.to_owned(), shape })?;
        Ok(self.code_file(engine.wasmtime(), parts.component).is_file())
    }

    /// Where the compiled code of `component` lies.
    fn code_file(&self, engine: &wasmtime::Engine, component: &[u8]) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        self.folder.join("code").join(format!("{}-{:016x}.cwasm", digest(component), hasher.finish()))
    }

    fn fault(&self, source: io::Error) -> CacheFault {
        CacheFault::Io { path: self.folder.clone(), source }
    }

    fn bundle(&self, path: &Path, bundle: &[u8], limits: &Limits) -> Result<Vec<ReadOnlyFolder>, ArtifactFault> {
        let folder = self.folder.join("bundles").join(digest(bundle));
        if !folder.is_dir() {
            let refused = |source| ArtifactFault::Bundle { path: path.to_owned(), source };
            let temporary = tempfile::tempdir_in(self.folder.join("tmp")).map_err(|source| self.fault(source))?;
            Bundle::unpack(bundle, temporary.path(), limits.bundle_bytes).map_err(refused)?;
            settle(&temporary.keep(), &folder).map_err(|source| self.fault(source))?;
        }
        Ok(Bundle::folders(&folder).map_err(|source| self.fault(source))?)
    }

    fn code(&self, engine: &wasmtime::Engine, path: &Path, component: &[u8]) -> Result<Component, ArtifactFault> {
        let file = self.code_file(engine, component);
        if let Some(component) = file.is_file().then(|| deserialize(engine, &file).ok()).flatten() {
            return Ok(component);
        }
        // Processes that start together compile once.
        let _alone = self.alone().map_err(|source| self.fault(source))?;
        if let Some(component) = file.is_file().then(|| deserialize(engine, &file).ok()).flatten() {
            return Ok(component);
        }
        let invalid = |error: wasmtime::Error| ArtifactFault::Invalid { path: path.to_owned(), detail: format!("{error:#}") };
        let code = engine.precompile_component(component).map_err(invalid)?;
        self.write(&file, &code).map_err(|source| self.fault(source))?;
        deserialize(engine, &file).map_err(invalid)
    }

    fn alone(&self) -> io::Result<fs::File> {
        let file = fs::File::create(self.folder.join("compile.lock"))?;
        file.lock().map(|()| file)
    }

    fn write(&self, file: &Path, code: &[u8]) -> io::Result<()> {
        let mut temporary = NamedTempFile::new_in(self.folder.join("tmp"))?;
        io::Write::write_all(&mut temporary, code)?;
        temporary.as_file().sync_all()?;
        temporary.persist(file)?;
        Ok(())
    }
}

/// Gives a folder its name, unless another process was faster.
fn settle(temporary: &Path, folder: &Path) -> io::Result<()> {
    match fs::rename(temporary, folder) {
        Err(_) if folder.is_dir() => fs::remove_dir_all(temporary),
        renamed => renamed,
    }
}

/// SHA-256 in hexadecimal digits.
fn digest(bytes: &[u8]) -> String {
    super::hex(&Sha256::digest(bytes))
}

/// Maps compiled code from the cache, so that processes share its pages.
#[expect(unsafe_code, reason = "wasmtime trusts precompiled code; see the proof below")]
fn deserialize(engine: &wasmtime::Engine, file: &Path) -> wasmtime::Result<Component> {
    // SAFETY: `Component::deserialize_file` asks that the file was made by wasmtime and is not changed while it is mapped. It lies in a
    // folder that only this user can write (checked in `Artifacts::new`), was written whole under another name before it got this one, and
    // is never written again. wasmtime itself refuses code of another version or of other settings.
    unsafe { Component::deserialize_file(engine, file) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_component_is_compiled_once_and_damaged_code_is_compiled_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (limits, cache) = (Limits::default(), Artifacts::new(folder.path()).unwrap());
        let engine = Engine::new(&limits).unwrap();
        let file = folder.path().join("a.wasm");
        fs::write(&file, wat::parse_str("(component)").unwrap()).unwrap();
        cache.load(&engine, &file, &limits).unwrap();
        let code: Vec<_> = fs::read_dir(folder.path().join("code")).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(code.len(), 1);
        fs::write(&code[0], b"damaged").unwrap();
        cache.load(&engine, &file, &limits).unwrap();
        assert!(fs::metadata(&code[0]).unwrap().len() > 100);
    }
}
