//! Sockets that say little, or listen little.

use daybook::grpc::proto::auth::{GetMeRequest, auth_service_client::AuthServiceClient};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};

use crate::support::{
    Engine,
    frames::{self, DATA, END_HEADERS, END_STREAM, HEADERS, call, frame, message},
    process::{Process, closed, until, within},
    rounds,
};

const GET_ME: &str = "/daybook.auth.v1.AuthService/GetMe";
const LIST: &str = "/daybook.booking.v1.ScheduleService/ListProviders";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_sockets_are_closed_while_others_are_served() {
    let settings = [
        ("server.first_bytes_timeout_ms", "1000"),
        ("server.max_connections", "20000"),
        ("server.max_connections_per_address", "20000"),
    ];
    let process = Process::start(Engine::Sqlite, &settings).await;
    let person = &process.customers(1).await[0];
    let mut sockets = Vec::new();
    for number in 0..rounds(300, 5000) {
        let mut stream = TcpStream::connect(process.address).await.unwrap();
        // Nothing, a part of the preface, and a part of a TLS hello.
        let bytes = [&b""[..], b"PRI * HTT", &[0x16, 3, 1, 0, 200, 1, 0, 0, 196]][number % 3];
        stream.write_all(bytes).await.unwrap();
        sockets.push(stream);
    }
    let began = Instant::now();
    let mut client = AuthServiceClient::new(process.connect().await);
    client.get_me(person.asks(GetMeRequest {})).await.unwrap();
    println!("{} silent sockets; a new client was served in {:?}", sockets.len(), began.elapsed());
    for mut stream in sockets {
        within(10, "the close", async { while !closed(&mut stream).await {} }).await;
    }
    println!("all closed {:?} later", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_comes_byte_by_byte_ends_at_its_deadline_and_holds_no_place() {
    // Longer than what a body may take, and one place in all.
    let settings = [("server.default_deadline_ms", "25000"), ("server.max_in_flight", "1")];
    let process = Process::start(Engine::Sqlite, &settings).await;
    let person = &process.customers(1).await[0];
    let mut slow = frames::connect(process.address, &[]).await;
    let began = Instant::now();
    let headers = call(GET_ME, Some(&person.token));
    slow.write_all(&frame(HEADERS, END_HEADERS, 1, &headers)).await.unwrap();
    let (mut from, mut to) = slow.into_split();
    let trickle = tokio::spawn(async move {
        // The head of a long message, and then a byte at a time.
        let mut bytes = vec![0, 0, 0, 0xff, 0];
        while to.write_all(&frame(DATA, 0, 1, &bytes)).await.is_ok() {
            bytes = vec![0];
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let answer = tokio::spawn(async move {
        loop {
            let frame = frames::next(&mut from).await.unwrap().expect("an answer");
            if frame.kind == HEADERS {
                return frame;
            }
        }
    });
    let mut client = AuthServiceClient::new(process.channel.clone());
    let mut served = 0;
    while !answer.is_finished() {
        client.get_me(person.asks(GetMeRequest {})).await.unwrap();
        served += 1;
        assert!(began.elapsed().as_secs() < 20, "{served}");
    }
    println!("ended after {:?}; {served} others were served meanwhile", began.elapsed());
    assert!(began.elapsed().as_secs() >= 5 && served > 10, "{served}");
    assert_ne!(answer.await.unwrap().flags & END_STREAM, 0);
    trickle.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_are_bounded() {
    let process = Process::start(Engine::Sqlite, &[("server.max_in_flight", "8")]).await;
    let provider = process.provider().await;
    let before = process.resident_kib();
    let count = rounds(200, 2000);
    let mut kept = Vec::new();
    for connection in 0..count / 200 {
        // INITIAL_WINDOW_SIZE 0: no answer may be sent.
        let mut stream = frames::connect(process.address, &[(4, 0)]).await;
        for number in 0..200 {
            let id = 2 * number + 1;
            let headers = call(LIST, Some(&provider.token));
            let parts = [
                frame(HEADERS, END_HEADERS, id, &headers),
                frame(DATA, END_STREAM, id, &message(&[])),
            ];
            stream.write_all(&parts.concat()).await.unwrap();
        }
        kept.push(stream);
        let mut client = AuthServiceClient::new(process.channel.clone());
        let answered = client.get_me(provider.asks(GetMeRequest {}));
        // Refused or answered, but at once: nobody waits for those who do not read.
        let _ = within(10, "an answer", answered).await;
        println!("{connection}: {} KiB", process.resident_kib());
    }
    let growth = process.resident_kib().saturating_sub(before);
    println!("{count} answers that nobody reads: {growth} KiB more");
    assert!(growth < 64 * 1024, "{growth} KiB");
    // Answers that wait hold no place.
    let client = AuthServiceClient::new(process.channel.clone());
    let free = async || client.clone().get_me(provider.asks(GetMeRequest {})).await.is_ok();
    until(10, "a place is free", free).await;
}
