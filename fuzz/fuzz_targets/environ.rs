//! Requests of all kinds: an environ has native strings and no name twice, or the request is refused.
#![no_main]
#![allow(dead_code, unreachable_pub, unused_imports, reason = "a part of the crate, included by path")]

#[path = "../../src/environ/mod.rs"]
mod environ;
#[path = "../../src/fault.rs"]
mod fault;
#[path = "../../src/tenant.rs"]
mod tenant;

use environ::{Environ, Head, Local, Peer, Proxies, Surroundings};
use http::{HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use tenant::Mount;

fuzz_target!(|input: (Vec<u8>, Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>, String)| {
    let (method, target, fields, mount) = input;
    let mut request = Request::builder().method(method.as_slice()).uri(target.as_slice());
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&name), HeaderValue::from_bytes(&value)) {
            request = request.header(name, value);
        }
    }
    let (Ok(request), Ok(mount)) = (request.body(()), Mount::new(&mount)) else { return };
    let (head, ()) = request.into_parts();
    let address = ([127, 0, 0, 1], 8000).into();
    let around = Surroundings { local: Local(address), mount: &mount, run_once: true, request_id: "id" };
    let head = Head::new(head, Peer(address), &Proxies::default());
    if let Ok(environ) = head.and_then(|head| Environ::new(&head, &around)) {
        let pairs = environ.into_pairs();
        let names: std::collections::HashSet<_> = pairs.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), pairs.len());
        assert!(pairs.iter().all(|(name, value)| name.chars().chain(value.chars()).all(|c| c <= '\u{ff}')));
    }
});
