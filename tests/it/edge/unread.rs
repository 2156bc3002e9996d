//! Answers that nobody reads: they take a bounded part of the memory, are given up in time, and keep nobody
//! else from an answer.

use std::net::SocketAddr;

use daybook::grpc::proto::booking::{
    AppointmentType, ListSlotsRequest, availability_service_client::AvailabilityServiceClient,
};
use prost::Message as _;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
};

use crate::support::{
    Engine,
    frames::{
        self, ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, call, frame, message,
    },
    people::Person,
    practice::offered_by,
    process::{Process, until, within},
    rounds,
    types::{kind, minutes},
};

const LIST_SLOTS: &str = "/daybook.booking.v1.AvailabilityService/ListSlots";
const GET_ME: &str = "/daybook.auth.v1.AuthService/GetMe";
/// Calls of one connection.
const EACH: u32 = 60;
const MIB: u64 = 1024;

/// Asks for this so many times, and takes nothing of the answers. With `trickle` it lets one byte of each come.
async fn ask(
    process: &Process,
    (path, body, person): (&str, &[u8], &Person),
    trickle: u32,
) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 1, 1], 0))).unwrap();
    let mut stream = socket.connect(process.address).await.unwrap();
    let window = [&[0, 4][..], &trickle.to_be_bytes()].concat();
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &window), &frame(SETTINGS, ACK, 0, &[])];
    stream.write_all(&hello.concat()).await.unwrap();
    for number in 0..EACH {
        let id = 2 * number + 1;
        let headers = frame(HEADERS, END_HEADERS, id, &call(path, Some(&person.token)));
        let body = frame(DATA, END_STREAM, id, &message(body));
        stream.write_all(&[headers, body].concat()).await.unwrap();
    }
    stream
}

/// Reads until the server ends the connection, for whatever reason.
async fn ends(stream: &mut TcpStream) {
    while let Ok(Some(_)) = frames::next(stream).await {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_are_given_up_and_hold_up_nobody() {
    let process = Process::start(Engine::Sqlite, &[]).await;
    let (provider, customers) = (process.provider().await, process.customers(2).await);
    let owner = provider.provider();
    let of = AppointmentType { owner, slot_step: minutes(5), ..kind(&[5]) };
    let name = offered_by(&process.channel, &provider, of, &[]).await;
    let question =
        ListSlotsRequest { appointment_type: name, page_size: 5000, ..Default::default() };
    let mut honest = AvailabilityServiceClient::new(process.channel.clone());
    let mut list = async || {
        let request = customers[1].asks(question.clone());
        honest.list_slots(request).await.unwrap().into_inner().slots.len()
    };
    assert_eq!(list().await, 5000);
    let large = question.encode_to_vec();
    let before = process.resident_kib();

    // Small ones as well, and ones of which a byte is taken.
    let mut unread = vec![
        ask(&process, (GET_ME, &[], &customers[0]), 0).await,
        ask(&process, (GET_ME, &[], &customers[0]), 1).await,
    ];
    let mut highest = before;
    for number in 0..rounds(6, 30) {
        let trickle = u32::try_from(number % 2).unwrap();
        let mut stream = ask(&process, (LIST_SLOTS, &large, &customers[0]), trickle).await;
        // All of them are made; but for the last ones the first are given up meanwhile.
        let made = tokio::time::timeout(std::time::Duration::from_secs(60), async {
            while let Ok(Some(frame)) = frames::next(&mut stream).await {
                if frame.kind == HEADERS && frame.stream == 2 * EACH - 1 {
                    break;
                }
            }
        });
        made.await.expect("the last answer, or the end");
        highest = highest.max(process.resident_kib());
        unread.push(stream);
        // Somebody else's answer comes, and comes whole.
        assert_eq!(list().await, 5000);
    }
    let grew = (highest - before) / MIB;
    println!("{} unread answers: {grew} MiB more", unread.len() * EACH as usize);
    assert!(grew < 160, "{grew} MiB");
    // Half a minute later the others are given up too, and their connections are ended.
    for mut stream in unread {
        within(45, "the end of a connection", ends(&mut stream)).await;
    }
    let back = || async { process.resident_kib() < before + 40 * MIB };
    until(30, "the memory is given back", back).await;
    assert_eq!(list().await, 5000);
}
