//! Static files, served by the host: no guest runs for them. Conditions, ranges and types are hyper-staticfile's; what a path may reach is
//! decided here, by the kernel: a file is opened beneath its folder, through no link at all.
//!
//! What is not there is the application's to answer.

use std::{fs::File, future::Future, io, os::fd::OwnedFd, path::Path, pin::Pin, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use hyper::Response;
use hyper_staticfile::{
    Body, ResolveResult, Resolver,
    util::FileResponseBuilder,
    vfs::{FileOpener, FileWithMetadata},
};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use crate::sandbox::{Missing, open_beneath};

/// Ranges of one request; more of them are no download that goes on, and the whole file is sent.
const RANGES: usize = 4;

/// A folder of files under a path of URLs.
#[derive(Clone)]
pub struct StaticFolder {
    url: String,
    resolver: Arc<Resolver<Beneath>>,
}

/// What is sent.
pub(super) type FileBody = Body<hyper_staticfile::vfs::TokioFileAccess>;

impl StaticFolder {
    /// Serves the files in the folder `inside` of `root` under the path `url`, which begins and ends with `/`. `missing` is
    /// for what of `inside` is not there.
    ///
    /// # Errors
    /// When it cannot be opened, or leads out of `root`.
    pub fn new(url: &str, root: &Path, inside: &Path, missing: Missing) -> io::Result<Self> {
        let folder = Beneath(Arc::new(open_beneath(root, inside, missing)?.into()));
        Ok(Self { url: url.to_owned(), resolver: Arc::new(Resolver::with_opener(folder)) })
    }

    /// Where its URLs begin.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The response to `head`, if it asks for a file that is here.
    pub(super) async fn respond(&self, head: &Parts) -> Option<Response<FileBody>> {
        let path = head.uri.path().strip_prefix(&self.url)?;
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return None;
        }
        let found = self.resolver.resolve_path(path, hyper_staticfile::AcceptEncoding::none()).await;
        let Ok(ResolveResult::Found(file)) = found else { return None };
        let mut response = FileResponseBuilder::new().request_parts(&head.method, &conditions(&head.headers)).build(file).ok()?;
        let fields = response.headers_mut();
        // A type that is not known is none that a browser should guess.
        fields.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/octet-stream"));
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(tag) = fields.get(header::ETAG).cloned()
            && is_known(&head.headers, &tag)
        {
            let mut unchanged = Response::new(Body::Empty);
            *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
            unchanged.headers_mut().insert(header::ETAG, tag);
            return Some(unchanged);
        }
        Some(response)
    }
}

/// The fields that decide: If-None-Match comes before If-Modified-Since (RFC 9110, section 13.2.2), and only few ranges are taken.
fn conditions(fields: &HeaderMap) -> HeaderMap {
    let mut fields = fields.clone();
    if fields.contains_key(header::IF_NONE_MATCH) {
        fields.remove(header::IF_MODIFIED_SINCE);
    }
    if fields.get(header::RANGE).is_some_and(|range| range.as_bytes().split(|byte| *byte == b',').count() > RANGES) {
        fields.remove(header::RANGE);
    }
    fields
}

/// Whether If-None-Match names the tag (RFC 9110, section 13.1.2: the weak comparison).
fn is_known(fields: &HeaderMap, tag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(tag) = tag.to_str().map(opaque) else { return false };
    let lists = fields.get_all(header::IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|known| known.trim() == "*" || opaque(known) == tag)
}

/// Opens files beneath a folder.
struct Beneath(Arc<OwnedFd>);

impl FileOpener for Beneath {
    type File = tokio::fs::File;
    type Future = Pin<Box<dyn Future<Output = io::Result<FileWithMetadata<Self::File>>> + Send>>;

    fn open(&self, path: &Path) -> Self::Future {
        let (folder, path) = (Arc::clone(&self.0), path.to_owned());
        Box::pin(async move {
            let open = move || {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
                let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
                let file = File::from(openat2(&*folder, &path, flags, Mode::empty(), beneath)?);
                let status = file.metadata()?;
                if status.is_file() { Ok((file, status)) } else { Err(io::Error::from(io::ErrorKind::NotFound)) }
            };
            let (file, status) = tokio::task::spawn_blocking(open).await??;
            Ok(FileWithMetadata { handle: file.into(), size: status.len(), modified: status.modified().ok(), is_dir: false })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_in_a_list_weak_or_not() {
        let known = |list: &'static str| {
            let fields = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(list))]);
            is_known(&fields, &HeaderValue::from_static("W/\"a\""))
        };
        assert_eq!([known("\"b\", W/\"a\""), known("\"a\""), known("*"), known("\"b\""), known("")], [true, true, true, false, false]);
    }

    #[test]
    fn ranges_are_taken_under_and_at_their_number_and_not_over_it() {
        let kept = |range: &'static str| conditions(&HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(range))])).len();
        assert_eq!([kept("bytes=0-1"), kept("bytes=0-1,2-3,4-5,6-7"), kept("bytes=0-1,2-3,4-5,6-7,8-9")], [1, 1, 0]);
    }
}
