//! Finding people by the beginning of a name, an address or a number.

use daybook::grpc::proto::auth::{
    EraseUserRequest, SearchCustomersRequest, UpdateMeRequest, User,
    personal_data_service_client::PersonalDataServiceClient,
};

use super::{PHONE, caller, desk, enrol, found, searching};
use crate::{
    conformance::behaviours,
    support::{
        World,
        people::Person,
        refusal::{invalid, refused},
    },
};

behaviours!(
    people_are_found_by_name_address_and_number,
    a_search_goes_on_page_by_page,
    what_is_found_follows_what_changes,
    bad_searches_are_told_by_field,
);

async fn people_are_found_by_name_address_and_number(world: World) {
    let admin = world.admin().await;
    let add = async |name: &str, email: &str, phone: &str| {
        enrol(&world, &admin, caller(name, email, phone)).await.unwrap().name
    };
    let ozlem = add("Özlem Straßer-Kaya", "kaya@example.org", "").await;
    let anna = add("Anna-Lena O’Brien", "", PHONE).await;
    let ada = add("Dr. Ada Öztürk", "oe@example.org", "+12015550123").await;
    let ask = async |prefix: &str| found(&world, &admin, prefix, 0).await;
    for (prefix, expected) in [
        // By word.
        ("oz", vec![&ozlem, &ada]),
        ("ÖZ", vec![&ozlem, &ada]),
        ("o\u{308}ztü", vec![&ada]),
        ("strasser", vec![&ozlem]),
        ("KAYA", vec![&ozlem]),
        ("lena o'br", vec![&anna]),
        ("ada  ozt", vec![&ada]),
        ("da", vec![]),
        // By address.
        ("kaya@ex", vec![&ozlem]),
        ("OE@", vec![&ada]),
        // By number.
        ("+49 30", vec![&anna]),
        ("0049 30 12", vec![&anna]),
        ("030/1234-56", vec![&anna]),
        ("4930", vec![&anna]),
        ("(201) 555", vec![&ada]),
        ("0201", vec![]),
        ("%", vec![]),
        ("_", vec![]),
    ] {
        let expected: Vec<&str> = expected.into_iter().map(|name| &**name).collect();
        let mut names = ask(prefix).await;
        names.sort();
        let mut sorted = expected.clone();
        sorted.sort_unstable();
        assert_eq!(names, sorted, "{prefix}");
    }
}

async fn a_search_goes_on_page_by_page(world: World) {
    let admin = world.admin().await;
    let mut expected = Vec::new();
    // Each has three words that begin so, and is found once, by the first of them.
    for number in 0..7 {
        let name = format!("Annika{number} Anna Annas");
        let email = format!("annette{number}@example.org");
        expected.push(enrol(&world, &admin, caller(&name, &email, "")).await.unwrap().name);
    }
    let mut all = expected.clone();
    all.sort();
    for size in [1, 2, 3, 7, 8] {
        let names = found(&world, &admin, "ann", size).await;
        let mut sorted = names.clone();
        sorted.sort();
        assert_eq!(sorted, all, "in pages of {size}");
        assert_eq!(names, found(&world, &admin, "ann", 0).await);
    }
    // In the order of what is found.
    assert_eq!(found(&world, &admin, "annika", 2).await, expected);
    // A token is good for its own search and caller.
    let ask = async |by: &Person, request: SearchCustomersRequest| {
        desk(&world).search_customers(by.asks(request)).await
    };
    let page = ask(&admin, searching("ann", 2, String::new())).await.unwrap().into_inner();
    let other = world.admin().await;
    invalid(ask(&other, searching("ann", 2, page.next_page_token.clone())).await, &["page_token"]);
    invalid(ask(&admin, searching("anna", 2, page.next_page_token)).await, &["page_token"]);
}

async fn what_is_found_follows_what_changes(world: World) {
    let (admin, ada) = (world.admin().await, world.customer().await);
    let name = || vec![ada.user.name.clone()];
    assert_eq!(found(&world, &admin, &ada.user.display_name, 0).await, name());
    let user = Some(User {
        display_name: "Zoë Nobody".to_owned(),
        phone: PHONE.to_owned(),
        ..Default::default()
    });
    let request = UpdateMeRequest { user, ..Default::default() };
    world.auth().update_me(ada.asks(request)).await.unwrap();
    assert!(found(&world, &admin, &ada.user.display_name, 0).await.is_empty());
    for prefix in ["zoe", "nobody", PHONE, &ada.user.email] {
        assert_eq!(found(&world, &admin, prefix, 0).await, name(), "{prefix}");
    }
    let request = EraseUserRequest { name: ada.user.name.clone(), ..Default::default() };
    let mut data = PersonalDataServiceClient::new(world.channel.clone());
    data.erase_user(admin.asks(request)).await.unwrap();
    for prefix in ["zoe", "nobody", PHONE, &ada.user.email, "erased"] {
        assert!(found(&world, &admin, prefix, 0).await.is_empty(), "{prefix}");
    }
    let words = world.count(
        "SELECT count(*) FROM user_words w JOIN users u
        ON u.user_id = w.user_id WHERE u.erased_at IS NOT NULL",
    );
    assert_eq!(words.await, 0);
}

async fn bad_searches_are_told_by_field(world: World) {
    let (admin, customer) = (world.admin().await, world.customer().await);
    let ask = async |prefix: &str, size: i32| {
        let request = searching(prefix, size, String::new());
        desk(&world).search_customers(admin.asks(request)).await
    };
    let long = "a".repeat(255);
    for wrong in ["", "  ", "\u{301}", "a\0", &long] {
        invalid(ask(wrong, 0).await, &["prefix"]);
    }
    ask(&"a".repeat(254), 0).await.unwrap();
    invalid(ask("a", -1).await, &["page_size"]);
    invalid(ask("", -1).await, &["page_size", "prefix"]);
    let request = searching("a", 0, String::new());
    refused(desk(&world).search_customers(customer.asks(request)).await, "ROLE_NOT_ALLOWED");
}
