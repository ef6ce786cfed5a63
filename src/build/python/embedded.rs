//! The Python SDK and the WIT package, inside this program: a build needs no other file of this repository.

use std::{fs, io, path::Path};

macro_rules! files {
    ($($name:literal = $path:literal,)+) => {
        &[$(($name, include_str!(concat!("../../../", $path))),)+]
    };
}

const SDK: &[(&str, &str)] = files! {
    "wasgi/__init__.py" = "guest/python/wasgi/__init__.py",
    "wasgi/body.py" = "guest/python/wasgi/body.py",
    "wasgi/chunk.py" = "guest/python/wasgi/chunk.py",
    "wasgi/database.py" = "guest/python/wasgi/database.py",
    "wasgi/environ.py" = "guest/python/wasgi/environ.py",
    "wasgi/errors.py" = "guest/python/wasgi/errors.py",
    "wasgi/event_loop.py" = "guest/python/wasgi/event_loop.py",
    "wasgi/exc_info.py" = "guest/python/wasgi/exc_info.py",
    "wasgi/file_wrapper.py" = "guest/python/wasgi/file_wrapper.py",
    "wasgi/find.py" = "guest/python/wasgi/find.py",
    "wasgi/frameworks.py" = "guest/python/wasgi/frameworks.py",
    "wasgi/gateway.py" = "guest/python/wasgi/gateway.py",
    "wasgi/hashing.py" = "guest/python/wasgi/hashing.py",
    "wasgi/heap.py" = "guest/python/wasgi/heap.py",
    "wasgi/hooks.py" = "guest/python/wasgi/hooks.py",
    "wasgi/input.py" = "guest/python/wasgi/input.py",
    "wasgi/missing.py" = "guest/python/wasgi/missing.py",
    "wasgi/randomness.py" = "guest/python/wasgi/randomness.py",
    "wasgi/release.py" = "guest/python/wasgi/release.py",
    "wasgi/rewind.py" = "guest/python/wasgi/rewind.py",
    "wasgi/runtime.py" = "guest/python/wasgi/runtime.py",
    "wasgi/secret_watch.py" = "guest/python/wasgi/secret_watch.py",
    "wasgi/start_response.py" = "guest/python/wasgi/start_response.py",
    "wasgi/threads.py" = "guest/python/wasgi/threads.py",
    "wasgi/warm.py" = "guest/python/wasgi/warm.py",
};

const WIT: &[(&str, &str)] = files! {
    "gateway.wit" = "wit/gateway.wit",
    "python.wit" = "wit/python.wit",
    "rewind.wit" = "wit/rewind.wit",
};

/// All of them, for a digest.
pub(super) fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    SDK.iter().chain(WIT).copied()
}

/// Writes the SDK to `sdk` and the WIT package to `wit`.
pub(super) fn write(sdk: &Path, wit: &Path) -> io::Result<()> {
    for (folder, files) in [(sdk, SDK), (wit, WIT)] {
        for (name, text) in files {
            let file = folder.join(name);
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(file, text)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_sdk_and_of_the_wit_package_is_embedded() {
        let names = |folder: &str, ending: &str| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.retain(|name| name.ends_with(ending));
            names.sort();
            names
        };
        let embedded =
            |files: &[(&str, &str)]| files.iter().map(|(name, _)| name.trim_start_matches("wasgi/").to_owned()).collect::<Vec<_>>();
        assert_eq!(embedded(SDK), names("guest/python/wasgi", ".py"));
        assert_eq!(embedded(WIT), names("wit", ".wit"));
    }
}
