//! An application while it is written: its folder as the guest sees it, kept like the one on disk, without packing anything.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{BuildFault, Module, Packages, Progress, Request, Requirements, Runtime, Tools, Trial, alone, kept_folders, plan, stage};
use crate::sandbox::{Folder, Plan};

/// What a change is to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Change {
    /// Nothing that the application sees.
    Nothing,
    /// Files that are read when they are needed: templates, static files.
    Content,
    /// Anything else: what was imported is old.
    Code,
    /// What is installed, or how it is built: all begins again.
    Build,
}

/// The application's files, as a guest sees them.
pub struct Live {
    source: PathBuf,
    output: PathBuf,
    staged: TempDir,
    inputs: Vec<(PathBuf, Option<Vec<u8>>)>,
    /// What it sees where.
    pub files: Vec<Folder>,
    /// The runtime's component.
    pub component: PathBuf,
    /// How the application is imported.
    pub plan: Plan,
    /// Folders beside its code that lie in `/data`.
    pub kept_folders: Vec<String>,
}

impl Live {
    /// Installs what the application requires, and copies its files.
    ///
    /// # Errors
    /// [`BuildFault`].
    pub fn new(request: &Request, module: &Module, progress: &dyn Progress) -> Result<Self, BuildFault> {
        let Request { source, sdist, cache, output, .. } = request;
        progress.step("app", &source.to_string());
        let requirements = Requirements::of(&source.folder)?;
        let _alone = alone(cache)?;
        let tools = Tools::provide(cache, progress)?;
        let runtime = Runtime::provide(&tools, cache, progress)?;
        let trial = Trial::new(&runtime, cache)?;
        let temporary = tempfile::tempdir().map_err(BuildFault::io(&std::env::temp_dir()))?;
        let packages = Packages::provide(&tools, cache, &requirements, *sdist, temporary.path(), &trial, progress)?;
        let staged = tempfile::tempdir().map_err(BuildFault::io(&std::env::temp_dir()))?;
        let site = staged.path().join("site");
        stage::copy_tree(&packages.site, &site).map_err(BuildFault::io(&packages.site))?;
        let app = staged.path().join("app");
        stage::copy(&source.folder, &app, output)?;
        let kept_folders = kept_folders(&app);
        let folder = |host: PathBuf, guest: &str| Folder { host, guest: guest.to_owned() };
        let settled: Vec<_> = requirements
            .files
            .keys()
            .cloned()
            .chain(["wasgi.toml", "requirements.txt", "pyproject.toml", ".env"].map(|name| source.folder.join(name)))
            .collect();
        Ok(Self {
            source: source.folder.clone(),
            output: output.clone(),
            inputs: settled.into_iter().map(|file| (file.clone(), fs::read(file).ok())).collect(),
            files: vec![folder(app, "/0"), folder(site, "/1"), folder(runtime.python(), "/python")],
            staged,
            component: runtime.component(),
            plan: plan(request, module),
            kept_folders,
        })
    }

    /// Takes over what has changed on disk.
    ///
    /// # Errors
    /// [`BuildFault`] when the disk refuses.
    pub fn refresh(&self) -> Result<Change, BuildFault> {
        if self.inputs.iter().any(|(file, content)| fs::read(file).ok() != *content) {
            return Ok(Change::Build);
        }
        let app = self.staged.path().join("app");
        let fresh = self.staged.path().join("fresh");
        drop(fs::remove_dir_all(&fresh));
        stage::copy(&self.source, &fresh, &self.output)?;
        let change = taken_over(&fresh, &app).map_err(BuildFault::io(&app))?;
        fs::remove_dir_all(&fresh).map_err(BuildFault::io(&fresh))?;
        Ok(change)
    }
}

/// Makes `to` what `from` is; what that changed.
fn taken_over(from: &Path, to: &Path) -> io::Result<Change> {
    let names = |folder: &Path| -> io::Result<BTreeSet<PathBuf>> {
        let mut names = BTreeSet::new();
        for entry in walkdir::WalkDir::new(folder).min_depth(1) {
            let entry = entry?;
            // What Python compiled is of no concern.
            if entry.file_type().is_file() && !entry.path().components().any(|part| part.as_os_str() == "__pycache__") {
                names.insert(entry.path().strip_prefix(folder).map_err(io::Error::other)?.to_owned());
            }
        }
        Ok(names)
    };
    let (new, old) = (names(from)?, names(to)?);
    let mut change = Change::Nothing;
    for name in old.difference(&new) {
        fs::remove_file(to.join(name))?;
        change = change.max(Change::Code);
    }
    for name in &new {
        let (source, target) = (from.join(name), to.join(name));
        let same = old.contains(name) && fs::read(&source)? == fs::read(&target)?;
        if !same {
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::rename(&source, &target)?;
            change = change.max(kind(name));
        }
    }
    Ok(change)
}

/// Templates and static files lie in folders of that name, by the custom of all frameworks.
fn kind(name: &Path) -> Change {
    let content = name.components().any(|part| matches!(part.as_os_str().to_str(), Some("templates" | "static" | "views" | "locale")));
    let code = name.extension().is_some_and(|ending| ending == "py");
    if content && !code { Change::Content } else { Change::Code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_becomes_what_another_is_and_the_change_is_named() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let change = |files: &[(&str, &str)]| {
            fs::remove_dir_all(from.path()).unwrap();
            for (name, text) in files {
                let file = from.path().join(name);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
            let change = taken_over(from.path(), to.path()).unwrap();
            let found: Vec<_> =
                walkdir::WalkDir::new(to.path()).into_iter().flatten().filter(|entry| entry.file_type().is_file()).collect();
            assert_eq!(found.len(), files.len());
            for (name, text) in files {
                assert_eq!(fs::read_to_string(to.path().join(name)).unwrap(), *text);
            }
            change
        };
        assert_eq!(change(&[("app.py", "1"), ("templates/a.html", "1")]), Change::Code);
        assert_eq!(change(&[("app.py", "1"), ("templates/a.html", "1")]), Change::Nothing);
        assert_eq!(change(&[("app.py", "1"), ("templates/a.html", "2")]), Change::Content);
        assert_eq!(change(&[("app.py", "2"), ("templates/a.html", "3")]), Change::Code);
        assert_eq!(change(&[("app.py", "2")]), Change::Code);
    }
}
