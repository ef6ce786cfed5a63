//! `wasgi inspect`.

use std::io::Write as _;

use sha2::{Digest, Sha256};

use super::{args, build::plain, fault::Failure};
use crate::{
    artifact::{self, ArtifactFault, Meta, Parts, Summary},
    limits::{Amount, Limits},
    sandbox,
};

/// What an application may touch: the whole of it, until a configuration grants more.
pub(super) const MAY_TOUCH: &str = "its own files (read), a private /tmp; no network, no host file, no host environment";

const WORLD: &str = "wasgi:gateway/app@0.1.0";
const EXPORT: &str = "wasgi:gateway/application@0.1.0";

pub(super) fn run(typed: &args::Inspect) -> Result<(), Failure> {
    let limits = Limits::ceiling();
    let bytes = artifact::read(&typed.file, &limits).map_err(|error| Failure::of(&error))?;
    let shaped = |shape| Failure::of(&ArtifactFault::Shape { path: typed.file.clone(), shape });
    let parts = artifact::parts(&bytes).map_err(shaped)?;
    let summary = artifact::summary(parts.component).map_err(shaped)?;
    let meta = Meta::of(parts).map_err(shaped)?;
    let digest = artifact::hex(&Sha256::digest(&bytes));
    let said = if typed.json {
        json(&bytes, parts, &summary, meta.as_ref(), &digest)
    } else {
        plain(&text(&bytes, parts, &summary, meta.as_ref(), &digest))
    };
    std::io::stdout().write_all(said.as_bytes()).map_err(|error| Failure::of(&error))
}

fn world(summary: &Summary) -> Option<&'static str> {
    summary.exports.iter().any(|export| export == EXPORT).then_some(WORLD)
}

/// What it would have where its operator says nothing.
fn limits(meta: Option<&Meta>) -> Limits {
    meta.map_or_else(Limits::default, |meta| Limits::default().within(&meta.limits))
}

fn json(bytes: &[u8], parts: Parts<'_>, summary: &Summary, meta: Option<&Meta>, digest: &str) -> String {
    let would = limits(meta);
    let limits: serde_json::Map<_, _> = Limits::TABLE.iter().map(|limit| (limit.name.to_owned(), limit.get(&would).into())).collect();
    let value = serde_json::json!({
        "digest": format!("sha256:{digest}"),
        "world": world(summary),
        "imports": summary.imports,
        "exports": summary.exports,
        "bytes": {
            "file": bytes.len(),
            "component": parts.component.len(),
            "modules": summary.modules,
            "bundle": parts.bundle.map_or(0, <[u8]>::len),
        },
        "limits": limits,
        "may_touch": MAY_TOUCH,
        "not_rewound": sandbox::rewindable(parts.component).err().map(|why| why.to_string()),
        "meta": meta,
    });
    format!("{value:#}\n")
}

fn text(bytes: &[u8], parts: Parts<'_>, summary: &Summary, meta: Option<&Meta>, digest: &str) -> String {
    let mut lines = Vec::new();
    let mut line = |word: &str, text: String| lines.push(format!("{word:>10}  {text}\n"));
    if let Some(meta) = meta {
        line("name", meta.name.clone());
        line("source", meta.source.clone());
        line("builder", meta.builder.clone());
    }
    line("digest", format!("sha256:{digest}"));
    line("world", world(summary).map_or_else(|| format!("none that wasgi serves: it does not export {EXPORT}"), str::to_owned));
    line("size", megabytes(u64::try_from(bytes.len()).unwrap_or(u64::MAX)));
    let size = |bytes: usize| megabytes(u64::try_from(bytes).unwrap_or(u64::MAX));
    line("component", format!("{} in {} core modules", size(parts.component.len()), summary.modules.len()));
    line("bundle", parts.bundle.map_or_else(|| "none".to_owned(), |bundle| format!("{} compressed", size(bundle.len()))));
    for import in &summary.imports {
        line("imports", import.clone());
    }
    for export in &summary.exports {
        line("exports", export.clone());
    }
    line("touches", MAY_TOUCH.to_owned());
    line(
        "rewind",
        sandbox::rewindable(parts.component).map_or_else(|why| format!("no: {why}"), |_| "can be (`--isolation rewind`)".to_owned()),
    );
    for (limit, asked) in meta.iter().flat_map(|meta| meta.limits.asked()) {
        line("asks for", format!("{} of at most {}", limit.key(), Amount(asked, limit.unit)));
    }
    let limits = limits(meta);
    for limit in Limits::TABLE {
        line("limit", format!("--{} {}", limit.flag, Amount(limit.get(&limits), limit.unit)));
    }
    for warning in meta.into_iter().flat_map(|meta| &meta.warnings) {
        line("warning", warning.clone());
    }
    lines.concat()
}

/// Bytes, for people.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn megabytes(bytes: u64) -> String {
    if bytes < 1 << 20 { format!("{:.1} KiB", bytes as f64 / 1024.0) } else { format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)) }
}
