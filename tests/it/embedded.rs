//! The host as a library, in the process of another program.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};
use wasgi::{
    AppOptions, Artifacts, Bells, Callers, Config, Engine, Errors, Limits, Mount, Proxies, Route, Router, Server, Site, Start, Table,
    TenantId, TenantLog, Uploads,
};

use crate::support::{DEADLINE, guest};

#[tokio::test]
async fn a_server_is_bound_asked_and_stopped_within_a_program() {
    let cache = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    let engine = Engine::new(&limits).unwrap();
    let options = AppOptions::new(TenantLog::new(TenantId::of("embedded"), &limits));
    let artifacts = Artifacts::new(cache.path()).unwrap();
    let loaded = artifacts.app(&engine, &guest("behaviours"), options, Start::Released).await.unwrap();
    let route = Route { app: Arc::new(loaded.app), mount: Mount::default(), uploads: Uploads::Streamed };
    let bind = vec![([127, 0, 0, 1], 0).into(), ([127, 0, 0, 1], 0).into()];
    let server = Server::bind(Config {
        bind,
        router: Arc::new(Router::new(Table::of_one(Site::ready(route, Vec::new())))),
        limits,
        bells: Bells::default(),
        callers: Callers::alone(),
        stop_grace: Duration::from_secs(5),
        errors: Errors::Hidden,
        proxies: Proxies::default(),
    })
    .unwrap();
    let addresses = server.local_addr().to_vec();
    let (stop, stopped) = oneshot::channel::<()>();

    let client = async {
        let mut replies = Vec::new();
        for address in addresses {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.unwrap();
            replies.push(reply);
        }
        stop.send(()).unwrap();
        replies
    };
    let both = async { tokio::join!(server.run(async { drop(stopped.await) }), client) };
    let ((), replies) = timeout(DEADLINE, both).await.unwrap();

    assert_eq!(replies.len(), 2);
    for reply in replies {
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n") && reply.ends_with("\r\n\r\nhello\n"), "{reply}");
    }
}
