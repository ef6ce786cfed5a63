//! Micro-benchmarks of the parts that a request goes through: its head, its environ, the boundary to the guest and back. `make micro` prints them.
//!
//! The boundary is a whole exchange without HTTP: [`wasgi::exchange::run`] of the smallest guest in Rust, and its body read to the end.

#![allow(missing_docs, reason = "criterion's macros")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot begin says why and ends")]

use std::{path::Path, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use http_body_util::{BodyExt, Empty};
use tokio::sync::mpsc;
use wasgi::{
    AppOptions, Artifacts, Engine, Isolation, Limits, Mount, Route, Start, TenantId, TenantLog, Uploads,
    environ::{Environ, Head, Local, Peer, Surroundings},
    exchange::{self, Request, Tasks},
    framing::{Framed, Framer, Rules},
    sandbox::Rewinder,
};

const SHORT: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";
const BROWSERS: &[u8] = b"GET /shop/items?page=2&sort=price HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) \
Gecko/20100101 Firefox/140.0\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://shop.example/\r\nConnection: keep-alive\r\nCookie: session=c2Vzc2lvbg; theme=dark\r\n\
Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nPriority: u=0, i\r\n\r\n";

fn peer() -> Peer {
    Peer(([127, 0, 0, 1], 50_000).into())
}

fn local() -> Local {
    Local(([127, 0, 0, 1], 8000).into())
}

/// The head of one request, from its bytes.
fn head(rules: &Arc<Rules>, bytes: &[u8]) -> Box<Head> {
    let mut framer = Framer::new(Arc::clone(rules), peer());
    framer.received().extend_from_slice(bytes);
    match framer.advance() {
        Ok(Framed::Request(Ok(head), _)) => head,
        other => panic!("no head: {other:?}"),
    }
}

fn pure(criterion: &mut Criterion) {
    let (rules, mount) = (Arc::new(Rules::default()), Mount::default());
    let around = Surroundings { local: local(), mount: &mount, run_once: true, request_id: "4f9c2e7a" };
    for (name, bytes) in [("short", SHORT), ("a browser's", BROWSERS)] {
        criterion.bench_function(&format!("head, {name}"), |bencher| bencher.iter(|| head(&rules, bytes)));
        let head = head(&rules, bytes);
        criterion.bench_function(&format!("environ, {name}"), |bencher| bencher.iter(|| Environ::new(&head, &around).unwrap()));
    }
}

/// One exchange; the bytes of its body.
async fn exchanged(route: &Route, rules: &Arc<Rules>, tasks: &Tasks) -> usize {
    let (hints, _hinted) = mpsc::channel(1);
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request { head: *head(rules, SHORT), body, local: local(), id: "4f9c2e7a".to_owned(), hints };
    let answer = exchange::run(route, request, (), |_| {}, tasks).await.unwrap();
    assert_eq!(answer.reply.status.code, 200);
    answer.body.collect().await.unwrap().to_bytes().len()
}

fn boundary(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a benchmark is no host")]
    let guests = std::env::var("WASGI_TEST_GUESTS").unwrap_or_else(|_| panic!("WASGI_TEST_GUESTS is not set: run `make micro`"));
    let (cache, rules, limits) = (tempfile::tempdir().unwrap(), Arc::new(Rules::default()), Limits::default());
    for (name, isolation) in [("new", Isolation::Request), ("rewound", Isolation::Rewind), ("reused", Isolation::Reuse)] {
        let engine = Engine::new(&limits).unwrap().with_rewinder(Rewinder::open(false));
        let mut options = AppOptions::new(TenantLog::new(TenantId::of("micro"), &limits));
        options.isolation = isolation;
        let artifacts = Artifacts::new(cache.path()).unwrap();
        let file = Path::new(&guests).join("hello.wasm");
        let loaded = runtime.block_on(artifacts.app(&engine, &file, options, Start::Released)).unwrap();
        assert_eq!(loaded.app.isolation(), isolation);
        let (route, tasks) = (Route { app: Arc::new(loaded.app), mount: Mount::default(), uploads: Uploads::Streamed }, Tasks::default());
        criterion.bench_function(&format!("exchange, instance {name}"), |bencher| {
            bencher.iter(|| runtime.block_on(exchanged(&route, &rules, &tasks)));
        });
    }
}

criterion_group!(benches, pure, boundary);
criterion_main!(benches);
