//! Admins against each other: an installation is never left without one.

use daybook::grpc::proto::auth::{
    DisableUserRequest, EnableUserRequest, GetMeRequest, Role, SetUserRoleRequest,
};
use tonic::{Code, Status};

use super::behaviours;
use crate::support::{World, people::Person, refusal::refused, rounds};

behaviours!(
    admins_who_end_each_other_leave_one,
    who_is_no_longer_an_admin_changes_nobody,
    admins_in_a_ring_leave_one,
);

/// How many admins there are who can act.
const ENABLED: &str = "SELECT count(*) FROM users WHERE role = 'admin' AND NOT disabled";

async fn demote(world: &World, by: &Person, whom: &Person) -> Result<(), Status> {
    let name = whom.user.name.clone();
    let role = Role::Customer.into();
    let request = SetUserRoleRequest { name, role, ..Default::default() };
    world.auth().set_user_role(by.asks(request)).await.map(drop)
}

async fn disable(world: &World, by: &Person, whom: &Person) -> Result<(), Status> {
    let request = DisableUserRequest { name: whom.user.name.clone(), ..Default::default() };
    world.auth().disable_user(by.asks(request)).await.map(drop)
}

/// Makes somebody an admin who can act, whatever he was, and logs in at the other server.
async fn restore(worlds: (&World, &World), by: &Person, whom: &Person) -> Person {
    let request = EnableUserRequest { name: whom.user.name.clone(), ..Default::default() };
    worlds.0.auth().enable_user(by.asks(request)).await.unwrap();
    worlds.0.promote(by, whom, Role::Admin).await;
    worlds.1.log_in(&whom.user.email).await
}

async fn admins_who_end_each_other_leave_one(world: World) {
    // Each at a server of their own, so that no token is known to have ended before the transaction.
    let other = world.beside().await;
    let (mut one, mut two) = (world.admin().await, world.admin().await);
    for round in 0..rounds(12, 200) {
        let (first, second) = match round % 3 {
            0 => tokio::join!(demote(&world, &one, &two), demote(&other, &two, &one)),
            1 => tokio::join!(disable(&world, &one, &two), disable(&other, &two, &one)),
            _ => tokio::join!(demote(&world, &one, &two), disable(&other, &two, &one)),
        };
        assert_eq!(world.count(ENABLED).await, 1, "round {round}");
        // The later one is told what their next call would be told.
        match (first, second) {
            (Ok(()), lost) => {
                refused(lost, "NOT_AUTHENTICATED");
                two = restore((&world, &other), &one, &two).await;
            }
            (lost, Ok(())) => {
                refused(lost, "NOT_AUTHENTICATED");
                one = restore((&other, &world), &two, &one).await;
            }
            (first, second) => panic!("nobody won: {first:?}, {second:?}"),
        }
        assert_eq!(world.count(ENABLED).await, 2);
    }
}

async fn who_is_no_longer_an_admin_changes_nobody(world: World) {
    let (admin, person) = (world.admin().await, world.customer().await);
    let id = admin.user.name.trim_start_matches("users/").replace('-', "");
    // Past the server, which so keeps trusting the token: as a process that has not heard yet.
    for (change, back) in
        [("role = 'customer'", "role = 'admin'"), ("disabled = true", "disabled = false")]
    {
        let execute = async |change: &str| {
            let sqlite = format!("UPDATE users SET {change} WHERE hex(user_id) = upper('{id}')");
            let postgres = format!("UPDATE users SET {change} WHERE user_id = '{id}'");
            world.execute(&sqlite, &postgres).await;
        };
        execute(change).await;
        let before = world.state().await;
        refused(demote(&world, &admin, &person).await, "NOT_AUTHENTICATED");
        refused(disable(&world, &admin, &person).await, "NOT_AUTHENTICATED");
        let name = "users/01980000-0000-7000-8000-000000000000".to_owned();
        let absent = DisableUserRequest { name, ..Default::default() };
        refused(world.auth().disable_user(admin.asks(absent)).await, "NOT_AUTHENTICATED");
        assert_eq!(world.state().await, before);
        execute(back).await;
    }
    disable(&world, &admin, &person).await.unwrap();
}

async fn admins_in_a_ring_leave_one(world: World) {
    // Admins in a ring, each of whom ends the next: nobody waits in a circle, and somebody is left.
    let mut ring = Vec::new();
    for _ in 0..4 {
        ring.push(world.admin().await);
    }
    let (a, b, c, d) = (&ring[0], &ring[1], &ring[2], &ring[3]);
    let done = tokio::join!(
        demote(&world, a, b),
        demote(&world, b, c),
        demote(&world, c, d),
        demote(&world, d, a)
    );
    let done = [done.0, done.1, done.2, done.3];
    let won = done.iter().filter(|answer| answer.is_ok()).count();
    for lost in done.into_iter().filter(Result::is_err) {
        assert_eq!(lost.unwrap_err().code(), Code::Unauthenticated);
    }
    let left = world.count(ENABLED).await;
    assert_eq!(left, 4 - i64::try_from(won).unwrap());
    assert!((1..4).contains(&left), "{left}");
    let mut acting = 0;
    for person in &ring {
        acting += i64::from(world.auth().get_me(person.asks(GetMeRequest {})).await.is_ok());
    }
    assert_eq!(acting, left);
}
