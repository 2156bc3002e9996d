//! What somebody learns who asks for another address to see who has an account: nothing.

use super::{change::ask, confirm_change, rows, vouched};
use crate::{
    conformance::behaviours,
    support::{World, mail_server::MailServer, people::PASSWORD, raw::seen, refusal::refused},
};

behaviours!(an_address_that_is_asked_for_tells_nothing_through_another_one);

/// What somebody sees who asks for an address of their own, then for the probe, then confirms the first and
/// asks for it anew.
async fn sequence(world: &World, mail: &MailServer, number: usize, probe: &str) -> Vec<String> {
    let person = world.customer().await;
    vouched(world, &person).await;
    let own = format!("own-{number}@example.org");
    let mut told = Vec::new();
    let before = rows(world).await;
    ask(world, &person, &own, PASSWORD).await.unwrap();
    let code = mail.letter(&own).await.code();
    let answer = ask(world, &person, probe, PASSWORD).await;
    told.push(format!("{:?}", answer.as_ref().map_err(seen)));
    let answer = confirm_change(world, &code).await;
    told.push(format!("{:?}", answer.as_ref().map(|user| user.email_verified).map_err(seen)));
    // The same rows each time, as anybody sees who measures how long a call takes.
    let (before, after) = (numbers(&before), numbers(&rows(world).await));
    told.push(format!("{:?}", after.iter().zip(&before).map(|(a, b)| a - b).collect::<Vec<_>>()));
    refused(answer, "CODE_REFUSED");
    // The present address was told of both.
    mail.nth(2, &person.user.email).await;
    ask(world, &person, &own, PASSWORD).await.unwrap();
    let code = mail.nth(2, &own).await.code();
    let answer = confirm_change(world, &code).await.unwrap();
    told.push(format!("{} {}", answer.email_verified, answer.email == own));
    told
}

fn numbers(rows: &str) -> Vec<i64> {
    rows.split(' ').map(|number| number.parse().unwrap()).collect()
}

async fn an_address_that_is_asked_for_tells_nothing_through_another_one(world: World) {
    let (unverified, verified) = (world.customer().await, world.provider().await);
    let disabled = world.customer().await;
    let (world, mail) = world.mailing(&[]).await;
    vouched(&world, &verified).await;
    let disable =
        format!("UPDATE users SET disabled = true WHERE email = '{}'", disabled.user.email);
    world.execute(&disable, &disable).await;
    let mut told = Vec::new();
    for (number, probe) in
        ["nobody@example.org", &unverified.user.email, &verified.user.email, &disabled.user.email]
            .into_iter()
            .enumerate()
    {
        told.push(sequence(&world, &mail, number, probe).await);
    }
    assert!(told.iter().all(|each| *each == told[0]), "{told:#?}");
}
