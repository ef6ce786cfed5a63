//! What of an application the host serves itself.

use std::path::Path;

use super::Meta;
use crate::{
    sandbox::{AppOptions, Missing},
    server::StaticFolder,
};

/// The folders that the host serves of an application. Where they lie is a file's word, and what is in `/data` a guest's. With it, what
/// its author should know.
#[must_use]
pub fn static_folders(meta: Option<&Meta>, options: &AppOptions, mount: &str) -> (Vec<StaticFolder>, Vec<String>) {
    let read_only = options.files.iter().map(|folder| (&folder.guest, &folder.host, Path::new(""), Missing::Refuse));
    let kept = options
        .storage
        .iter()
        .flat_map(|storage| storage.folders.iter().map(|kept| (&kept.guest, &storage.root, kept.inside.as_path(), Missing::Make)));
    let volumes: Vec<_> = read_only.chain(kept).collect();
    let (mut folders, mut warnings) = (Vec::new(), Vec::new());
    for files in meta.iter().flat_map(|meta| &meta.static_files) {
        let inside = |guest: &str| {
            let rest = files.root.strip_prefix(guest)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
        };
        let found =
            volumes.iter().filter_map(|(guest, root, path, missing)| Some((guest.len(), root, path.join(inside(guest)?), *missing)));
        let Some((_, root, path, missing)) = found.max_by_key(|(length, ..)| *length) else {
            warnings.push(format!("{} is not served: {} is not there (`--data` gives /data)", files.url, files.root));
            continue;
        };
        let url = format!("{mount}{}", files.url);
        match StaticFolder::new(&url, root, &path, missing) {
            Ok(folder) => folders.push(folder),
            Err(error) => warnings.push(format!("{url} is not served: {}: {error}", files.root)),
        }
    }
    (folders, warnings)
}
