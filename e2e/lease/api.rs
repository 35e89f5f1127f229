//! An API server in the test's process with one Lease, behind links that can be cut.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use serde_json::{Value, json};

/// The state of a link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    /// Requests are answered.
    Up,
    /// Requests are lost.
    Cut,
    /// Requests arrive, and their answers are lost.
    AnswersLost,
    /// The server answers 500.
    Broken,
}

/// The server's state.
#[derive(Default)]
pub struct Server {
    lease: Mutex<Stored>,
}

#[derive(Default)]
struct Stored {
    lease: Option<Value>,
    version: u64,
    made: u64,
    /// Writes that were refused because of an outdated version.
    conflicts: u32,
    writes: u32,
}

/// The connection of one client to the server.
#[derive(Clone)]
pub struct Access {
    server: Arc<Server>,
    link: Arc<Mutex<Link>>,
    /// The client's clock error, which shows in the times that it writes.
    skew: SignedDuration,
}

impl Server {
    pub fn lease(&self) -> Option<Value> {
        self.lease.lock().unwrap().lease.clone()
    }

    pub fn spec(&self, field: &str) -> Value {
        self.lease().map_or(Value::Null, |lease| lease["spec"][field].clone())
    }

    pub fn conflicts(&self) -> u32 {
        self.lease.lock().unwrap().conflicts
    }

    pub fn writes(&self) -> u32 {
        self.lease.lock().unwrap().writes
    }

    pub fn delete(&self) {
        self.lease.lock().unwrap().lease = None;
    }

    /// Changes the Lease as a person does, so that the version that a leader knows is outdated.
    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut stored = self.lease.lock().unwrap();
        let mut lease = stored.lease.clone().unwrap();
        change(&mut lease);
        stored.store(lease);
    }

    pub fn access(self: &Arc<Self>, skew: SignedDuration) -> Access {
        Access { server: self.clone(), link: Arc::new(Mutex::new(Link::Up)), skew }
    }
}

impl Stored {
    fn store(&mut self, mut lease: Value) -> Value {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(lease.clone());
        lease
    }

    /// Answers as a real API server: a status code, and an object or a Status.
    fn answer(&mut self, method: &Method, mut body: Value) -> (u16, Value) {
        let known = self.lease.as_ref().map(|lease| lease["metadata"].clone());
        match (method, known) {
            (&Method::GET, Some(_)) => (200, self.lease.clone().unwrap()),
            (&Method::GET | &Method::PUT, None) => status(404, "NotFound"),
            (&Method::POST, None) => {
                self.writes += 1;
                self.made += 1;
                body["metadata"]["uid"] = json!(format!("lease-{}", self.made));
                (201, self.store(body))
            }
            (&Method::POST, Some(_)) => {
                self.conflicts += 1;
                status(409, "AlreadyExists")
            }
            (&Method::PUT, Some(known)) => {
                let version = &body["metadata"]["resourceVersion"];
                assert!(version.is_string(), "an unconditional write");
                if *version != known["resourceVersion"] {
                    self.conflicts += 1;
                    return status(409, "Conflict");
                }
                self.writes += 1;
                (200, self.store(body))
            }
            other => panic!("{other:?}"),
        }
    }
}

fn status(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                         "reason": reason, "message": reason, "code": code });
    (code, status)
}

impl Access {
    pub fn link(&self, link: Link) {
        *self.link.lock().unwrap() = link;
    }

    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.clone(), "default")
    }

    fn skewed(&self, body: &mut Value) {
        for field in ["renewTime", "acquireTime"] {
            let time = body["spec"][field].as_str().and_then(|time| time.parse::<Timestamp>().ok());
            if let Some(time) = time {
                body["spec"][field] = json!(format!("{:.6}", time + self.skew));
            }
        }
    }
}

impl tower::Service<Request<Body>> for Access {
    type Response = Response<Body>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let mut body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            assert!(head.uri.path().starts_with("/apis/coordination.k8s.io/v1/namespaces/here/leases"));
            let link = *this.link.lock().unwrap();
            // A round trip takes a while, so that requests of two clients interleave.
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            let (code, answer) = match link {
                Link::Cut => std::future::pending().await,
                Link::Broken => status(500, "InternalError"),
                Link::Up | Link::AnswersLost => {
                    if body.is_object() {
                        this.skewed(&mut body);
                    }
                    this.server.lease.lock().unwrap().answer(&head.method, body)
                }
            };
            if link == Link::AnswersLost {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            let body = Body::from(serde_json::to_vec(&answer).unwrap());
            Ok(Response::builder()
                .status(code)
                .header("content-type", "application/json")
                .body(body)
                .unwrap())
        })
    }
}
