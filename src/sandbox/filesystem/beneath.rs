//! Folders within a folder, where somebody else may write: a name may have become a link since it was last looked at. The kernel opens
//! beneath the folder, and through no link (`openat2`).

use std::{
    fs::File,
    io,
    path::{Component, Path},
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2},
    io::Errno,
};

/// What becomes of a folder that is not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Missing {
    /// It is made.
    Make,
    /// It is an error: nothing is written to what is read only.
    Refuse,
}

/// Opens the folder `inside` of `root`, which is a path of plain names; empty, it is `root` itself.
///
/// # Errors
/// When a part of it is a link, or no folder, or leads out.
pub fn open_beneath(root: &Path, inside: &Path, missing: Missing) -> io::Result<File> {
    let mut folder = File::open(root)?;
    if !folder.metadata()?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    for part in inside.components() {
        let Component::Normal(name) = part else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no path of plain names", inside.display())));
        };
        if missing == Missing::Make {
            match mkdirat(&folder, name, Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        folder = openat2(&folder, name, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)?.into();
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_is_made_and_opened_and_no_link_and_no_path_leads_out() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        std::fs::create_dir(&root).unwrap();
        assert!(open_beneath(&root, Path::new("a/b"), Missing::Refuse).is_err() && !root.join("a").exists());
        open_beneath(&root, Path::new("a/b"), Missing::Make).unwrap();
        open_beneath(&root, Path::new("a/b"), Missing::Refuse).unwrap();
        open_beneath(&root, Path::new(""), Missing::Make).unwrap();
        assert!(root.join("a/b").is_dir());
        symlink("../..", root.join("a/up")).unwrap();
        symlink("b", root.join("a/same")).unwrap();
        std::fs::write(root.join("file"), "").unwrap();
        for inside in ["a/up", "a/up/x", "a/same", "../x", "a/../../x", "/", "/etc", "file", "."] {
            assert!(open_beneath(&root, Path::new(inside), Missing::Make).is_err(), "{inside}");
        }
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
    }
}
