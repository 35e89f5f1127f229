//! The limit: an Axum handler that reads the body and returns a constant.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{get, post};
use tokio::net::TcpListener;

use crate::served::Serving;

const XML: [(axum::http::HeaderName, &str); 1] = [(CONTENT_TYPE, "text/xml; charset=utf-8")];

/// Serves a constant at a port; port 0 means any free port.
pub fn constant(document: Bytes, port: u16) -> Serving {
    let answer = move |body: Bytes| {
        let document = document.clone();
        async move {
            std::hint::black_box(body);
            (XML, document)
        }
    };
    serve(Router::new().route("/freeswitch/{section}", post(answer)), port)
}

/// Serves a constant as a file, at any free port.
pub fn constant_file(document: Bytes) -> Serving {
    serve(Router::new().route("/provision/{file}", get(async move || document.clone())), 0)
}

/// Serves the constant of a section and a body; 503 if none was recorded.
pub fn constants(port: u16, of: impl Fn(&str, &[u8]) -> Option<Bytes> + Send + Sync + 'static) -> Serving {
    let of = Arc::new(of);
    let answer = move |Path(section): Path<String>, body: Bytes| {
        let of = of.clone();
        async move { of(&section, &body).map(|document| (XML, document)).ok_or(StatusCode::SERVICE_UNAVAILABLE) }
    };
    serve(Router::new().route("/freeswitch/{section}", post(answer)), port)
}

fn serve(app: Router, port: u16) -> Serving {
    Serving::start(async move |stop| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let serve = axum::serve(
            axum::serve::ListenerExt::tap_io(listener, |stream| {
                let _ = stream.set_nodelay(true);
            }),
            app,
        );
        (address, async move {
            let _ = serve.with_graceful_shutdown(stop.cancelled_owned()).await;
        })
    })
}
