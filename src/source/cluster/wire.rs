//! What a watcher of kube-runtime says nothing about: when bytes arrive, and requests without an answer.
//!
//! A watcher gives no event for a bookmark, nor when a watch begins, ends and begins again. Each of these
//! shows that the watch works, so they are seen here, in the HTTP responses below the watcher. Here too,
//! requests get a deadline, and a watch that ends as soon as it began becomes an error: a watcher would
//! start it again without a pause.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::{Request, Response};
use kube::client::Body;
use tokio::time::{Instant, timeout, timeout_at};
use tower::BoxError;

use super::watch_health::WatchHealth;

/// How long a page of a list may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one object, or the beginning of a watch, may take.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A watch that stays open for this long works, even where nothing happens.
const SETTLED: Duration = Duration::from_secs(1);

/// What is wrong with a response that kube would wait for or pass over.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum WireError {
    /// Nothing was answered in this time.
    #[error("no answer in {} s", .0.as_secs())]
    TimedOut(Duration),
    /// A watch ended before anything was sent.
    #[error("the watch ended at once")]
    ClosedImmediately,
}

/// A client for one watcher, which records in `health` what arrives.
pub(super) fn observed(client: kube::Client, health: Arc<WatchHealth>) -> kube::Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, health) = (client.clone(), health.clone());
        // kube marks each request with the verb of its API.
        let is_watch = request.extensions().get::<&'static str>() == Some(&"watch");
        async move {
            match is_watch {
                true => watch(client, health, request).await,
                false => page(client, request).await,
            }
        }
    });
    kube::Client::new(service, namespace)
}

type Chunks = stream::BoxStream<'static, Result<Frame<Bytes>, BoxError>>;

async fn page(
    client: kube::Client,
    request: Request<Body>,
) -> Result<Response<StreamBody<Chunks>>, BoxError> {
    let page = async {
        let (head, body) = client.send(request).await?.into_parts();
        Ok::<_, kube::Error>((head, body.collect_bytes().await?))
    };
    let (head, bytes) =
        timeout(PAGE_TIMEOUT, page).await.map_err(|_| WireError::TimedOut(PAGE_TIMEOUT))??;
    let whole: Chunks = stream::iter([Ok(Frame::data(bytes))]).boxed();
    Ok(Response::from_parts(head, StreamBody::new(whole)))
}

async fn watch(
    client: kube::Client,
    health: Arc<WatchHealth>,
    request: Request<Body>,
) -> Result<Response<StreamBody<Chunks>>, BoxError> {
    let answer = timeout(ANSWER_TIMEOUT, client.send(request)).await;
    let answer = answer.map_err(|_| WireError::TimedOut(ANSWER_TIMEOUT))??;
    let (head, body) = answer.into_parts();
    let chunks = body.into_data_stream().map(|chunk| Ok(Frame::data(chunk?)));
    let chunks: Chunks = match head.status.is_success() {
        true => {
            health.reached();
            health.record_activity();
            watched(chunks, health).boxed()
        }
        false => chunks.boxed(),
    };
    Ok(Response::from_parts(head, StreamBody::new(chunks)))
}

/// Passes on what a watch sends, and records it.
fn watched(
    chunks: impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + Unpin + 'static,
    health: Arc<WatchHealth>,
) -> impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send {
    struct Watch<S> {
        chunks: S,
        health: Arc<WatchHealth>,
        settles: Instant,
        /// Something was sent, or the watch has stayed open for long enough.
        works: bool,
    }
    let state = Watch { chunks, health, settles: Instant::now() + SETTLED, works: false };
    stream::unfold(Some(state), |watch| async {
        let mut watch = watch?;
        let chunk = match timeout_at(watch.settles, watch.chunks.next()).await {
            Ok(chunk) => chunk,
            Err(_) => {
                watch.works = true;
                watch.health.works();
                watch.chunks.next().await
            }
        };
        match chunk {
            Some(Ok(chunk)) => {
                watch.works = true;
                watch.health.record_activity();
                Some((Ok(chunk), Some(watch)))
            }
            _ if !watch.works => Some((Err(WireError::ClosedImmediately.into()), None)),
            Some(Err(cause)) => Some((Err(cause), None)),
            None => None,
        }
    })
}
