//! TLS: certificates from files, which are read again when they have changed.
//!
//! A certificate is renewed every few weeks by something that knows nothing of Daybook; whoever writes
//! new files has nothing else to do. Files that cannot be used, also because only half of them is new
//! yet, change nothing: what was in use stays in use, and the next look finds the other half.

use std::{
    convert::Infallible,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use chrono::TimeDelta;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, RootCertStore, ServerConfig,
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::{NoServerSessionStorage, WebPkiClientVerifier},
        version::{TLS12, TLS13},
    },
};

use super::certificates::{self, Validity};
use crate::{
    config::{self, Config, Profile, Unusable, key::open_to_others},
    kernel::{ambient::Ambient, time::Instant},
};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// How often operators are warned of a certificate that ends soon.
const EACH_DAY: TimeDelta = TimeDelta::days(1);
/// More than any chain or list of authorities; a wrong path should not fill the memory.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Why the files cannot be used. Holds nothing of the key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, #[source] io::Error),
    /// A file has not what it should have.
    #[error("{0} holds no {1} in PEM")]
    Lacks(String, &'static str),
    /// In production: the key's file lets others in.
    #[error(
        "{0} is open to others (mode {1:03o}); chmod 600 {0} (as a Kubernetes secret: defaultMode 0440)"
    )]
    OpenToOthers(String, u32),
    /// Certificate and key are not for each other, or of a kind that is not supported.
    #[error("the certificate and the key cannot be used: {0}")]
    Unfit(#[source] rustls::Error),
    /// The private key is behind a password.
    #[error("{0} is encrypted with a password")]
    Encrypted(String),
    /// The certificates are not a chain.
    #[error("{0} {1}")]
    NoChain(String, String),
    /// At a renewal: the new certificate is not valid now, and the one in use is.
    #[error("the new certificate in {0} {1}")]
    NotValid(String, String),
    /// The authorities for clients are none.
    #[error("{0} cannot be used as authorities for clients: {1}")]
    ClientAuthorities(String, String),
}

impl TlsError {
    /// The same as a fault of the setting that names the file.
    pub(crate) fn setting(&self, settings: &config::ServerConfig) -> Unusable {
        const CERTIFICATE: &str = "server.tls_certificate_file";
        let at = match self {
            Self::Unfit(_) => None,
            Self::Unreadable(path, _)
            | Self::Lacks(path, _)
            | Self::OpenToOthers(path, _)
            | Self::Encrypted(path)
            | Self::NoChain(path, _)
            | Self::NotValid(path, _)
            | Self::ClientAuthorities(path, _) => Some(path),
        };
        let is = |path: &Option<PathBuf>| path.as_deref().map(shown).as_ref() == at;
        let (key, remedy) = if at.is_some() && is(&settings.tls_key_file) {
            ("server.tls_key_file", "give the certificate's private key in PEM, without a password")
        } else if at.is_some() && is(&settings.tls_client_ca_file) {
            ("server.tls_client_ca_file", "give the authorities of the clients in PEM")
        } else {
            (CERTIFICATE, "give the chain in PEM, the server's certificate first, and its key")
        };
        Unusable::new(key, self.to_string(), remedy)
    }
}

/// Where certificate and key are.
#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    /// Whether others must not be able to read the key.
    key_is_private: bool,
}

/// What the files held.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// The certificate in use, and the files it came from.
#[derive(Clone)]
pub(crate) struct Tls {
    files: Files,
    current: Arc<ArcSwap<InUse>>,
    /// What was read last, usable or not.
    seen: Arc<ArcSwap<Contents>>,
}

/// What new connections are greeted with, and when its chain is valid.
struct InUse {
    settings: Arc<ServerConfig>,
    validity: Validity,
}

// The contents have the key among them.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads and checks the files that the settings name; nothing when they name none.
    pub(crate) fn read(config: &Config) -> Result<Option<Self>, TlsError> {
        let server = &config.server;
        let (Some(certificate), Some(key)) = (&server.tls_certificate_file, &server.tls_key_file)
        else {
            return Ok(None);
        };
        let files = Files {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: server.tls_client_ca_file.clone(),
            key_is_private: config.profile == Profile::Production,
        };
        let contents = files.read()?;
        let current = Arc::new(ArcSwap::from_pointee(files.in_use(&contents)?));
        Ok(Some(Self { files, current, seen: Arc::new(ArcSwap::from_pointee(contents)) }))
    }

    /// What a new connection is greeted with.
    pub(in crate::grpc) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.load().settings))
    }

    /// What an operator should know of the certificate in use at this time.
    pub(crate) fn warning(&self, now: Instant) -> Option<String> {
        let warning = self.current.load().validity.warning(now)?;
        Some(format!("the certificate in {} {warning}", shown(&self.files.certificate)))
    }

    /// Until when the certificate in use is valid.
    pub(crate) fn valid_until(&self) -> Instant {
        self.current.load().validity.until
    }

    /// Follows the files for ever, and warns once a day of a certificate that ends soon.
    pub(in crate::grpc) async fn follow(&self, ambient: &Ambient) -> Infallible {
        let mut looks = interval(INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The same trouble is told once.
        let (mut told, mut warned) = (None, None);
        loop {
            looks.tick().await;
            let now = ambient.now();
            if warned.is_none_or(|at| now - at >= EACH_DAY) {
                warned = self.warning(now).map(|warning| {
                    tracing::warn!("{warning}");
                    now
                });
            }
            let this = self.clone();
            let looked = tokio::task::spawn_blocking(move || this.look(now)).await;
            match looked {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => {
                    (told, warned) = (None, None);
                    tracing::info!("the TLS files were read again; new connections get them");
                }
                Ok(Err(error)) => {
                    let text = error.to_string();
                    if told.as_ref() != Some(&text) {
                        tracing::warn!(%error, "the TLS files cannot be used; the old ones stay");
                        told = Some(text);
                    }
                }
                Err(error) => tracing::error!(%error, "looking at the TLS files"),
            }
        }
    }

    /// Whether there was something new, which is now in use. What is not valid now does not take the place of
    /// what is; it is looked at again, since it may become valid.
    fn look(&self, now: Instant) -> Result<bool, TlsError> {
        let contents = self.files.read()?;
        if contents == **self.seen.load() {
            return Ok(false);
        }
        let found = self.files.in_use(&contents);
        if let Ok(found) = &found
            && let Some(fault) = found.validity.warning(now)
            && !found.validity.is_valid(now)
            && self.current.load().validity.is_valid(now)
        {
            return Err(TlsError::NotValid(shown(&self.files.certificate), fault));
        }
        self.seen.store(Arc::new(contents));
        self.current.store(Arc::new(found?));
        Ok(true)
    }
}

impl Files {
    fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            certificate: read(&self.certificate, false)?,
            key: read(&self.key, self.key_is_private)?,
            client_ca: self.client_ca.as_ref().map(|path| read(path, false)).transpose()?,
        })
    }

    fn in_use(&self, contents: &Contents) -> Result<InUse, TlsError> {
        let chain = certificates(&self.certificate, &contents.certificate)?;
        let validity = certificates::validity(&chain);
        let validity =
            validity.map_err(|fault| TlsError::NoChain(shown(&self.certificate), fault))?;
        Ok(InUse { settings: Arc::new(self.settings(chain, contents)?), validity })
    }

    /// TLS 1.2 and 1.3 with this certificate, for gRPC and gRPC-Web.
    fn settings(
        &self,
        chain: Vec<CertificateDer<'static>>,
        contents: &Contents,
    ) -> Result<ServerConfig, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|_| {
            // "ENCRYPTED PRIVATE KEY" (RFC 5958), or the header of the older form (RFC 1421).
            let is_encrypted = contents.key.windows(9).any(|part| part == b"ENCRYPTED");
            match shown(&self.key) {
                path if is_encrypted => TlsError::Encrypted(path),
                path => TlsError::Lacks(path, "private key"),
            }
        })?;
        // Named, because the database's driver may bring another one into the process.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Unfit)?;
        let builder = match (&self.client_ca, &contents.client_ca) {
            (Some(path), Some(text)) => {
                let roots = authorities(path, text)?;
                builder.with_client_cert_verifier(verifier(path, roots, provider)?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut settings = builder.with_single_cert(chain, key).map_err(TlsError::Unfit)?;
        settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A session taken up again would not be asked for its certificate anew.
        if self.client_ca.is_some() {
            settings.session_storage = Arc::new(NoServerSessionStorage {});
            settings.send_tls13_tickets = 0;
        }
        Ok(settings)
    }
}

fn authorities(path: &Path, text: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, text)? {
        let added = roots.add(certificate);
        added.map_err(|error| TlsError::ClientAuthorities(shown(path), error.to_string()))?;
    }
    Ok(roots)
}

fn verifier(
    path: &Path,
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| TlsError::ClientAuthorities(shown(path), error.to_string()))
}

/// One certificate at least.
fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.ok().filter(|all| !all.is_empty());
    all.ok_or_else(|| TlsError::Lacks(shown(path), "certificate"))
}

fn read(path: &Path, is_private: bool) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable(shown(path), error);
    let file = File::open(path).map_err(unreadable)?;
    if is_private {
        let mode = open_to_others(&file.metadata().map_err(unreadable)?);
        mode.map_or(Ok(()), |mode| Err(TlsError::OpenToOthers(shown(path), mode)))?;
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
