//! Copies an application's files to where the guest may see and change them, and leaves out what it has no use for.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use walkdir::{DirEntry, WalkDir};

use super::BuildFault;

/// Folders that are made by tools.
const SKIPPED: [&str; 4] = ["__pycache__", "node_modules", "dist", "build"];

/// Copies the application in `from` to `to`. Hidden files stay behind: they are where secrets and repositories lie. So do virtual
/// environments, what tools made, and the built file.
pub(super) fn copy(from: &Path, to: &Path, output: &Path) -> Result<(), BuildFault> {
    let output = output.canonicalize().unwrap_or_else(|_| output.to_owned());
    let wanted = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        let environment = entry.file_type().is_dir() && entry.path().join("pyvenv.cfg").is_file();
        entry.depth() == 0
            || !(name.starts_with('.')
                || environment
                || (entry.file_type().is_dir() && SKIPPED.contains(&&*name))
                || entry.path() == output)
    };
    copy_wanted(from, to, wanted).map_err(BuildFault::io(from))
}

/// Copies a tree as it is.
pub(super) fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    copy_wanted(from, to, |_| true)
}

fn copy_wanted(from: &Path, to: &Path, wanted: impl FnMut(&DirEntry) -> bool) -> io::Result<()> {
    for entry in WalkDir::new(from).follow_links(false).into_iter().filter_entry(wanted) {
        let entry = entry?;
        let target: PathBuf = to.join(entry.path().strip_prefix(from).map_err(io::Error::other)?);
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target)?;
        } else if entry.file_type().is_file() {
            fs::copy(entry.path(), &target)?;
            // Python compares a source's time with the one in its compiled file.
            fs::File::options().write(true).open(&target)?.set_modified(entry.metadata()?.modified()?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_environments_and_tools_stay_behind() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let kept = ["app.py", "static/app.js", "templates/a.html"];
        let left = [
            ".env",
            ".git/config",
            "venv/pyvenv.cfg",
            "venv/lib/x.py",
            "node_modules/x.js",
            "__pycache__/app.pyc",
            "dist/app.wasm",
            "out.wasm",
        ];
        for name in kept.iter().chain(&left) {
            let file = from.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        copy(from.path(), &to.path().join("app"), &from.path().join("out.wasm")).unwrap();
        let copied = WalkDir::new(to.path().join("app"))
            .sort_by_file_name()
            .into_iter()
            .map(Result::unwrap)
            .filter(|entry| entry.file_type().is_file());
        let mut names: Vec<_> =
            copied.map(|entry| entry.path().strip_prefix(to.path().join("app")).unwrap().display().to_string()).collect();
        names.sort();
        assert_eq!(names, kept);
    }
}
