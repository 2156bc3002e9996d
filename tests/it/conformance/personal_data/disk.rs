//! What is erased is not in the files either, judged by their bytes.

use std::fs;

use daybook::grpc::proto::{
    auth::{Role, SignUpRequest},
    booking::BookAppointmentRequest,
};

use crate::support::{
    Engine, World, berlin,
    people::{booking, sign_up},
};

const NAME: &str = "Xylophila";
const NOTE: &str = "quixotic-knee";

/// How often both words stand in the database's files.
fn traces(world: &World) -> usize {
    let path = world.url.strip_prefix("sqlite:").unwrap();
    let count = |ending: &str, word: &str| {
        let bytes = fs::read(format!("{path}{ending}")).unwrap_or_default();
        bytes.windows(word.len()).filter(|part| *part == word.as_bytes()).count()
    };
    let words = [NAME, NOTE];
    words.iter().map(|word| count("", word) + count("-wal", word) + count("-shm", word)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_customer_leaves_no_byte_in_the_files_of_sqlite() {
    let world = World::new(Engine::Sqlite).await;
    let request = SignUpRequest { display_name: NAME.to_owned(), ..sign_up(Role::Customer) };
    let email = request.email.clone();
    world.auth().sign_up(request).await.unwrap();
    let customer = world.log_in(&email).await;
    let providers = [world.provider().await, world.provider().await];
    for number in 0..60 {
        let provider = &providers[number % 2];
        let day = 23 + number / 30;
        let at = |minute: usize| {
            let minutes = 9 * 60 + (number % 30) * 10 + minute;
            berlin(&format!("2026-11-{day} {:02}:{:02}", minutes / 60, minutes % 60))
        };
        let note = format!("{NOTE} {number}");
        let request = BookAppointmentRequest { note, ..booking(provider, at(0), at(10)) };
        world.send(&customer, request).await.unwrap();
    }
    assert!(traces(&world) > 60, "{}", traces(&world));
    world.leaves(&customer).await.unwrap();
    world.erasures_end().await;
    assert_eq!(traces(&world), 0);
}
