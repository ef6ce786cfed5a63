//! Compiled code in the cache, and in a process: an application's own, and the libraries that it shares with others.
//!
//! What is linked of libraries has a list of them beside its code; each lies in a folder of its own, under its digest. Compiled code is
//! trusted when it is loaded: see [`super::cache`].

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tempfile::NamedTempFile;
use wasmtime::{Module, component::Component};

use super::{
    ArtifactFault, Artifacts,
    cache::{digest, engine_name},
};
use crate::sandbox::{self, Code, Engine, Heavy, Isolation};

/// The folder of the libraries.
pub(super) const LIBRARIES: &str = "libraries";
/// What code has passed that lies in the cache; a number more, where that is more.
pub(super) const CHECKS: u32 = 1;
/// The ending of the list of libraries beside code.
pub(super) const LIST: &str = "libraries";
/// Bytes of the heap that loaded code may take in each process: wasmtime's tables of its names and types, of which a few bytes of a component
/// can stand for many. Interpreters of Python take 3 MiB.
const LOADED_BYTES: usize = 32 << 20;
/// Bytes of functions that are compiled in less time than all those that are kept are read and checked: an interpreter without its libraries
/// has fewer.
const LITTLE: usize = 256 << 10;
/// The ending of the lines beside code.
pub(super) const LINES: &str = "lines";

/// Whether code is made of libraries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Linking {
    /// It is: each further application with the same ones is compiled in no time, and shares their memory. To make an instance takes longer.
    Libraries,
    /// It is one piece: for an instance a request.
    Whole,
}

impl Linking {
    /// For instances that serve so.
    pub(super) fn of(made_for: Isolation) -> Self {
        match made_for {
            Isolation::Request => Self::Whole,
            Isolation::Rewind | Isolation::Reuse => Self::Libraries,
        }
    }
}

/// What code is made for: to serve as its application asks, or an instance a request where that is to be rewound and cannot be.
pub(super) fn made_for(asked: Isolation, is_rewound: bool) -> Isolation {
    match asked {
        Isolation::Rewind if !is_rewound => Isolation::Request,
        Isolation::Request | Isolation::Rewind | Isolation::Reuse => asked,
    }
}

/// What code is made for stands in its name: how it is linked depends on it, and what is compiled.
pub(super) fn purpose(made_for: Isolation) -> &'static str {
    match made_for {
        Isolation::Request => "request",
        Isolation::Rewind => "rewind",
        Isolation::Reuse => "reuse",
    }
}

/// What stands beside code that is made of libraries.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
struct Parts {
    /// Files of the folder of libraries, by the digest that the component imports.
    libraries: Vec<(String, String)>,
    pages: u64,
}

/// Code that is mapped in this process, by where it lies: nothing twice.
pub struct Codes {
    /// Where libraries lie.
    libraries: PathBuf,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    codes: HashMap<PathBuf, Arc<Code>>,
    libraries: HashMap<PathBuf, Arc<Module>>,
}

impl Codes {
    /// The code at `place`.
    pub(super) fn load(&self, engine: &Engine, place: &Path) -> wasmtime::Result<Arc<Code>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // What only this map holds is no longer used.
        known.codes.retain(|_, code| Arc::strong_count(code) > 1);
        known.libraries.retain(|_, library| Arc::strong_count(library) > 1);
        if let Some(code) = known.codes.get(place) {
            return Ok(Arc::clone(code));
        }
        let code = Arc::new(match parts(place)? {
            None => component(engine.wasmtime(), place)?.into(),
            Some(parts) => {
                let mut libraries = Vec::new();
                for (digest, file) in parts.libraries {
                    let file = library_at(&self.libraries, &file)?;
                    let library = match known.libraries.get(&file) {
                        Some(library) => Arc::clone(library),
                        None => Arc::new(module(engine.wasmtime(), &file)?),
                    };
                    known.libraries.insert(file, Arc::clone(&library));
                    libraries.push((digest, library));
                }
                Code { component: component(engine.wasmtime(), place)?, libraries, pages: parts.pages }
            }
        });
        known.codes.insert(place.to_owned(), Arc::clone(&code));
        drop(known);
        Ok(code)
    }
}

impl Artifacts {
    /// No code yet.
    #[must_use]
    pub fn codes(&self) -> Codes {
        Codes { libraries: self.folder().join(LIBRARIES), known: Mutex::default() }
    }

    /// The code at `place`, if it is there and whole.
    pub(super) fn found(&self, engine: &Engine, place: &Path) -> Option<Arc<Code>> {
        let found = place.is_file().then(|| self.codes().load(engine, place).ok()).flatten()?;
        for library in libraries_of(self.folder(), place) {
            Self::touch(&library);
        }
        Self::touch(place);
        Some(found)
    }

    /// Compiles `component`, and keeps its code at `place`.
    pub(super) fn compiled(
        &self,
        engine: &Engine,
        path: &Path,
        (place, linking): (&Path, Linking),
        component: &[u8],
    ) -> Result<Arc<Code>, ArtifactFault> {
        let wrong = |error: wasmtime::Error| invalid(path, &error);
        let kept = |source| self.fault(source);
        let split = (linking == Linking::Libraries).then(|| sandbox::split(component, digest)).flatten();
        let code = match &split {
            Some(split) if split.code_bytes <= LITTLE => engine.compile_little(&split.component),
            Some(split) => engine.compile(&split.component),
            None => engine.compile(component),
        };
        let code = code.map_err(wrong)?;
        // First: who finds the code finds what goes with it.
        match &split {
            Some(split) => {
                let mut libraries = Vec::new();
                for (digest, module) in &split.libraries {
                    libraries.push((digest.clone(), self.library(engine, path, digest, module)?));
                }
                let text = serde_json::to_vec(&Parts { libraries, pages: split.pages }).map_err(|error| kept(io::Error::other(error)))?;
                self.write(&list_of(place), &text).map_err(kept)?;
            }
            None => drop(fs::remove_file(list_of(place))),
        }
        match sandbox::table(component) {
            Some(lines) => self.write(&lines_of(place), &lines).map_err(kept)?,
            None => drop(fs::remove_file(lines_of(place))),
        }
        // Nobody finds it under its name before it was measured: what each process that serves it will keep, as it is here.
        let unmeasured = NamedTempFile::new_in(self.temporary()).map_err(kept)?;
        fs::write(unmeasured.path(), &code).map_err(kept)?;
        drop(code);
        let measured = || {
            let before = heap();
            let loaded = self::component(engine.wasmtime(), unmeasured.path()).map_err(wrong)?;
            let found = heap().saturating_sub(before);
            drop(loaded);
            Ok::<_, ArtifactFault>(found)
        };
        let mut found = measured()?;
        if found > LOADED_BYTES {
            // Unless another thread has taken it meanwhile.
            found = measured()?;
        }
        if found > LOADED_BYTES {
            return Err(ArtifactFault::Heavy { path: path.to_owned(), fault: Heavy::Code { found, limit: LOADED_BYTES } });
        }
        unmeasured.as_file().sync_all().map_err(kept)?;
        unmeasured.persist(place).map_err(|error| kept(error.error))?;
        self.codes().load(engine, place).map_err(wrong)
    }

    /// The file of a library's code, which is compiled unless it is there.
    fn library(&self, engine: &Engine, path: &Path, digest: &str, bytes: &[u8]) -> Result<String, ArtifactFault> {
        let name = format!("{digest}-{}.cwasm", engine_name(engine));
        let file = self.folder().join(LIBRARIES).join(&name);
        if module(engine.wasmtime(), &file).is_err() {
            let code = engine.compile_library(bytes).map_err(|error| invalid(path, &error))?;
            self.write(&file, &code).map_err(|source| self.fault(source))?;
        }
        Self::touch(&file);
        Ok(name)
    }
}

/// Bytes of this process's heap that are in use.
#[expect(unsafe_code, reason = "a call of the C library; see the proof")]
fn heap() -> usize {
    // SAFETY: mallinfo2(3) takes nothing and returns numbers; it locks each arena while it looks.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks.saturating_add(info.hblkhd)
}

/// The libraries that the code at `place` is made of, in the cache in `folder`.
pub(super) fn libraries_of(folder: &Path, place: &Path) -> Vec<PathBuf> {
    let parts = parts(place).ok().flatten().unwrap_or_default();
    parts.libraries.iter().filter_map(|(_, file)| library_at(&folder.join(LIBRARIES), file).ok()).collect()
}

/// What the code at `place` is made of, if not of one piece.
fn parts(place: &Path) -> io::Result<Option<Parts>> {
    match fs::read(list_of(place)) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The file of a library: its name is only that.
fn library_at(folder: &Path, name: &str) -> io::Result<PathBuf> {
    let plain = Path::new(name).file_name().is_some_and(|file| file == name);
    plain.then(|| folder.join(name)).ok_or_else(|| io::Error::other(format!("{name:?} is no name of a library")))
}

/// Where the list of the libraries of the code at `place` lies.
fn list_of(place: &Path) -> PathBuf {
    beside(place, LIST)
}

/// Where the lines of the code at `place` lie.
pub(super) fn lines_of(place: &Path) -> PathBuf {
    beside(place, LINES)
}

fn beside(place: &Path, ending: &str) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Code that wasmtime refuses.
pub(super) fn invalid(path: &Path, error: &wasmtime::Error) -> ArtifactFault {
    ArtifactFault::Invalid { path: path.to_owned(), detail: format!("{error:#}") }
}

/// Maps compiled code from the cache, so that processes share its pages.
#[expect(unsafe_code, reason = "wasmtime trusts precompiled code; see the proof below")]
fn component(engine: &wasmtime::Engine, file: &Path) -> wasmtime::Result<Component> {
    // SAFETY: `Component::deserialize_file` asks that the file was made by wasmtime and is not changed while it is mapped. It lies in a
    // folder that only this user can write (checked in `Artifacts::new`), was written whole under another name before it got this one, and
    // is never written again. wasmtime itself refuses code of another version or of other settings.
    unsafe { Component::deserialize_file(engine, file) }
}

/// The same of a library.
#[expect(unsafe_code, reason = "wasmtime trusts precompiled code; see the proof below")]
fn module(engine: &wasmtime::Engine, file: &Path) -> wasmtime::Result<Module> {
    // SAFETY: as for `component`: a library's file is written in the same way, by the same function.
    unsafe { Module::deserialize_file(engine, file) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::limits::Limits;

    /// A component of a module of its own, which says `number`, and a library.
    pub(crate) fn linked(number: u32) -> Vec<u8> {
        with_own(number, 0)
    }

    /// The same, with so many bytes of code of its own more.
    fn with_own(number: u32, own: usize) -> Vec<u8> {
        let (nops, own) = ("nop ".repeat(70_000), "nop ".repeat(own));
        let text = format!(
            r#"(component
                 (core module $main (memory (export "memory") 3) (func (export "number") (result i32) {own} i32.const {number}))
                 (core module $library (import "env" "memory" (memory 1)) (func (export "f") {nops}))
                 (core instance $main (instantiate $main))
                 (core instance (instantiate $library (with "env" (instance $main)))))"#
        );
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn code_that_takes_too_much_of_each_process_is_refused_and_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Artifacts::new(folder.path().join("cache")).unwrap();
        let engine = Engine::new(&Limits { worker_instances: 1, ..Limits::default() }).unwrap();
        // Each export of an instance has a copy of all that it exports.
        let names: String = (0..600).fold(String::new(), |text, index| text + &format!("(export \"n{index}\" (type $t))"));
        let compiled = |exports: usize| {
            let copies = (0..exports).fold(String::new(), |text, index| text + &format!("(export \"e{index}\" (instance $i))"));
            let component = wat::parse_str(format!("(component (type $t u32) (instance $i {names}) {copies})")).unwrap();
            let place = folder.path().join(format!("cache/code/{exports}"));
            let made = cache.compiled(&engine, Path::new("app.wasm"), (&place, Linking::Whole), &component).map(drop);
            (made, place.exists())
        };
        assert!(matches!(compiled(2), (Ok(()), true)));
        let (made, is_kept) = compiled(600);
        let Err(ArtifactFault::Heavy { fault: Heavy::Code { found, limit }, .. }) = made else { panic!("{made:?}") };
        assert!(found > limit && !is_kept, "{found}");
    }

    fn names(cache: &Artifacts, part: &str) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(cache.folder().join(part)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_two_applications_are_linked_of_is_compiled_once_and_is_there_once_in_a_process() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Artifacts::new(folder.path().join("cache")).unwrap();
        let engine = Engine::new(&Limits::default()).unwrap();
        let compile = |number| {
            let place = cache.folder().join("code").join(format!("{number}.cwasm"));
            cache.compiled(&engine, Path::new("app.wasm"), (&place, Linking::Libraries), &linked(number)).map(|_| place).unwrap()
        };
        let places = [compile(1), compile(2)];
        assert_eq!(names(&cache, "code"), ["1.cwasm", "1.cwasm.libraries", "2.cwasm", "2.cwasm.libraries"]);
        let [library] = &names(&cache, LIBRARIES)[..] else { panic!("{:?}", names(&cache, LIBRARIES)) };
        let library = cache.folder().join(LIBRARIES).join(library);
        assert_eq!(places.each_ref().map(|place| libraries_of(cache.folder(), place)), [[library.clone()], [library.clone()]]);

        let codes = cache.codes();
        let [first, second, again] = [0, 1, 0].map(|which| codes.load(&engine, &places[which]).unwrap());
        assert!(Arc::ptr_eq(&first, &again) && Arc::ptr_eq(&first.libraries[0].1, &second.libraries[0].1));
        assert_eq!((first.libraries.len(), first.pages), (1, 3));

        // One that has gone, or is damaged, is made again.
        fs::remove_file(&library).unwrap();
        assert!(cache.found(&engine, &places[0]).is_none());
        compile(1);
        assert!(cache.found(&engine, &places[1]).is_some());
        fs::write(&library, "damaged").unwrap();
        assert!(cache.found(&engine, &places[0]).is_none());
        compile(2);
        assert!(cache.found(&engine, &places[0]).is_some());
    }

    #[test]
    fn code_of_one_piece_has_no_libraries() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Artifacts::new(folder.path().join("cache")).unwrap();
        let engine = Engine::new(&Limits::default()).unwrap();
        let place = cache.folder().join("code/1.cwasm");
        for linking in [Linking::Libraries, Linking::Whole] {
            cache.compiled(&engine, Path::new("app.wasm"), (&place, linking), &linked(1)).unwrap();
        }
        let code = cache.found(&engine, &place).unwrap();
        assert_eq!((code.libraries.len(), code.pages, names(&cache, "code")), (0, 3, vec!["1.cwasm".to_owned()]));
    }

    #[test]
    fn functions_are_looked_for_and_kept_unless_they_are_few() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Artifacts::new(folder.path().join("cache")).unwrap();
        let engine = Engine::compiler(&Limits::default(), &cache.functions()).unwrap();
        let keeps = |nops: usize, linking| {
            let place = cache.folder().join("code/app.cwasm");
            cache.compiled(&engine, Path::new("app.wasm"), (&place, linking), &with_own(1, nops)).unwrap();
            fs::remove_file(cache.functions()).is_ok()
        };
        // The library is compiled first, and kept.
        assert!(keeps(1, Linking::Libraries));
        // Its body: how many locals it has, what it does, and its end.
        let most = LITTLE - 64;
        assert_eq!(
            [keeps(1, Linking::Libraries), keeps(most, Linking::Libraries), keeps(LITTLE, Linking::Libraries)],
            [false, false, true]
        );
        assert!(keeps(2, Linking::Whole));
    }

    #[test]
    fn a_library_lies_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a.cwasm");
        fs::write(list_of(&place), r#"{"libraries": [["a", "../../secret"], ["b", ".."], ["c", ""], ["d", "whole.cwasm"]], "pages": 1}"#)
            .unwrap();
        assert_eq!(libraries_of(Path::new("/cache"), &place), [Path::new("/cache/libraries/whole.cwasm")]);
    }
}
