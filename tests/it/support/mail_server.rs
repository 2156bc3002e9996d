//! A mail server in a test, which keeps what it is sent.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use daybook::grpc::proto::auth::email_service_client::EmailServiceClient;
use mailin_embedded::{
    AuthMechanism, Handler, Response, Server, SslConfig,
    response::{AUTH_OK, INTERNAL_ERROR, INVALID_CREDENTIALS, OK},
};
use tokio::sync::watch;
use tonic::transport::Channel;

use super::{World, config};

/// What a person got.
#[derive(Debug, Clone)]
pub struct Received {
    pub to: String,
    pub subject: String,
    pub message_id: String,
    pub body: String,
    /// The whole, as it came.
    pub raw: String,
}

impl Received {
    /// The code in it: a line of its own.
    pub fn code(&self) -> String {
        let code = self.body.lines().find(|line| line.len() == 43 && !line.contains(' '));
        code.unwrap_or_else(|| panic!("no code in {}", self.body)).to_owned()
    }
}

/// Listens on a port of its own until the tests end.
#[derive(Clone)]
pub struct MailServer {
    pub address: SocketAddr,
    inbox: watch::Receiver<Vec<Received>>,
    answer: Arc<Mutex<Response>>,
    log_ins: Arc<Mutex<Vec<(String, String)>>>,
    refusals: watch::Receiver<usize>,
    silence: Arc<Silence>,
}

/// Whom the server does not answer about, and what it is waited for with.
struct Silence {
    about: Mutex<Option<String>>,
    over: Condvar,
    met: watch::Sender<usize>,
    full: Mutex<bool>,
}

impl Silence {
    /// Returns when the server answers about somebody.
    fn wait(&self, to: &str) {
        let about = self.about.lock().unwrap();
        let is_met = |about: &mut Option<String>| about.as_deref() == Some(to);
        if about.as_deref() == Some(to) {
            self.met.send_modify(|count| *count += 1);
        }
        drop(self.over.wait_while(about, is_met).unwrap());
    }
}

#[derive(Clone)]
struct Keeper {
    silence: Arc<Silence>,
    inbox: Arc<watch::Sender<Vec<Received>>>,
    answer: Arc<Mutex<Response>>,
    log_ins: Arc<Mutex<Vec<(String, String)>>>,
    refusals: Arc<watch::Sender<usize>>,
    to: Vec<String>,
    data: Vec<u8>,
}

impl Handler for Keeper {
    fn mail(&mut self, _: IpAddr, _: &str, _: &str) -> Response {
        self.to.clear();
        OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        self.silence.wait(to);
        let answer = self.answer.lock().unwrap().clone();
        if answer == OK {
            self.to.push(to.to_owned());
        } else {
            self.refusals.send_modify(|count| *count += 1);
        }
        answer
    }

    fn data_start(&mut self, _: &str, _: &str, _: bool, _: &[String]) -> Response {
        self.data.clear();
        OK
    }

    fn data(&mut self, part: &[u8]) -> std::io::Result<()> {
        self.data.extend_from_slice(part);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        if *self.silence.full.lock().unwrap() {
            self.refusals.send_modify(|count| *count += 1);
            return INTERNAL_ERROR;
        }
        let raw = String::from_utf8(self.data.clone()).unwrap().replace("\r\n", "\n");
        let (head, body) = raw.split_once("\n\n").unwrap();
        let header = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        let received = Received {
            to: self.to.join(","),
            subject: header("Subject:"),
            message_id: header("Message-ID:"),
            body: body.to_owned(),
            raw: raw.clone(),
        };
        self.inbox.send_modify(|inbox| inbox.push(received));
        OK
    }

    fn auth_plain(&mut self, _: &str, user: &str, password: &str) -> Response {
        self.log_ins.lock().unwrap().push((user.to_owned(), password.to_owned()));
        if password == "right" { AUTH_OK } else { INVALID_CREDENTIALS }
    }
}

impl MailServer {
    pub fn start() -> Self {
        Self::with(SslConfig::None)
    }

    /// With STARTTLS and a certificate from these files, for users with the password `right`.
    pub fn with_tls(certificate: &Path, key: &Path) -> Self {
        // The server takes the process's choice, which it has none of with two backends linked.
        drop(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider().install_default());
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        Self::with(SslConfig::SelfSigned { cert_path: text(certificate), key_path: text(key) })
    }

    fn with(ssl: SslConfig) -> Self {
        let (sender, inbox) = watch::channel(Vec::new());
        let (answer, log_ins) = (Arc::new(Mutex::new(OK)), Arc::default());
        let (refuse, refusals) = watch::channel(0);
        let silence = Arc::new(Silence {
            about: Mutex::default(),
            over: Condvar::new(),
            met: watch::Sender::new(0),
            full: Mutex::new(false),
        });
        let keeper = Keeper {
            silence: Arc::clone(&silence),
            refusals: Arc::new(refuse),
            inbox: Arc::new(sender),
            answer: Arc::clone(&answer),
            log_ins: Arc::clone(&log_ins),
            to: Vec::new(),
            data: Vec::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = Server::new(keeper);
        server.with_tcp_listener(listener).with_num_threads(16);
        if !matches!(ssl, SslConfig::None) {
            server.with_auth(AuthMechanism::Plain).with_ssl(ssl).unwrap();
        }
        // It cannot be stopped; the process ends with the tests.
        std::thread::spawn(move || drop(server.serve()));
        Self { address, inbox, answer, log_ins, refusals, silence }
    }

    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// What it says about each recipient from now on.
    pub fn answer(&self, answer: Response) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Falls silent whenever this recipient is named, or about nobody any more: then it says what it
    /// would have said.
    pub fn hush(&self, about: Option<&str>) {
        *self.silence.about.lock().unwrap() = about.map(str::to_owned);
        self.silence.over.notify_all();
    }

    /// Waits until it has fallen silent so many times.
    pub async fn hushed(&self, least: usize) {
        let mut met = self.silence.met.subscribe();
        let met = met.wait_for(|count| *count >= least);
        let met = tokio::time::timeout(Duration::from_secs(20), met).await;
        met.expect("a letter is tried").unwrap();
    }

    /// Whether it refuses letters when it has heard all of them, for now; that counts as a refusal.
    pub fn full(&self, full: bool) {
        *self.silence.full.lock().unwrap() = full;
    }

    /// Who logged in.
    pub fn log_ins(&self) -> Vec<(String, String)> {
        self.log_ins.lock().unwrap().clone()
    }

    /// Waits until it has refused so many recipients.
    pub async fn refusals(&self, least: usize) {
        let mut refusals = self.refusals.clone();
        let refused = refusals.wait_for(|count| *count >= least);
        let refused = tokio::time::timeout(Duration::from_secs(20), refused).await;
        refused.expect("a letter is tried").unwrap();
    }

    /// All that came until now.
    pub fn all(&self) -> Vec<Received> {
        self.inbox.borrow().clone()
    }

    /// Waits for so many letters to somebody; the last one of these.
    pub async fn nth(&self, count: usize, to: &str) -> Received {
        let mut inbox = self.inbox.clone();
        let to_them = |inbox: &Vec<Received>| {
            inbox.iter().filter(|letter| letter.to == to).nth(count - 1).cloned()
        };
        let found = inbox.wait_for(|inbox| to_them(inbox).is_some());
        let found = tokio::time::timeout(Duration::from_secs(20), found).await;
        let Ok(Ok(found)) = found else { panic!("no letter {count} to {to}: {:?}", self.all()) };
        to_them(&found).unwrap()
    }

    /// Waits for a letter to somebody whose subject begins with this. Letters may overtake each other.
    pub async fn about(&self, to: &str, subject: &str) -> Received {
        let mut inbox = self.inbox.clone();
        let is_it = |letter: &&Received| letter.to == to && letter.subject.starts_with(subject);
        let found = inbox.wait_for(|inbox| inbox.iter().any(|letter| is_it(&letter)));
        let found = tokio::time::timeout(Duration::from_secs(20), found).await;
        let Ok(Ok(found)) = found else { panic!("no {subject:?} to {to}: {:?}", self.all()) };
        found.iter().find(is_it).cloned().unwrap()
    }

    /// Waits for the first letter to somebody.
    pub async fn letter(&self, to: &str) -> Received {
        self.nth(1, to).await
    }
}

impl World {
    pub fn email(&self) -> EmailServiceClient<Channel> {
        EmailServiceClient::new(self.channel.clone())
    }

    /// A server on the same database that sends mail, and where it goes.
    pub async fn mailing(&self, settings: &[(&str, &str)]) -> (Self, MailServer) {
        let server = MailServer::start();
        (self.mailing_to(&server, settings).await, server)
    }

    /// A server on the same database that sends mail there.
    pub async fn mailing_to(&self, server: &MailServer, settings: &[(&str, &str)]) -> Self {
        let url = server.url();
        let mut all = vec![("mail.transport", "smtp"), ("mail.smtp_url", url.as_str())];
        all.extend_from_slice(settings);
        let mut world = self.beside_with(&all).await;
        world.mail = Some(server.clone());
        world
    }

    /// A server on the same database that sends mail there, and waits a few seconds only for the mail server.
    pub async fn impatient(&self, url: &str) -> Self {
        let settings = [("mail.transport", "smtp"), ("mail.smtp_url", url)];
        let mut config = config(&self.served, self._folder.path(), &settings);
        config.mail.patience = Duration::from_secs(8);
        let urls = (self.url.clone(), self.served.clone());
        let folder = Arc::clone(&self._folder);
        Self::configured(self.engine, urls, folder, config, self.clock.now()).await
    }

    /// Waits until no letter waits to be sent.
    pub async fn nothing_waits(&self) {
        let wait = async {
            while self.count("SELECT count(*) FROM letters").await > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the letters leave");
    }
}
