//! Certificates that clients show, of authorities that the caller trusts. A client may show none. One that shows a
//! certificate of another authority, as phones with a certificate of their maker do, is served as one without.

use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use axum_server::tls_rustls::RustlsAcceptor;
use futures::FutureExt;
use futures::future::BoxFuture;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
};
use tokio::net::TcpStream;
use tower::Layer;

use super::listener::{Acceptor, Connection};

/// The certificate of the client of a connection, if it showed one of a trusted authority. DER.
#[derive(Clone, Debug, Default)]
pub struct ClientCertificate(pub Option<CertificateDer<'static>>);

/// Why authorities, or a server's certificate and key, cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UnusableCertificate(String);

/// Verifies the certificates of clients.
#[derive(Clone, Debug, Default)]
pub struct ClientVerifier(Option<Arc<dyn ClientCertVerifier>>);

impl ClientVerifier {
    /// Trusts these authorities.
    ///
    /// # Errors
    /// There is none, or one cannot be used.
    pub fn new(authorities: Vec<CertificateDer<'static>>) -> Result<Self, UnusableCertificate> {
        let unusable = |error: &dyn ToString| UnusableCertificate(error.to_string());
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority).map_err(|error| unusable(&error))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        Ok(Self(Some(verifier.map_err(|error| unusable(&error))?)))
    }

    /// The configuration of a server with a certificate, for HTTP/1.1. It asks clients for one if any authority is
    /// trusted.
    ///
    /// # Errors
    /// The certificate and the key cannot be used together.
    pub fn server_config(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<ServerConfig, UnusableCertificate> {
        let unusable = |error: rustls::Error| UnusableCertificate(error.to_string());
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?;
        let builder = match &self.0 {
            Some(verifier) => builder.with_client_cert_verifier(Arc::new(Asking(verifier.clone()))),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The certificate that a client showed, if a trusted authority issued it and it is valid now. That the client has
    /// its key was proved in the handshake.
    fn certificate(&self, connection: &ServerConnection) -> Option<CertificateDer<'static>> {
        let (verifier, chain) = (self.0.as_ref()?, connection.peer_certificates()?);
        let (own, intermediates) = chain.split_first()?;
        verifier.verify_client_cert(own, intermediates, UnixTime::now()).ok()?;
        Some(own.clone().into_owned())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Asks for certificates, and checks in the handshake that the client has the key of the one that it shows. Who issued
/// it is checked after the handshake, which would fail otherwise.
#[derive(Debug)]
struct Asking(Arc<dyn ClientCertVerifier>);

type SignatureResult = Result<HandshakeSignatureValid, rustls::Error>;

/// Whether a certificate can be read. An X.509 certificate of version 1, as some phones have, cannot: no authority is
/// found to have issued it, so that it counts as none, and its signature need not be verified.
fn is_readable(certificate: &CertificateDer<'_>) -> bool {
    ParsedCertificate::try_from(certificate).is_ok()
}

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _own: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> SignatureResult {
        if !is_readable(certificate) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> SignatureResult {
        if !is_readable(certificate) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Gives the certificate of each connection's client to the handlers.
#[derive(Clone, Debug)]
pub(super) struct ClientAcceptor {
    pub acceptor: RustlsAcceptor<Acceptor>,
    pub clients: ClientVerifier,
}

type SecuredStream<S> = <RustlsAcceptor<Acceptor> as Accept<TcpStream, S>>::Stream;
type SecuredService<S> = AddExtension<AddExtension<S, Connection>, ClientCertificate>;

impl<S: Send + 'static> Accept<TcpStream, S> for ClientAcceptor {
    type Stream = SecuredStream<S>;
    type Service = SecuredService<S>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let (handshake, clients) = (self.acceptor.accept(stream, service), self.clients.clone());
        async move {
            let (stream, service) = handshake.await?;
            let certificate = ClientCertificate(clients.certificate(stream.get_ref().1));
            Ok((stream, Extension(certificate).layer(service)))
        }
        .boxed()
    }
}
