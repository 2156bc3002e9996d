//! Phone numbers of accounts.

use daybook::grpc::proto::auth::{UpdateMeRequest, User};
use prost_types::FieldMask;
use tonic::{Response, Status};

use super::PHONE;
use crate::{
    conformance::behaviours,
    support::{World, people::Person, refusal::invalid},
};

behaviours!(a_number_is_checked_and_has_one_form, the_mask_says_whether_a_number_goes,);

async fn set(
    world: &World,
    person: &Person,
    phone: &str,
    mask: &[&str],
) -> Result<Response<User>, Status> {
    let paths: Vec<String> = mask.iter().map(|path| (*path).to_owned()).collect();
    let request = UpdateMeRequest {
        user: Some(User {
            phone: phone.to_owned(),
            display_name: "Ada".to_owned(),
            time_zone: "UTC".to_owned(),
            ..Default::default()
        }),
        update_mask: (!paths.is_empty()).then_some(FieldMask { paths }),
        ..Default::default()
    };
    let answer = world.auth().update_me(person.asks(request)).await?;
    Ok(Response::new(answer.into_inner().user.unwrap()))
}

async fn a_number_is_checked_and_has_one_form(world: World) {
    let (ada, eve) = (world.customer().await, world.customer().await);
    for spelling in [PHONE, "+49 30 12345678", " +49 (0)30/1234-5678 "] {
        let user = set(&world, &ada, spelling, &["phone"]).await.unwrap().into_inner();
        assert_eq!(user.phone, PHONE);
    }
    // Families share one.
    assert_eq!(set(&world, &eve, PHONE, &[]).await.unwrap().into_inner().phone, PHONE);
    let long = "+49".repeat(30);
    for wrong in ["030 12345678", "+49", "0049 30 12345678", "+1 201 555 012", "x", " ", &long] {
        invalid(set(&world, &ada, wrong, &["phone"]).await, &["user.phone"]);
    }
}

async fn the_mask_says_whether_a_number_goes(world: World) {
    let ada = world.customer().await;
    set(&world, &ada, PHONE, &[]).await.unwrap();
    // Empty is not set.
    assert_eq!(set(&world, &ada, "", &[]).await.unwrap().into_inner().phone, PHONE);
    let named = set(&world, &ada, "", &["display_name"]).await.unwrap().into_inner();
    assert_eq!(named.phone, PHONE);
    assert_eq!(set(&world, &ada, "", &["phone"]).await.unwrap().into_inner().phone, "");
    set(&world, &ada, PHONE, &["*"]).await.unwrap();
    assert_eq!(set(&world, &ada, "", &["*"]).await.unwrap().into_inner().phone, "");
}
