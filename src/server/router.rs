//! Which application serves a request. One for now; the choice by host name and path prefix will stand here.

use hyper::Response;

use super::static_files::{FileBody, StaticFolder};
use crate::{environ::Head, exchange::Route};

/// The applications of a worker.
pub struct Router {
    route: Route,
    static_folders: Vec<StaticFolder>,
}

impl Router {
    /// Every request that is not for a static file goes to one application.
    #[must_use]
    pub fn new(route: Route, static_folders: Vec<StaticFolder>) -> Self {
        Self { route, static_folders }
    }

    /// The file that a request asks for, if the host serves it.
    pub(super) async fn file(&self, head: &Head) -> Option<Response<FileBody>> {
        for folder in &self.static_folders {
            if let Some(response) = folder.respond(head.parts()).await {
                return Some(response);
            }
        }
        None
    }

    /// The application of a request.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Drops instances that have been idle for too long.
    pub(super) fn retire_idle(&self) {
        self.route.app.retire_idle();
    }
}
