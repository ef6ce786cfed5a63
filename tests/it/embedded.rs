//! The host as a library, in the process of another program.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};
use wasgi::{App, AppOptions, Artifacts, Config, Engine, Isolation, Limits, Mount, Route, Server, TenantId, TenantLog, Uploads};

use crate::support::{DEADLINE, guest};

#[tokio::test]
async fn a_server_is_bound_asked_and_stopped_within_a_program() {
    let cache = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    let engine = Engine::new(&limits).unwrap();
    let loaded = Artifacts::new(cache.path()).unwrap().load(&engine, &guest("behaviours"), &limits).unwrap();
    let log = TenantLog::new(TenantId::of("embedded"), &limits);
    let options = AppOptions { log, limits, isolation: Isolation::Request, files: loaded.files };
    let app = Arc::new(App::new(&engine, &loaded.component, options).unwrap());
    let route = Route { app, mount: Mount::default(), uploads: Uploads::Streamed };
    let bind = vec![([127, 0, 0, 1], 0).into(), ([127, 0, 0, 1], 0).into()];
    let server = Server::bind(Config { bind, route, stop_grace: Duration::from_secs(5) }).unwrap();
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
