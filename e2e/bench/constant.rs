//! The limit: an Axum handler that reads the body and returns a constant.

use std::net::Ipv4Addr;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use tokio::net::TcpListener;

use crate::served::Serving;

/// Serves a constant at a port, or at any when it is 0.
pub fn constant(document: Bytes, port: u16) -> Serving {
    Serving::start(async move |stop| {
        let answer = move |body: Bytes| {
            let document = document.clone();
            async move {
                std::hint::black_box(body);
                ([(CONTENT_TYPE, "text/xml; charset=utf-8")], document)
            }
        };
        let app = Router::new().route("/freeswitch/{section}", post(answer));
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
