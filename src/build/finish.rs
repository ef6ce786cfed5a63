//! The end of every build: the component, what is said of it and its files become one file, written whole or not at all.

use std::{fs, io, path::Path, time::Instant};

use super::{BuildFault, Built};
use crate::{
    artifact::{self, Artifacts, BUNDLE, Bundle, Custom, META, Meta, Parts},
    sandbox::Report,
};

/// How long it took, and how large it is.
pub(super) fn seconds_since(started: Instant, bytes: usize) -> String {
    format!("{:.1} MiB in {:.1} s", mib(bytes), started.elapsed().as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

pub(super) fn finished(output: &Path, meta: Meta, report: Option<Report>) -> Result<Built, BuildFault> {
    let bytes = fs::metadata(output).map_err(BuildFault::io(output))?.len();
    Ok(Built { output: output.to_owned(), meta, bytes, fresh: report.is_some(), report })
}

/// The cache, private, and for this build alone: tools are run from it, and two builds at once would install the same things over each other.
pub(super) fn alone(cache: &Path) -> Result<fs::File, BuildFault> {
    Artifacts::new(cache).map_err(|fault| BuildFault::new(fault.to_string(), "", ""))?;
    let path = cache.join("build.lock");
    let locked = fs::File::create(&path).and_then(|file| file.lock().map(|()| file));
    locked.map_err(BuildFault::io(&path))
}

/// One file. What would not be served is not written.
pub(super) fn pack(component: Vec<u8>, meta: &Meta, folders: &[(&str, &Path)]) -> Result<Vec<u8>, BuildFault> {
    let unpacked =
        |source| BuildFault::Failed { what: "the files could not be packed".into(), detail: format!("{source}"), hint: String::new() };
    let meta = serde_json::to_vec(meta).map_err(|error| unpacked(io::Error::other(error)))?;
    Meta::of(Parts { component: &component, meta: Some(&meta), bundle: None }).map_err(|shape| {
        let what = "the application says more of itself than a host would keep";
        BuildFault::new(what, shape.to_string(), "have fewer or shorter entries in [env] and [static] of wasgi.toml")
    })?;
    if folders.is_empty() {
        return Ok(artifact::append(component, &[Custom { name: META, data: &meta }]));
    }
    let bundle = Bundle::pack(folders).map_err(unpacked)?;
    Ok(artifact::append(component, &[Custom { name: META, data: &meta }, Custom { name: BUNDLE, data: &bundle }]))
}

/// Whole, or not at all.
pub(super) fn write(output: &Path, bytes: &[u8]) -> Result<(), BuildFault> {
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fault = |source| BuildFault::Io { path: output.to_owned(), source };
    fs::create_dir_all(folder).map_err(fault)?;
    let mut file = tempfile::Builder::new().prefix(".wasgi-").tempfile_in(folder).map_err(fault)?;
    io::Write::write_all(&mut file, bytes).map_err(fault)?;
    fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).map_err(fault)?;
    file.persist(output).map_err(|error| fault(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_host_would_keep_is_not_written() {
        let meta = |count: usize| Meta { environment: (0..count).map(|n| (format!("N{n}"), String::new())).collect(), ..Meta::default() };
        let written = pack(b"\0asm\x0d\0\x01\0".to_vec(), &meta(64), &[]).unwrap();
        assert_eq!(Meta::of(artifact::parts(&written).unwrap()).unwrap(), Some(meta(64)));
        let fault = pack(Vec::new(), &meta(65), &[]).unwrap_err();
        assert!(fault.to_string().contains("more of itself than a host would keep"), "{fault}");
    }
}
