//! What each path of the admin listener answers.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, body::Incoming, header};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::{Operator, metrics};
use crate::{
    exchange::Tasks,
    fault::Outcome,
    ledger::{Counter, Gauge, Ledger, monotonic_ns},
    supervisor::{Host, Live, Status},
};

/// The longest body of a request.
const BODY_BYTES: usize = 1 << 20;

pub(super) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

pub(super) async fn answer<O: Operator>(request: Request<Incoming>, host: &Host, operator: &Arc<O>, tasks: &Tasks) -> Answer {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().trim_matches('/').to_owned();
    let segments: Vec<_> = path.split('/').collect();
    match (parts.method.clone(), segments.as_slice()) {
        (Method::GET, ["livez"]) => text(StatusCode::OK, "ok\n"),
        (Method::GET, ["readyz" | "healthz"]) => ready(host, parts.uri.query()),
        (Method::GET, ["version"]) => text(StatusCode::OK, concat!("wasgi ", env!("CARGO_PKG_VERSION"), "\n")),
        (Method::GET, ["metrics"]) => {
            let mut answer = text(StatusCode::OK, metrics(host));
            answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
            answer
        }
        (Method::GET, ["tenants"]) => data(&tenants(host)),
        (Method::GET, ["workers"]) => data(&json!({ "walls": host.held().map(|held| held.to_string()), "workers": host.workers() })),
        (Method::GET, ["logs", tenant]) => logs(host, tenant, parts.uri.query() == Some("follow")),
        (Method::POST, ["reload"]) => whole(tasks, operator, |operator| async move { said(operator.reload().await) }).await,
        (Method::POST, ["apps"]) => match table(body, &parts.headers).await {
            Ok(table) => whole(tasks, operator, |operator| async move { said(operator.deploy(table).await) }).await,
            Err(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
        },
        (Method::DELETE, ["apps", tenant, app]) => {
            let (tenant, app) = ((*tenant).to_owned(), (*app).to_owned());
            whole(tasks, operator, |operator| async move { operator.undeploy(tenant, app).await.map_or_else(unknown, said) }).await
        }
        (Method::POST, ["apps", tenant, app, verb @ ("suspend" | "resume")]) => {
            let (tenant, app, suspended) = ((*tenant).to_owned(), (*app).to_owned(), *verb == "suspend");
            whole(tasks, operator, |operator| async move { operator.suspend(tenant, app, suspended).await.map_or_else(unknown, said) })
                .await
        }
        _ => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

/// Does all that was asked for, though whoever asked may leave meanwhile.
async fn whole<O: Operator, F>(tasks: &Tasks, operator: &Arc<O>, change: impl FnOnce(Arc<O>) -> F) -> Answer
where
    F: Future<Output = Answer> + Send + 'static,
{
    let done = tasks.spawn(change(Arc::clone(operator))).await;
    done.ok().flatten().unwrap_or_else(|| text(StatusCode::SERVICE_UNAVAILABLE, "the host is stopping\n"))
}

/// Without the token.
pub(super) fn refused() -> Answer {
    let mut answer = text(StatusCode::UNAUTHORIZED, "a token is needed: Authorization: Bearer …\n");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    answer
}

fn unknown() -> Answer {
    text(StatusCode::NOT_FOUND, "there is no such application\n")
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn data(value: &Value) -> Answer {
    let mut answer = text(StatusCode::OK, format!("{value}\n"));
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}

/// What was asked for was done, or why it was not.
fn said(done: Result<String, String>) -> Answer {
    match done {
        Ok(done) => text(StatusCode::OK, format!("{}\n", done.trim_end())),
        Err(why) => text(StatusCode::UNPROCESSABLE_ENTITY, format!("{}\n", why.trim_end())),
    }
}

async fn table(body: Incoming, fields: &HeaderMap) -> Result<String, String> {
    // A page of another origin can send a form, and no such type.
    let kind = fields.get(header::CONTENT_TYPE).map(header::HeaderValue::as_bytes);
    if kind != Some(b"application/toml") {
        return Err("the body is to be application/toml".to_owned());
    }
    let body = Limited::new(body, BODY_BYTES).collect().await.map_err(|error| error.to_string())?;
    String::from_utf8(body.to_bytes().into()).map_err(|_| "the body is no UTF-8".to_owned())
}

fn ready(host: &Host, query: Option<&str>) -> Answer {
    let (ready, workers) = (host.is_ready(), host.workers());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if query == Some("verbose") {
        let lines = workers.iter().map(|worker| format!("worker {} {}\n", worker.worker, if worker.ready { "ok" } else { "not ready" }));
        let failed = host.status().into_iter().filter_map(|status| {
            status.error.map(|error| format!("app {}/{}: {}\n", status.tenant, status.app, error.lines().next().unwrap_or_default()))
        });
        return text(status, lines.chain(failed).collect::<String>());
    }
    text(status, if ready { "ok\n" } else { "not ready\n" })
}

/// What each tenant uses, and each of its applications.
fn tenants(host: &Host) -> Value {
    let ((tenants, live), status) = (host.rows(), host.status());
    let mut rows: BTreeMap<_, _> = status.iter().map(|status| (status.tenant.clone(), None)).collect();
    rows.extend(tenants.into_iter().map(|(tenant, ledger, row)| (tenant.to_string(), Some((ledger, row)))));
    let tenant = |(name, row): (&String, &Option<(Arc<Ledger>, usize)>)| {
        let own: Vec<_> = live.iter().filter(|live| live.name.tenant.as_str() == name).collect();
        let apps: Vec<_> = status.iter().filter(|status| status.tenant == *name).map(|status| app(host, status, &own)).collect();
        let level = |gauge| row.as_ref().map_or(0, |(ledger, row)| ledger.level(*row, gauge));
        let sum = |counter| row.as_ref().map_or(0, |(ledger, row)| ledger.sum(*row, counter));
        json!({
            "tenant": name,
            "running": level(Gauge::Running),
            "waiting": level(Gauge::Waiting),
            "memory_bytes": level(Gauge::Memory),
            "instances": level(Gauge::Instances),
            "idle": level(Gauge::Idle),
            "cpu_s": seconds(sum(Counter::CpuNs)),
            "log_bytes_dropped": sum(Counter::LogBytesDropped).saturating_add(host.logs().dropped(name)),
            "budget": own.first().map(|live| &live.wish.terms.limits),
            "apps": apps,
        })
    };
    rows.iter().map(tenant).collect()
}

fn app(host: &Host, status: &Status, live: &[&Live]) -> Value {
    let mut value = json!(status);
    let live = live.iter().find(|live| live.name.app == status.app);
    if let (Some(Live { site, group, wish, .. }), Some(object)) = (live, value.as_object_mut()) {
        let ledger = host.ledger(group);
        let requests: BTreeMap<_, _> = Outcome::ALL
            .into_iter()
            .map(|outcome| (outcome.as_str(), ledger.sum(site.row, Counter::Requests(outcome))))
            .filter(|(_, count)| *count > 0)
            .collect();
        let cooling = ledger.account(site.row, 0).is_some_and(|row| row.latest(Gauge::CoolUntil) > monotonic_ns());
        object.insert("requests".to_owned(), json!(requests));
        object.insert("cpu_s".to_owned(), json!(seconds(ledger.sum(site.row, Counter::CpuNs))));
        object.insert("bytes_in".to_owned(), json!(ledger.sum(site.row, Counter::BytesIn)));
        object.insert("bytes_out".to_owned(), json!(ledger.sum(site.row, Counter::BytesOut)));
        object.insert("cooling_down".to_owned(), json!(cooling));
        object.insert("isolation".to_owned(), json!(wish.terms.isolation));
        object.insert("rewound".to_owned(), json!(ledger.sum(site.row, Counter::Rewound)));
        object.insert("discarded".to_owned(), json!(ledger.sum(site.row, Counter::Discarded)));
        object.insert("group".to_owned(), json!(group));
    }
    value
}

fn seconds(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64()
}

/// A tenant's last lines, and, to who follows, those to come.
fn logs(host: &Host, tenant: &str, follow: bool) -> Answer {
    if !host.status().iter().any(|status| status.tenant == tenant) {
        return text(StatusCode::NOT_FOUND, "there is no such tenant\n");
    }
    let tail = host.logs().follow(tenant);
    let last: String = tail.last.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    if !follow {
        return text(StatusCode::OK, last);
    }
    let lines = stream::unfold((Some(last), tail.next), |(first, mut next)| async move {
        let line = match first {
            Some(first) => first,
            None => match next.recv().await {
                Ok(line) => format!("{line}\n"),
                Err(RecvError::Lagged(missed)) => format!("[{missed} lines were missed]\n"),
                Err(RecvError::Closed) => return None,
            },
        };
        Some((Ok(Frame::data(Bytes::from(line))), (None, next)))
    });
    let mut answer = Response::new(StreamBody::new(lines).boxed_unsync());
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}
