//! The third porch: where emails leave the house. The only place that speaks to mail servers.

mod delivery_errors;

use std::{fmt, io, path::PathBuf, time::Duration};

use lettre::{
    Message,
    message::{
        Body, Mailbox,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};
use percent_encoding::percent_decode_str;
use tokio::{io::AsyncWriteExt as _, time::timeout};
use url::Url;
use uuid::Uuid;

use crate::{identity::email::Email, kernel::time::Instant, mail::render::Rendered};
use delivery_errors::refusal;

/// How long a mail server that has taken an email may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// How emails leave.
#[derive(Debug, Clone)]
pub enum Means {
    /// Into a folder, a file each.
    Folder(PathBuf),
    /// To a mail server.
    Smtp(Smtp),
}

/// Where the mail server is.
#[derive(Clone)]
pub struct Smtp {
    /// `smtps://…`, or `smtp://…` with `?tls=required` for STARTTLS; may hold user and password.
    pub url: String,
    /// Authorities that are believed beside those of the system, PEM.
    pub authorities: Option<Vec<u8>>,
}

// The URL may hold a password.
impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Smtp")
    }
}

/// Sends emails through SMTP or into a folder.
#[derive(Clone)]
pub struct Carrier {
    from: Mailbox,
    way: Way,
    patience: Duration,
}

#[derive(Clone)]
enum Way {
    Folder(PathBuf),
    Smtp(Server),
}

/// How a mail server is spoken to.
#[derive(Clone)]
struct Server {
    host: String,
    port: u16,
    tls: Tls,
    log_in: Option<Credentials>,
    /// What this side calls itself.
    hello: ClientId,
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carrier")
    }
}

/// What is left of an email that left: it is the mail server's by now, whatever that says to a goodbye.
pub struct Sent(Option<AsyncSmtpConnection>);

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sent")
    }
}

impl Sent {
    /// Says goodbye to the mail server, if there is one. To be called when it is written down that the
    /// email left.
    pub async fn part(self) {
        if let Some(mut connection) = self.0 {
            drop(timeout(GOODBYE, connection.quit()).await);
        }
    }
}

/// Why an email did not leave. The text may name the server, never the address of anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryError {
    /// It may leave later.
    Later(String),
    /// The mail server will never take it.
    Never(String),
}

/// Why mail cannot be sent by these means. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The sender is none.
    #[error("is not a sender: {0}")]
    Sender(String),
    /// The URL is not that of a mail server.
    #[error("is not the URL of a mail server")]
    Url,
    /// The authorities cannot be used.
    #[error("cannot be used as authorities: {0}")]
    Authorities(String),
}

impl Carrier {
    /// Sends by these means, as somebody of this name and address: `Practice <mail@example.org>`. An email
    /// that has not left after `patience` waits for another time.
    pub fn new(from: &str, means: Means, patience: Duration) -> Result<Self, Unfit> {
        let from = from
            .parse()
            .map_err(|e: lettre::address::AddressError| Unfit::Sender(e.to_string()))?;
        let way = match means {
            Means::Folder(folder) => Way::Folder(folder),
            Means::Smtp(smtp) => Way::Smtp(Server::of(&smtp)?),
        };
        Ok(Self { from, way, patience })
    }

    /// The sender's name, or the address where there is none: what emails call the practice.
    pub fn practice(&self) -> String {
        self.from.name.clone().unwrap_or_else(|| self.from.email.to_string())
    }

    /// Sends an email. `id` makes its message id, which stays the same when it is sent again.
    pub async fn send(
        &self,
        (id, at): (Uuid, Instant),
        to: &Email,
        letter: Rendered,
    ) -> Result<Sent, DeliveryError> {
        let message = self.message(id, at, to, letter).map_err(DeliveryError::Never)?;
        // The whole of it: a server may fall silent at any step.
        let left = timeout(self.patience, self.hand_over(id, &message)).await;
        left.map_err(|_| DeliveryError::Later("the mail server fell silent".to_owned()))?.map(Sent)
    }

    /// Hands an email over, and returns the connection where there is one. There is one for each email: after
    /// an email that was given up half way nobody knows what the next answer belongs to.
    async fn hand_over(
        &self,
        id: Uuid,
        message: &Message,
    ) -> Result<Option<AsyncSmtpConnection>, DeliveryError> {
        match &self.way {
            Way::Folder(folder) => {
                let done = write(folder, id, message).await;
                done.map_err(|e| DeliveryError::Later(format!("writing to the folder: {e}")))?;
                Ok(None)
            }
            Way::Smtp(server) => {
                // Half of it, so that a second address of the host has its turn.
                let sent = server.send(message, self.patience / 2).await;
                sent.map(Some).map_err(|error| refusal(&error))
            }
        }
    }

    fn message(
        &self,
        id: Uuid,
        at: Instant,
        to: &Email,
        letter: Rendered,
    ) -> Result<Message, String> {
        let domain = self.from.email.domain();
        let to: Mailbox = to.as_str().parse().map_err(|_| "the recipient's address".to_owned())?;
        // Nobody's holiday notice is to answer it (RFC 3834).
        let automatic = HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        );
        Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(letter.subject)
            .message_id(Some(format!("<{id}@{domain}>")))
            .date(at.into())
            .raw_header(automatic)
            .header(ContentType::TEXT_PLAIN)
            .body(body(letter.body))
            .map_err(|e| e.to_string())
    }
}

/// Plain ASCII goes as it is: another encoding would break long lines, and with them links, for everybody
/// who looks at the file. A line may have 998 characters (RFC 5322, 2.1.1).
fn body(text: String) -> Body {
    if text.is_ascii() && text.lines().all(|line| line.len() <= 998) {
        let lines = text.lines().flat_map(|line| [line, "\r\n"]).collect::<String>();
        return Body::dangerous_pre_encoded(lines.into_bytes(), ContentTransferEncoding::SevenBit);
    }
    Body::new(text)
}

impl Server {
    /// The server of a URL.
    fn of(smtp: &Smtp) -> Result<Self, Unfit> {
        // The error's own text may hold the password.
        let wrong = || Unfit::Url;
        let url = Url::parse(&smtp.url).map_err(|_| wrong())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?.to_owned();
        let tls = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value);
        let parameters = || {
            let mut tls = TlsParameters::builder(host.clone());
            for certificate in smtp.authorities.as_deref().map_or(Ok(Vec::new()), certificates)? {
                tls = tls.add_root_certificate(certificate);
            }
            tls.build().map_err(|e| Unfit::Authorities(e.to_string()))
        };
        let (usual, tls) = match (url.scheme(), tls.as_deref()) {
            ("smtps", _) => (SUBMISSIONS_PORT, Tls::Wrapper(parameters()?)),
            ("smtp", Some("required")) => (SUBMISSION_PORT, Tls::Required(parameters()?)),
            ("smtp", Some("opportunistic")) => (SUBMISSION_PORT, Tls::Opportunistic(parameters()?)),
            ("smtp", None) => (SMTP_PORT, Tls::None),
            _ => return Err(wrong()),
        };
        let tls = match tls {
            // Whoever names authorities wants TLS.
            Tls::None if smtp.authorities.is_some() => Tls::Required(parameters()?),
            Tls::Opportunistic(given) if smtp.authorities.is_some() => Tls::Required(given),
            tls => tls,
        };
        let decoded = |text: &str| {
            let text = percent_decode_str(text).decode_utf8().map_err(|_| wrong())?;
            Ok::<_, Unfit>(text.into_owned())
        };
        let log_in = url.password().map(|password| {
            Ok::<_, Unfit>(Credentials::new(decoded(url.username())?, decoded(password)?))
        });
        let name = url.path().trim_matches('/');
        Ok(Self {
            port: url.port().unwrap_or(usual),
            tls,
            log_in: log_in.transpose()?,
            hello: if name.is_empty() {
                ClientId::default()
            } else {
                ClientId::Domain(name.to_owned())
            },
            host,
        })
    }

    /// Sends an email over a connection of its own, and returns that. Where this is dropped half way the
    /// connection ends with it.
    async fn send(
        &self,
        message: &Message,
        patience: Duration,
    ) -> Result<AsyncSmtpConnection, lettre::transport::smtp::Error> {
        let wrapper = match &self.tls {
            Tls::Wrapper(parameters) => Some(parameters.clone()),
            _ => None,
        };
        let at = (self.host.as_str(), self.port);
        let connecting =
            AsyncSmtpConnection::connect_tokio1(at, Some(patience), &self.hello, wrapper, None);
        let mut connection = connecting.await?;
        match &self.tls {
            Tls::Required(parameters) => {
                connection.starttls(parameters.clone(), &self.hello).await?;
            }
            Tls::Opportunistic(parameters) if connection.can_starttls() => {
                connection.starttls(parameters.clone(), &self.hello).await?;
            }
            _ => {}
        }
        if let Some(log_in) = &self.log_in {
            connection.auth(DEFAULT_MECHANISMS, log_in).await?;
        }
        connection.send(message.envelope(), &message.formatted()).await?;
        Ok(connection)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, Unfit> {
    use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|e| Unfit::Authorities(e.to_string()))?;
    if found.is_empty() {
        return Err(Unfit::Authorities("there is no certificate in PEM".to_owned()));
    }
    let each = found.into_iter().map(|der| Certificate::from_der(der.to_vec()));
    each.collect::<Result<_, _>>().map_err(|e| Unfit::Authorities(e.to_string()))
}

/// Written beside and moved into place, so that nobody reads half an email.
async fn write(folder: &std::path::Path, id: Uuid, message: &Message) -> io::Result<()> {
    tokio::fs::create_dir_all(folder).await?;
    let path = folder.join(format!("{id}.eml"));
    let beside = folder.join(format!("{id}.{}.new", std::process::id()));
    let mut options = tokio::fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(&beside).await?;
    file.write_all(&message.formatted()).await?;
    file.sync_all().await?;
    tokio::fs::rename(&beside, &path).await?;
    tracing::info!(path = %path.display(), "wrote an email");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn senders_and_servers_are_looked_at() {
        let folder = || Means::Folder("letters".into());
        let named = Carrier::new("Dr. Ada <mail@example.org>", folder(), PATIENCE);
        assert_eq!(named.map_err(|_| ()).map(|it| it.practice()), Ok("Dr. Ada".to_owned()));
        let plain = Carrier::new("mail@example.org", folder(), PATIENCE).unwrap();
        assert_eq!(plain.practice(), "mail@example.org");
        assert!(Carrier::new("nobody", folder(), PATIENCE).is_err());
        let smtp = |url: &str, pem: Option<&str>| {
            let authorities = pem.map(|pem| pem.as_bytes().to_vec());
            let means = Means::Smtp(Smtp { url: url.to_owned(), authorities });
            Carrier::new("a@b.example", means, PATIENCE)
        };
        assert!(smtp("smtps://user:secret@mail.example.org:465", None).is_ok());
        assert!(smtp("smtp://mail.example.org:587?tls=required", None).is_ok());
        for (url, pem) in [
            ("http://user:secret@mail.example.org", None),
            ("secret", None),
            ("smtp://mail.example.org?tls=secret", None),
            ("smtps://user:secret@mail.example.org", Some("secret")),
        ] {
            let error = smtp(url, pem).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_url_says_how_a_server_is_spoken_to() {
        let server = |url: &str| {
            let smtp = Smtp { url: url.to_owned(), authorities: None };
            let found = Server::of(&smtp).unwrap();
            let tls = match found.tls {
                Tls::None => "none",
                Tls::Opportunistic(_) => "opportunistic",
                Tls::Required(_) => "required",
                Tls::Wrapper(_) => "wrapper",
            };
            (found.host, found.port, tls, found.hello.to_string(), found.log_in)
        };
        let log_in = Some(Credentials::new("us@b".to_owned(), "p/w#ö".to_owned()));
        let unnamed = ClientId::default().to_string();
        for (url, port, tls, hello, log_in) in [
            ("smtp://mail.example.org", 25, "none", &*unnamed, None),
            ("smtp://mail.example.org:2525/", 2525, "none", &unnamed, None),
            ("smtp://mail.example.org?tls=opportunistic", 587, "opportunistic", &unnamed, None),
            (
                "smtp://mail.example.org/us.example?tls=required",
                587,
                "required",
                "us.example",
                None,
            ),
            ("smtps://us%40b:p%2Fw%23%C3%B6@mail.example.org", 465, "wrapper", &unnamed, log_in),
        ] {
            let told = ("mail.example.org".to_owned(), port, tls, hello.to_owned(), log_in);
            assert_eq!(server(url), told, "{url}");
        }
    }

    #[test]
    fn a_letter_says_that_a_machine_wrote_it() {
        let carrier =
            Carrier::new("Dr. Ada <mail@example.org>", Means::Folder("x".into()), PATIENCE)
                .unwrap();
        let letter = Rendered { subject: "Grüße".to_owned(), body: "Hello\n".to_owned() };
        let to = Email::parse("grace@example.org").unwrap();
        let at = "2026-11-22T12:00:00Z".parse().unwrap();
        let message = carrier.message(Uuid::nil(), at, &to, letter).unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        for line in [
            "Auto-Submitted: auto-generated",
            "Message-ID: <00000000-0000-0000-0000-000000000000@example.org>",
            "Date: Sun, 22 Nov 2026 12:00:00 +0000",
            "To: grace@example.org",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
