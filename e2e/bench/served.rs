//! The production listener with a compiled plan in memory, and no Postgres behind it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use centrex::compile;
use centrex::freeswitch::listener::{self, Probe, Routes};
use centrex::freeswitch::xml::Answers;
use centrex::freeswitch::xml::templates::Templates;
use centrex::http::credentials::Credentials;
use centrex::replica::tenants::Replica;
use centrex::route::media::MediaRoot;
use centrex::secrets::signing_key::SigningKey;
use centrex::source::ResourceIndex;
use centrex::source::folder::Folder;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::load::{PASSWORD, USERNAME};
use crate::processor::Processor;

/// A process that lacks nothing.
struct Ready;

impl Probe for Ready {
    fn missing(&self) -> Vec<String> {
        Vec::new()
    }

    fn replica_age(&self) -> Option<Duration> {
        None
    }
}

/// A server on its own thread; stops when it is dropped.
pub struct Serving {
    /// Address of the server.
    pub address: SocketAddr,
    /// Stops the server.
    pub stop: CancellationToken,
    runtime: Option<Runtime>,
}

impl Serving {
    /// Starts a server: `start` opens it, and returns its address and its task.
    pub fn start<F, W>(start: F) -> Self
    where
        F: AsyncFnOnce(CancellationToken) -> (SocketAddr, W),
        W: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let stop = CancellationToken::new();
        let (address, work) = runtime.block_on(start(stop.clone()));
        runtime.spawn(work);
        Self { address, stop, runtime: Some(runtime) }
    }

    /// Pins the server's thread to one processor.
    pub fn pin_to(&self, processor: Processor) {
        if let Some(runtime) = &self.runtime {
            let pinned = runtime.block_on(runtime.spawn(async move { processor.pin_this_thread() }));
            pinned.expect("the server's thread");
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(3));
        }
    }
}

/// Answers over the plan that a folder of manifests compiles to.
pub fn answers(manifests: &Path) -> Arc<Answers> {
    let reading = Folder::read_once(&[manifests.to_owned()]).expect("manifests");
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
    let mut index = ResourceIndex::default();
    for change in reading.changes {
        index.apply(change);
    }
    let compiled = compile::all(&index);
    assert!(compiled.problems.is_empty(), "{:?}", compiled.problems);
    let replica = Arc::new(Replica::default());
    replica.replace_platform(1, compiled.platform);
    for (_, plan) in compiled.tenants {
        replica.replace_tenant(1, plan);
    }
    Arc::new(Answers {
        replica,
        key: Arc::new(OnceLock::from(SigningKey::new([7; 32]))),
        media: MediaRoot::new(Path::new("/srv/media")).expect("a media root"),
        templates: Templates::built_in().expect("templates"),
        running: Default::default(),
        emergencies: Default::default(),
    })
}

/// Serves answers at a port; port 0 means any free port.
pub fn centrex(answers: &Arc<Answers>, port: u16) -> Serving {
    let answers = answers.clone();
    Serving::start(async move |stop| {
        let credentials = Credentials::new(USERNAME, PASSWORD).expect("credentials");
        let listen = (Ipv4Addr::LOCALHOST, port).into();
        let listener = listener::bind(listen, Some(&credentials)).await.expect("a listener");
        let (routes, _) = Routes::new(answers, Arc::new(Ready), Some(credentials)).into_routers(|_| ());
        (listener.address(), listener.serve(routes, stop))
    })
}
