//! Asking a server's health, as a client: the command `daybook healthcheck`.

use std::{io, sync::Arc};

use http::Uri;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Asks the server at this URL, `http://` or `https://`; `true` is SERVING. Fails with what went wrong.
///
/// The certificate is not checked, as Kubernetes' own probes do not: a server calls itself by an address
/// that its certificate does not name, nothing secret is sent, and what comes back is one word.
pub(crate) async fn ask(address: &str, service: String) -> Result<bool, String> {
    let channel = connect(address).await?;
    let answer = HealthClient::new(channel).check(HealthCheckRequest { service }).await;
    let answer = answer.map_err(|status| status.message().to_owned())?;
    Ok(answer.into_inner().status() == ServingStatus::Serving)
}

async fn connect(address: &str) -> Result<Channel, String> {
    let cause = |error: tonic::transport::Error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        cause.unwrap_or_else(|| error.to_string())
    };
    let Some(rest) = address.strip_prefix("https://") else {
        let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|e| e.to_string())?;
        return endpoint.connect().await.map_err(cause);
    };
    // TLS is below, where tonic does not see it.
    let endpoint = Endpoint::from_shared(format!("http://{rest}")).map_err(|e| e.to_string())?;
    let connector = TlsConnector::from(Arc::new(settings().map_err(|e| e.to_string())?));
    let connect = tower::service_fn(move |uri: Uri| dial(connector.clone(), uri));
    endpoint.connect_with_connector(connect).await.map_err(cause)
}

async fn dial(
    connector: TlsConnector,
    uri: Uri,
) -> io::Result<hyper_util::rt::TokioIo<TlsStream<TcpStream>>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let host = uri.host().ok_or_else(|| invalid("the address has no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let stream = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(443))).await?;
    let name = ServerName::try_from(host).map_err(|_| invalid("the address has no valid host"))?;
    Ok(hyper_util::rt::TokioIo::new(connector.connect(name, stream).await?))
}

fn settings() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut settings = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any(provider)))
        .with_no_client_auth();
    settings.alpn_protocols = vec![b"h2".to_vec()];
    Ok(settings)
}

/// Takes any certificate whose key the server has.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
