//! The processes that are measured: the release binary, and a server that does nothing.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use daybook::grpc::proto::booking::{
    ExplainSlotRequest, ExplainSlotResponse, FindFirstSlotRequest, FindFirstSlotResponse,
    ListSlotsRequest, ListSlotsResponse, Slot,
    availability_service_server::{AvailabilityService, AvailabilityServiceServer},
};
use prost_types::Timestamp;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint, Server},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{Outcome, postgres::free_port};

/// What the binary is called in its folder.
pub(crate) const BINARY: &str = "daybook";
/// The unit of times in `/proc`, the same on every Linux.
const TICKS: f64 = 100.0;
const PATIENCE: Duration = Duration::from_secs(60);

/// A server in a process of its own; gone with this value.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    port: u16,
    log: PathBuf,
    /// From the start of the process to SERVING.
    pub(crate) started_in: Duration,
}

impl Process {
    /// Starts the release binary with its default settings, apart from the address, the database, the
    /// log and what one address and one caller may do, and waits until it serves.
    pub(crate) async fn daybook(folder: &Path, database_url: &str) -> Outcome<Self> {
        // The benchmark's log-ins come from no known device, and real ones rarely do: no letters.
        Self::daybook_with(folder, database_url, &[("DAYBOOK_MAIL_TRANSPORT", "none")]).await
    }

    /// The same with more settings, or others.
    pub(crate) async fn daybook_with(
        folder: &Path,
        database_url: &str,
        settings: &[(&str, &str)],
    ) -> Outcome<Self> {
        let port = free_port()?;
        let mut command = Command::new(folder.join(BINARY));
        command
            .args(["--log-level=warn", "--log-format=text"])
            .arg(format!("--listen=127.0.0.1:{port}"))
            .env("DAYBOOK_DATABASE_URL", database_url)
            // Everybody comes from one address.
            .env("DAYBOOK_AUTH_ATTEMPTS_PER_ADDRESS", "1000000")
            .env("DAYBOOK_AUTH_ATTEMPTS_IN_ALL", "1000000")
            // Few users make all the calls.
            .env("DAYBOOK_SERVER_CALLER_READS_PER_SECOND", "0")
            .env("DAYBOOK_SERVER_CALLER_WRITES_PER_SECOND", "0")
            .env("DAYBOOK_SERVER_ADDRESS_CALLS_PER_SECOND", "0")
            .env("DAYBOOK_SERVER_ADDRESS_CONNECTIONS_PER_SECOND", "0")
            // The crowd meets after everything else.
            .env("DAYBOOK_SCHEDULE_INTERVAL_HORIZON_DAYS", "62000")
            .envs(settings.iter().copied());
        Self::start(command, folder, port).await
    }

    /// Starts the server that does nothing.
    pub(crate) async fn echo(folder: &Path) -> Outcome<Self> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["echo", &port.to_string()]);
        Self::start(command, folder, port).await
    }

    async fn start(mut command: Command, folder: &Path, port: u16) -> Outcome<Self> {
        let log = folder.join(format!("log-{port}"));
        let file = File::create(&log)?;
        // The folder has no settings file, and keeps the master key from one start to the next.
        command.current_dir(folder).stdout(file.try_clone()?).stderr(file);
        let began = Instant::now();
        let child = command.spawn()?;
        let mut process = Self { child, port, log, started_in: Duration::ZERO };
        process.wait(began).await?;
        process.started_in = began.elapsed();
        Ok(process)
    }

    async fn wait(&mut self, began: Instant) -> Outcome {
        let mut channel = None;
        loop {
            if channel.is_none() {
                channel = self.endpoint()?.connect().await.ok();
            }
            if let Some(channel) = channel.clone() {
                let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
                if answer.is_ok_and(|a| a.into_inner().status() == ServingStatus::Serving) {
                    return Ok(());
                }
            }
            if self.child.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(&self.log)?;
                return Err(format!("a server does not start:\n{log}").into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn endpoint(&self) -> Outcome<Endpoint> {
        Ok(Endpoint::from_shared(format!("http://127.0.0.1:{}", self.port))?)
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// One connection.
    pub(crate) async fn connect_once(&self) -> Outcome<Channel> {
        Ok(self.endpoint()?.connect().await?)
    }

    /// So many connections.
    pub(crate) async fn connect(&self, connections: usize) -> Outcome<Vec<Channel>> {
        let mut channels = Vec::new();
        for _ in 0..connections {
            channels.push(self.connect_once().await?);
        }
        Ok(channels)
    }

    /// The processor time used so far, in user and kernel mode.
    fn cpu_seconds(&self) -> Outcome<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, in brackets, may hold spaces; times are the 14th and 15th field.
        let rest = stat.rsplit_once(')').ok_or("/proc has no stat")?.1;
        let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        let ticks: f64 = ticks.sum::<Result<_, _>>()?;
        Ok(ticks / TICKS)
    }

    /// The resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.ok_or("/proc has no VmRSS")?.parse()?)
    }
}

/// The processor time that a process used over some calls.
///
/// Other work on the machine lowers rates; this it changes much less.
#[derive(Debug)]
pub(crate) struct Meter<'a> {
    process: &'a Process,
    before: f64,
}

impl<'a> Meter<'a> {
    /// From now on.
    pub(crate) fn start(process: &'a Process) -> Outcome<Self> {
        Ok(Self { process, before: process.cpu_seconds()? })
    }

    /// Microseconds for each of so many calls.
    pub(crate) fn micros_each(&self, calls: usize) -> Outcome<f64> {
        let used = self.process.cpu_seconds()? - self.before;
        Ok(used * 1e6 / f64::from(u32::try_from(calls)?.max(1)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies the release binary, so that the same one is measured to the end whatever is built meanwhile.
pub(crate) fn take_binary(folder: &Path) -> Outcome {
    std::fs::copy(env!("CARGO_BIN_EXE_daybook"), folder.join(BINARY))?;
    Ok(())
}

/// Serves health, whose check reads one word from memory, and lists of as many slots as are asked for,
/// whoever asks: tonic as it comes.
pub(crate) fn echo(port: &str) -> Outcome {
    let address = format!("127.0.0.1:{port}").parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (_reporter, health) = tonic_health::server::health_reporter();
        let slots = AvailabilityServiceServer::new(Constant);
        let server = Server::builder().tcp_nodelay(true);
        Ok({ server }.add_service(health).add_service(slots).serve(address).await?)
    })
}

/// Answers without having looked.
struct Constant;

#[tonic::async_trait]
impl AvailabilityService for Constant {
    async fn list_slots(
        &self,
        request: Request<ListSlotsRequest>,
    ) -> Result<Response<ListSlotsResponse>, Status> {
        let message = request.into_inner();
        let start = message.start_time.map_or(0, |at| at.seconds);
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let slot = |number: i32| {
            let start = start + i64::from(number) * 1800;
            let providers = message.providers.clone();
            Slot { start_time: at(start), end_time: at(start + 1800), providers }
        };
        let slots = (0..message.page_size).map(slot).collect();
        Ok(Response::new(ListSlotsResponse { slots, ..Default::default() }))
    }

    async fn find_first_slot(
        &self,
        _: Request<FindFirstSlotRequest>,
    ) -> Result<Response<FindFirstSlotResponse>, Status> {
        Err(Status::unimplemented("there are only lists"))
    }

    async fn explain_slot(
        &self,
        _: Request<ExplainSlotRequest>,
    ) -> Result<Response<ExplainSlotResponse>, Status> {
        Err(Status::unimplemented("there are only lists"))
    }
}
