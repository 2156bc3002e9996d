//! Certificates of an authority that a test makes, and clients that trust it.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc};

use chrono::Datelike as _;
use daybook::kernel::ambient::Ambient;
use http::Uri;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, ServerName},
        version::{TLS12, TLS13},
    },
};
use tonic::transport::{Channel, Endpoint};

/// Both versions that are spoken.
pub const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Somebody who signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub struct Signed {
    pub certificate: rcgen::Certificate,
    pub key: KeyPair,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// For a server called `localhost`.
    pub fn server(&self) -> Signed {
        self.sign(&["localhost"], ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// The same, valid from so many days ago until in so many days.
    pub fn server_for(&self, days_ago: i64, days: i64) -> Signed {
        let day = |days: i64| {
            let day = Ambient::system().now() + chrono::TimeDelta::days(days);
            let part = |number: u32| u8::try_from(number).unwrap();
            rcgen::date_time_ymd(day.year(), part(day.month()), part(day.day()))
        };
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = day(-days_ago);
        params.not_after = day(days);
        let key = KeyPair::generate().unwrap();
        Signed { certificate: params.signed_by(&key, &self.0).unwrap(), key }
    }

    /// The authority's own certificate, PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn client(&self) -> Signed {
        self.sign(&[], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, names: &[&str], usage: ExtendedKeyUsagePurpose) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        Signed { certificate: params.signed_by(&key, &self.0).unwrap(), key }
    }

    pub fn write(&self, path: &Path) {
        fs::write(path, self.0.pem()).unwrap();
    }

    /// How clients that trust this authority, and show this certificate, begin.
    pub fn clients(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        shown: Option<&Signed>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some(signed) => {
                let key = PrivateKeyDer::try_from(signed.key.serialize_der()).unwrap();
                let chain = vec![signed.certificate.der().clone()];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

impl Signed {
    pub fn write(&self, certificate: &Path, key: &Path) {
        fs::write(certificate, self.certificate.pem()).unwrap();
        fs::write(key, self.key.serialize_pem()).unwrap();
    }
}

/// A socket after the handshake.
pub async fn dial(address: SocketAddr, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// A channel over TLS.
pub async fn connect(
    address: SocketAddr,
    config: ClientConfig,
) -> Result<Channel, tonic::transport::Error> {
    let dial = tower::service_fn(move |_: Uri| {
        let config = config.clone();
        async move { dial(address, config).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(dial).await
}
