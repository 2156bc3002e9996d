//! Why an email did not leave, in words by which an operator can mend it.

use std::{error::Error as StdError, io, iter};

use lettre::transport::smtp::{self, response::Severity};
use tokio_rustls::rustls::{self, CertificateError};

use super::DeliveryError;

/// What a server says about the recipient is final, where it says so by an enhanced status code (RFC 3463: 5.1 is
/// the address, 5.2 the mailbox). Any other refusal may be about us, such as a wrong password, a sender that it
/// does not take or a server under maintenance, and is for an operator to mend.
pub(super) fn refusal(error: &smtp::Error) -> DeliveryError {
    // The server's own words may quote an address.
    let Some(code) = error.status() else { return DeliveryError::Later(cause(error)) };
    let text = format!("the mail server answered {code}");
    let words = error.to_string();
    let about_recipient = words.split_whitespace().any(|word| {
        ["5.1.", "5.2."].iter().any(|status| {
            word.strip_prefix(status).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
        })
    });
    if code.severity == Severity::PermanentNegativeCompletion && about_recipient {
        return DeliveryError::Never(text);
    }
    DeliveryError::Later(text)
}

/// What kept an email from being handed over, where the server did not refuse it.
fn cause(error: &smtp::Error) -> String {
    if error.is_timeout() {
        return "the mail server did not answer in time".to_owned();
    }
    if let Some(text) = causes(error).find_map(certificate) {
        return text;
    }
    let words = error.to_string();
    let io = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>());
    match io.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "the mail server refuses connections".to_owned(),
        Some(
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe,
        ) => "the mail server closed the connection".to_owned(),
        _ if words.contains("lookup") => "the mail server's host name is not known".to_owned(),
        _ if words.contains("STARTTLS") => "the mail server does not offer STARTTLS".to_owned(),
        _ if words.contains("No compatible authentication") => {
            "the mail server offers no way to log in that is known".to_owned()
        }
        _ if words.contains("incomplete response") => {
            "the mail server closed the connection before it answered".to_owned()
        }
        _ if error.is_response() => "the mail server answered what is not SMTP".to_owned(),
        _ => "the mail server cannot be reached".to_owned(),
    }
}

/// An error and what it comes from. What an I/O error carries is not its source but its inside.
fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    iter::successors(Some(error), |&error| {
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inside.map(|inside| inside as &(dyn StdError + 'static)).or_else(|| error.source())
    })
}

/// What is wrong with the server's certificate, if that is what is wrong.
fn certificate(error: &(dyn StdError + 'static)) -> Option<String> {
    let fault = match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(fault) => fault,
        rustls::Error::InvalidMessage(_) => {
            return Some("the mail server does not speak TLS there".to_owned());
        }
        other => return Some(format!("TLS with the mail server failed: {other}")),
    };
    Some(match fault {
        CertificateError::UnknownIssuer => {
            "the mail server's certificate is of an authority that is not known; mail.smtp_ca_file \
             names more"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the mail server's certificate is for another host".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the mail server's certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the mail server's certificate is not valid yet".to_owned()
        }
        other => format!("the mail server's certificate is not valid: {other:?}"),
    })
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use rcgen::{CertificateParams, KeyPair};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
    };
    use uuid::Uuid;

    use super::*;
    use crate::{
        carrier::{Carrier, Means, Smtp},
        identity::email::Email,
        mail::render::Rendered,
    };

    /// Why an email does not get to a server at this URL, of which `{port}` is replaced.
    async fn told(url: &str, port: u16, authorities: Option<Vec<u8>>) -> String {
        let url = url.replace("{port}", &port.to_string());
        let means = Means::Smtp(Smtp { url, authorities });
        let carrier = Carrier::new("a@b.example", means, Duration::from_secs(30)).unwrap();
        let letter = Rendered { subject: "s".to_owned(), body: "b\n".to_owned() };
        let to = Email::parse("grace@example.org").unwrap();
        let at = "2026-11-22T12:00:00Z".parse().unwrap();
        match carrier.send((Uuid::nil(), at), &to, letter).await {
            Err(DeliveryError::Later(text)) => text,
            Err(DeliveryError::Never(text)) => panic!("never: {text}"),
            Ok(_) => panic!("it left"),
        }
    }

    /// A server that says the first line, answers each line that it reads with the next one, and then hangs up.
    async fn script(lines: &'static [&'static str]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            for (number, line) in lines.iter().enumerate() {
                if number > 0 && stream.read(&mut buffer).await.unwrap_or(0) == 0 {
                    return;
                }
                stream.write_all(line.as_bytes()).await.unwrap();
            }
            // What was sent last is read, so that the end is an end and not a reset.
            drop(stream.read(&mut buffer).await);
        });
        port
    }

    /// A server with TLS from the first byte, and its own certificate, for these names and until this year.
    async fn tls(names: &[&str], until: i32) -> (u16, Vec<u8>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _): (TcpStream, _) = listener.accept().await.unwrap();
            drop(TlsAcceptor::from(Arc::new(config)).accept(stream).await);
        });
        (port, certificate.pem().into_bytes())
    }

    #[tokio::test]
    async fn troubles_with_certificates_have_names() {
        let (port, _) = tls(&["localhost"], 2100).await;
        let text = told("smtps://localhost:{port}", port, None).await;
        assert!(text.contains("an authority that is not known"), "{text}");
        let (port, own) = tls(&["mail.example.org"], 2100).await;
        let text = told("smtps://localhost:{port}", port, Some(own)).await;
        assert!(text.contains("is for another host"), "{text}");
        let (port, own) = tls(&["localhost"], 2021).await;
        let text = told("smtps://localhost:{port}", port, Some(own)).await;
        assert!(text.contains("has expired"), "{text}");
        let port = script(&["220 plain\r\n"]).await;
        let text = told("smtps://localhost:{port}", port, None).await;
        assert!(text.contains("does not speak TLS"), "{text}");
    }

    #[tokio::test]
    async fn troubles_with_the_conversation_have_names() {
        const HELLO: &str = "220 hello\r\n";
        const ABLE: &str = "250-hello\r\n250 8BITMIME\r\n";
        for (url, lines, expected) in [
            ("smtp://localhost:{port}?tls=required", &[HELLO, ABLE][..], "does not offer STARTTLS"),
            ("smtp://u:p@localhost:{port}", &[HELLO, ABLE], "no way to log in"),
            ("smtp://localhost:{port}", &["nonsense\r\n"], "is not SMTP"),
            ("smtp://localhost:{port}", &[HELLO], "closed the connection"),
            (
                "smtp://localhost:{port}",
                &[HELLO, ABLE, "250 ok\r\n", "250 ok\r\n", "354 go on\r\n"],
                "closed the connection",
            ),
            ("smtp://localhost:{port}", &[HELLO, ABLE, "451 later\r\n"], "answered 451"),
        ] {
            let port = script(lines).await;
            let text = told(url, port, None).await;
            assert!(text.contains(expected), "{expected}: {text}");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let text = told("smtp://localhost:{port}", port, None).await;
        assert!(text.contains("refuses connections"), "{text}");
    }
}
