//! Which application serves a request. One for now; the choice by host name and path prefix will stand here.

use crate::exchange::Route;

/// The applications of a worker.
pub struct Router {
    route: Route,
}

impl Router {
    /// Every request goes to one application.
    #[must_use]
    pub fn new(route: Route) -> Self {
        Self { route }
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
