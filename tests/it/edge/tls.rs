//! TLS: who gets a connection, with which certificate, and what probes do.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

use daybook::grpc::proto::auth::{GetMeRequest, auth_service_client::AuthServiceClient};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
    process::{Child, Command},
};
use tokio_rustls::rustls::{
    ClientConfig,
    pki_types::CertificateDer,
    version::{TLS12, TLS13},
};
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{
    connect,
    process::{closed, keep, until, within},
    refusal::refused,
    serving,
    tls::{self, Authority, BOTH, Signed},
};

/// A `daybook` process with TLS, and the files that it reads.
struct Process {
    folder: TempDir,
    authority: Authority,
    address: SocketAddr,
    health: Option<SocketAddr>,
    log: Arc<Mutex<String>>,
    _child: Child,
}

impl Process {
    async fn start(settings: &[&str]) -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("ours"));
        authority.server().write(&certificate(&folder), &key(&folder));
        let mut child = command(folder.path(), settings)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        tokio::spawn(keep(child.stderr.take().unwrap(), Arc::clone(&log)));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = async || {
            let line = within(30, "the greeting", lines.next_line()).await.unwrap();
            line.unwrap_or_else(|| panic!("{}", log.lock().unwrap()))
        };
        let (greeting, next) = (line().await, line().await);
        let greeting = greeting.strip_prefix("Daybook listens on ").unwrap();
        let address = greeting.split_once(',').unwrap().0.parse().unwrap();
        let health = next.strip_prefix("Health alone, in plaintext: ");
        let health = health.map(|address| address.parse().unwrap());
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { folder, authority, address, health, log, _child: child }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The certificate that a new connection gets.
    async fn shown(&self, config: ClientConfig) -> Option<CertificateDer<'static>> {
        let stream = tls::dial(self.address, config).await.ok()?;
        Some(stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned())
    }
}

fn certificate(folder: &TempDir) -> PathBuf {
    folder.path().join("tls.crt")
}

fn key(folder: &TempDir) -> PathBuf {
    folder.path().join("tls.key")
}

/// The program, with the certificate in its folder.
fn command(folder: &Path, settings: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_daybook")])
        .args(["--listen=127.0.0.1:0", "--log-level=info", "--database-url=sqlite:daybook.db"])
        .envs([("DAYBOOK_SERVER_TLS_CERTIFICATE_FILE", "tls.crt")])
        .envs([("DAYBOOK_SERVER_TLS_KEY_FILE", "tls.key")])
        .args(settings.iter().map(|setting| format!("--set={setting}")))
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Somebody without a token gets as far as being told so.
async fn is_answered(channel: Channel) {
    let answer = AuthServiceClient::new(channel).get_me(GetMeRequest {}).await;
    refused(answer, "NOT_AUTHENTICATED");
}

/// A `ClientHello` that knows no version after this one (RFC 5246, 7.4.1.2).
fn hello(version: [u8; 2]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    // No session, two suites of the time, no compression, signatures by P-256 and RSA.
    body.extend([0, 0, 4, 0xc0, 0x13, 0x00, 0x2f, 1, 0]);
    body.extend([0, 10, 0, 13, 0, 6, 0, 4, 4, 3, 8, 4]);
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![0x16, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_in_two_versions_and_nothing_else_is() {
    let process = Process::start(&[]).await;
    for version in [&TLS12, &TLS13] {
        let config = process.authority.clients(&[version], None);
        let stream = tls::dial(process.address, config.clone()).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let channel = tls::connect(process.address, config).await.unwrap();
        serving(&channel).await;
        is_answered(channel).await;
    }
    // gRPC-Web, and a client with another language.
    let mut config = process.authority.clients(BOTH, None);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = tls::dial(process.address, config.clone()).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    config.alpn_protocols = vec![b"spdy/3".to_vec()];
    let alert = tls::dial(process.address, config).await.unwrap_err().to_string();
    assert!(alert.contains("NoApplicationProtocol"), "{alert}");
    // Versions before 1.2: an alert (21) that is fatal (2) and says `protocol_version` (70).
    for version in [[3, 0], [3, 1], [3, 2]] {
        let mut stream = TcpStream::connect(process.address).await.unwrap();
        stream.write_all(&hello(version)).await.unwrap();
        let mut answer = Vec::new();
        within(10, "the alert", stream.read_to_end(&mut answer)).await.unwrap();
        assert_eq!((answer[0], &answer[5..]), (21, &[2, 70][..]), "{version:?}");
    }
    // Plaintext reaches nothing.
    let mut stream = TcpStream::connect(process.address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    within(10, "the close", async { while !closed(&mut stream).await {} }).await;
    // Somebody who trusts another authority goes away.
    let others = Authority::new("another").clients(BOTH, None);
    let distrust = tls::dial(process.address, others).await.unwrap_err().to_string();
    assert!(distrust.contains("UnknownIssuer"), "{distrust}");
    // Kubernetes could not ask for health.
    assert!(process.log().contains("server.health_listen"), "{}", process.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_authorities_for_clients_only_their_clients_get_in() {
    let clients = Authority::new("clients");
    let folder = tempfile::tempdir().unwrap();
    clients.write(&folder.path().join("ca.crt"));
    let ca = folder.path().join("ca.crt").display().to_string();
    let process = Process::start(&[&format!("server.tls_client_ca_file={ca}")]).await;
    let authority = &process.authority;
    let calls = async |shown: Option<&Signed>, versions| {
        let config = authority.clients(versions, shown);
        let channel = tls::connect(process.address, config).await.map_err(|_| ())?;
        // With TLS 1.3 the client learns only afterwards that it is refused.
        let request = HealthCheckRequest::default();
        HealthClient::new(channel).check(request).await.map(drop).map_err(|_| ())
    };
    // What the server says to a certificate that it does not take: an alert, and nothing else.
    let alert = async |shown: Option<&Signed>, versions| {
        let config = authority.clients(versions, shown);
        let read = async {
            let mut stream = tls::dial(process.address, config).await?;
            stream.read_to_end(&mut Vec::new()).await
        };
        within(10, "an alert", read).await.unwrap_err().to_string()
    };
    let (ours, foreign) = (clients.client(), Authority::new("others").client());
    for versions in [&[&TLS12][..], &[&TLS13]] {
        calls(Some(&ours), versions).await.unwrap();
        // A server's certificate is not one for clients.
        for shown in [None, Some(&foreign), Some(&clients.server())] {
            calls(shown, versions).await.unwrap_err();
            let told = alert(shown, versions).await;
            assert!(told.contains("fatal alert"), "{told}");
        }
    }
    // The certificate opens the connection; it is nobody's log-in.
    let config = authority.clients(BOTH, Some(&ours));
    is_answered(tls::connect(process.address, config).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_files_are_taken_over_and_bad_ones_are_not() {
    let process = Process::start(&[]).await;
    let (certificate, key) = (certificate(&process.folder), key(&process.folder));
    let clients = || process.authority.clients(BOTH, None);
    let first = process.shown(clients()).await.unwrap();
    let open = tls::connect(process.address, clients()).await.unwrap();

    for (number, (file, text)) in
        [(&certificate, "no certificate"), (&key, "no key"), (&certificate, "")].iter().enumerate()
    {
        let good = fs::read(file).unwrap();
        fs::write(file, text).unwrap();
        let told = async || process.log().matches("the TLS files cannot be used").count() > number;
        until(20, "the bad file is told", told).await;
        assert_eq!(process.shown(clients()).await.as_ref(), Some(&first));
        fs::write(file, good).unwrap();
        let again = async || process.log().matches("were read again").count() > number;
        until(20, "the good file is back", again).await;
    }
    // Half of the new pair is there for a moment.
    let second = process.authority.server();
    fs::write(&certificate, second.certificate.pem()).unwrap();
    let told = async || process.log().matches("the TLS files cannot be used").count() > 3;
    until(20, "half a pair is told", told).await;
    assert_eq!(process.shown(clients()).await.as_ref(), Some(&first));
    second.write(&certificate, &key);
    let expected = Some(second.certificate.der().clone());
    let new = async || process.shown(clients()).await == expected;
    until(20, "the new certificate is shown", new).await;
    // Whoever was connected still is.
    is_answered(open).await;
    assert!(!process.log().contains("PRIVATE KEY"), "{}", process.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_valid_takes_the_place_of_none_that_is() {
    let process = Process::start(&[]).await;
    let (certificate, key) = (certificate(&process.folder), key(&process.folder));
    let clients = || process.authority.clients(BOTH, None);
    let first = process.shown(clients()).await.unwrap();
    for (signed, told) in [
        (process.authority.server_for(10, -1), "expired at"),
        (process.authority.server_for(-2, 90), "is not valid before"),
    ] {
        signed.write(&certificate, &key);
        until(20, "it is told", async || process.log().contains(told)).await;
        assert_eq!(process.shown(clients()).await.as_ref(), Some(&first));
    }
    // One that ends soon is taken, with a warning.
    let ending = process.authority.server_for(10, 3);
    ending.write(&certificate, &key);
    until(20, "it is told", async || process.log().contains("expires in")).await;
    assert_eq!(process.shown(clients()).await.as_ref(), Some(ending.certificate.der()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_tells_until_when_the_certificate_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let (certificate, key) = (certificate(&folder), key(&folder));
    for (days, told) in [(90, None), (3, Some("expires in")), (-1, Some("expired at"))] {
        authority.server_for(100, days).write(&certificate, &key);
        let output = command(folder.path(), &[]).args(["config", "check"]).output();
        let output = within(20, "the end", output).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("TLS certificate: valid until 20"));
        let warning = text.lines().find(|line| line.starts_with("Warning: the certificate"));
        assert_eq!(warning.is_some(), told.is_some(), "{days}: {text}");
        assert!(warning.is_none_or(|line| line.contains(told.unwrap())), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_handshake_has_a_deadline_and_a_place() {
    let settings = ["server.first_bytes_timeout_ms=500", "server.max_connections_per_address=3"];
    let process = Process::start(&settings).await;
    let clients = || process.authority.clients(BOTH, None);
    let whole = hello([3, 3]);
    for part in [&whole[..0], &whole[..3], &whole[..20], &whole[..whole.len() - 1]] {
        let mut stream = TcpStream::connect(process.address).await.unwrap();
        stream.write_all(part).await.unwrap();
        within(10, "the close", async { while !closed(&mut stream).await {} }).await;
    }
    // After the handshake the same deadline goes on.
    let mut stream = tls::dial(process.address, clients()).await.unwrap();
    stream.write_all(b"PRI * HTT").await.unwrap();
    let mut rest = Vec::new();
    // How it ends, with or without a farewell, depends on who was faster.
    let _ = within(10, "the end", stream.read_to_end(&mut rest)).await;
    // Whoever has not finished the handshake takes a place all the same.
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(TcpStream::connect(process.address).await.unwrap());
    }
    let mut surplus = TcpStream::connect(process.address).await.unwrap();
    within(10, "the close", async { while !closed(&mut surplus).await {} }).await;
    // And gives it back.
    let works = async || tls::connect(process.address, clients()).await.is_ok();
    until(20, "a new connection works", works).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_handshake_gives_its_place_to_others() {
    let settings = ["server.first_bytes_timeout_ms=60000", "server.max_connections=8"];
    let process = Process::start(&settings).await;
    let whole = hello([3, 3]);
    let mut halves = Vec::new();
    for part in [&whole[..0], &whole[..3], &whole[..20]].iter().cycle().take(8) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut stream = socket.connect(process.address).await.unwrap();
        stream.write_all(part).await.unwrap();
        halves.push(stream);
    }
    let config = process.authority.clients(BOTH, None);
    let channel = within(5, "a connection", tls::connect(process.address, config)).await.unwrap();
    serving(&channel).await;
    is_answered(channel).await;
    within(5, "the oldest is closed", async { while !closed(&mut halves[0]).await {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_have_a_port_of_their_own() {
    let process = Process::start(&["server.health_listen=127.0.0.1:0"]).await;
    let health = process.health.unwrap();
    let channel = connect(&health.to_string()).await;
    serving(&channel).await;
    // Nothing else is there.
    let answer = AuthServiceClient::new(channel).get_me(GetMeRequest {}).await;
    refused(answer, "METHOD_UNKNOWN");
    assert!(!process.log().contains("server.health_listen"), "{}", process.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_check_asks_with_tls_and_beside_it() {
    let process = Process::start(&["server.health_listen=127.0.0.1:0"]).await;
    serving(&connect(&process.health.unwrap().to_string()).await).await;
    let asks = async |arguments: &[String]| {
        let mut command = command(process.folder.path(), &[]);
        let output = command.arg("healthcheck").args(arguments).output().await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let (address, health) = (process.address, process.health.unwrap());
    assert_eq!(asks(&[format!("--set=server.health_listen={health}")]).await, "SERVING\n");
    assert_eq!(asks(&[format!("--address=https://{address}")]).await, "SERVING\n");
    assert_eq!(asks(&[format!("--address=http://{health}")]).await, "SERVING\n");
    assert_eq!(asks(&[format!("--address=http://{address}")]).await, "");
    assert_eq!(asks(&[format!("--address=https://{health}")]).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_be_used_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let (certificate, key) = (certificate(&folder), key(&folder));
    let says = async |settings: &[&str], expected: &str| {
        for act in [&["serve"][..], &["config", "check"]] {
            let output = command(folder.path(), settings).args(act).output();
            let output = within(20, "the end", output).await.unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(text.contains(expected) && text.contains("server.tls_"), "{act:?}: {text}");
            assert_eq!(output.status.code(), Some(2), "{act:?}: {text}");
        }
    };
    says(&[], "tls.crt cannot be read").await;
    authority.server().write(&certificate, &key);
    fs::write(&certificate, "x").unwrap();
    says(&[], "tls.crt holds no certificate in PEM").await;
    authority.server().write(&certificate, &key);
    fs::write(&key, "x").unwrap();
    says(&[], "tls.key holds no private key in PEM").await;
    authority.server().write(&certificate, &key);
    fs::write(&certificate, authority.server().certificate.pem()).unwrap();
    says(&[], "the certificate and the key cannot be used").await;
    says(&["server.tls_client_ca_file=tls.key"], "tls.key holds no certificate").await;
    let signed = authority.server();
    signed.write(&certificate, &key);
    fs::write(&certificate, authority.pem() + &signed.certificate.pem()).unwrap();
    says(&[], "tls.crt is no chain: certificate 2").await;
    authority.server().write(&certificate, &key);
    let text = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(&key, text).unwrap();
    says(&[], "tls.key is encrypted with a password").await;
    says(&["server.tls_key_file="], "is given without server.tls_key_file").await;
    // Production keeps the key to itself.
    authority.server().write(&certificate, &key);
    let own = folder.path().join("own-key");
    fs::write(&own, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
    let production = ["profile=production", "auth.master_key_file=own-key"];
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    says(&production, "tls.key is open to others (mode 644)").await;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let output = command(folder.path(), &production).args(["config", "check"]).output();
    assert!(output.await.unwrap().status.success());
}
