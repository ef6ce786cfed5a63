//! Copies an application's files to where the guest may see and change them, and leaves out what it has no use for.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use walkdir::{DirEntry, WalkDir};

use super::BuildFault;

/// Folders at the top of a project that tools make, and Flask's instance folder, which holds what belongs to one place where it runs.
const MADE: [&str; 4] = ["node_modules", "dist", "build", "instance"];

/// Copies the application in `from` to `to`. Hidden files stay behind: they are where secrets and repositories lie. So do virtual
/// environments, caches, what tools made, and the built file. Links that lead out of the folder are not followed; they are returned.
pub(super) fn copy(from: &Path, to: &Path, output: &Path) -> Result<Vec<PathBuf>, BuildFault> {
    let output = output.canonicalize().unwrap_or_else(|_| output.to_owned());
    let wanted = |entry: &DirEntry| {
        let (name, folder) = (entry.file_name().to_string_lossy(), entry.file_type().is_dir());
        let environment = folder && entry.path().join("pyvenv.cfg").is_file();
        // A cache says so itself (Cache Directory Tagging Specification): cargo's `target`, among others.
        let environment = environment || folder && entry.path().join("CACHEDIR.TAG").is_file();
        let made = folder && (name == "__pycache__" || (entry.depth() == 1 && MADE.contains(&&*name)));
        entry.depth() == 0 || !(name.starts_with('.') || environment || made || entry.path() == output)
    };
    copy_wanted(from, to, wanted).map_err(BuildFault::io(from))
}

/// Copies a tree as it is.
pub(super) fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    copy_wanted(from, to, |_| true).map(drop)
}

/// Copies a tree without what is hidden. Links that lead out of it are returned.
pub(super) fn copy_shown(from: &Path, to: &Path) -> io::Result<Vec<PathBuf>> {
    copy_wanted(from, to, |entry| entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.'))
}

fn copy_wanted(from: &Path, to: &Path, wanted: impl FnMut(&DirEntry) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for entry in WalkDir::new(from).follow_links(false).into_iter().filter_entry(wanted) {
        let entry = entry?;
        let inside = entry.path().strip_prefix(from).map_err(io::Error::other)?;
        let target = to.join(inside);
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target)?;
        } else if entry.file_type().is_file() || leads_to_a_file_in(from, entry.path()) {
            fs::copy(entry.path(), &target)?;
            // Python compares a source's time with the one in its compiled file.
            fs::File::open(&target)?.set_modified(fs::metadata(entry.path())?.modified()?)?;
        } else {
            left.push(inside.to_owned());
        }
    }
    Ok(left)
}

/// Adds every file in `folder`, its name and its content, to `digest`.
pub(super) fn digest(folder: &Path, digest: &mut Sha256) -> io::Result<()> {
    let mut add = |part: &[u8]| {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        digest.update(part);
    };
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file() {
            add(entry.path().strip_prefix(folder).unwrap_or(entry.path()).as_os_str().as_encoded_bytes());
            add(&fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// Whether a link stays within the folder.
fn leads_to_a_file_in(folder: &Path, link: &Path) -> bool {
    let (Ok(folder), Ok(target)) = (folder.canonicalize(), link.canonicalize()) else { return false };
    target.starts_with(folder) && target.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_environments_and_tools_stay_behind() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let kept = ["app.py", "static/dist/app.js", "templates/a.html"];
        let left = [
            ".env",
            ".git/config",
            "venv/pyvenv.cfg",
            "venv/lib/x.py",
            "target/CACHEDIR.TAG",
            "target/debug/x.py",
            "node_modules/x.js",
            "__pycache__/app.pyc",
            "dist/app.wasm",
            "instance/config.py",
            "out.wasm",
        ];
        for name in kept.iter().chain(&left) {
            let file = from.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", from.path().join("passwd")).unwrap();
        let links = copy(from.path(), &to.path().join("app"), &from.path().join("out.wasm")).unwrap();
        assert_eq!(links, [PathBuf::from("passwd")]);
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
