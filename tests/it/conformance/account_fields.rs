//! Every field of every request of AuthService, wrong: told by field, all at once, nothing written.

use daybook::grpc::proto::auth::{
    ChangePasswordRequest, DisableUserRequest, EnableUserRequest, GetUserRequest, ListUsersRequest,
    LogInRequest, Role, SetUserRoleRequest, SignUpRequest, UpdateMeRequest, User,
};
use prost_types::FieldMask;

use super::behaviours;
use crate::support::{
    World,
    people::{PASSWORD, Person, sign_up},
    refusal::{invalid, refused},
};

behaviours!(
    bad_sign_ups_are_told_by_field,
    odd_addresses_are_refused_wherever_one_is_given,
    the_longest_and_oddest_valid_values_are_taken,
    bad_log_ins_are_told_by_field,
    bad_profiles_are_told_by_field,
    bad_masks_are_told,
    bad_passwords_are_told_by_field,
    bad_names_of_users_are_told,
    bad_changes_by_admins_are_told_by_field,
    bad_pages_of_users_are_told,
    a_mebibyte_in_any_field_is_too_large,
);

/// Not names for people: empty, blank, long, or with characters that cannot be seen.
fn bad_names() -> Vec<String> {
    let mut all: Vec<String> =
        ["", " ", "\t\n", "a\0b", "a\u{7}b", "a\u{1b}[31mb", "a\nb", "a\u{85}b", "\u{200b}"]
            .map(ToOwned::to_owned)
            .into();
    for unseen in ["\u{202e}", "\u{2066}", "\u{200f}", "\u{ad}", "\u{feff}", "\u{2028}"] {
        all.push(format!("a{unseen}b"));
    }
    all.push("x".repeat(101));
    all.push("\u{e9}".repeat(101));
    all.push("x".repeat(60 * 1024));
    all
}

fn bad_zones() -> Vec<String> {
    ["", " ", "Berlin", "europe/berlin", "Europe/Berlin ", "Europe/Berlin\0", "+01:00", "\u{202e}"]
        .map(ToOwned::to_owned)
        .into_iter()
        .chain(["../../etc/passwd".to_owned(), "x".repeat(60 * 1024)])
        .collect()
}

fn bad_passwords() -> Vec<String> {
    vec![
        String::new(),
        "1234567".to_owned(),
        "\u{e9}".repeat(7),
        "x".repeat(257),
        "\u{1d11e}".repeat(257),
        "x".repeat(60 * 1024),
        "control\u{7}characters".to_owned(),
        "my cat is a \tby".to_owned(),
        "not yet assigned \u{378}".to_owned(),
        "turned \u{202e}around".to_owned(),
    ]
}

fn bad_ids() -> Vec<String> {
    ["x", "0", "{01980000-0000-7000-8000-000000000000}", "01980000000070008000000000000000", "\0"]
        .map(ToOwned::to_owned)
        .into_iter()
        .chain([
            "urn:uuid:01980000-0000-7000-8000-000000000000".to_owned(),
            " 01980000-0000-7000-8000-000000000000".to_owned(),
            "\u{0660}1980000-0000-7000-8000-000000000000".to_owned(),
            "x".repeat(60 * 1024),
        ])
        .collect()
}

fn bad_etags() -> Vec<String> {
    ["1", "\"\"", "\"1", "1\"", "\"-1\"", "\"+1\"", "\" 1\"", "W/\"1\"", "\"x\"", "\"\0\""]
        .map(ToOwned::to_owned)
        .into_iter()
        .chain(["\"99999999999999999999\"".to_owned(), "x".repeat(60 * 1024)])
        .collect()
}

fn bad_users(person: &Person) -> Vec<String> {
    let name = &person.user.name;
    vec![
        String::new(),
        "users/".to_owned(),
        "users/x".to_owned(),
        "users/-".to_owned(),
        name.to_uppercase(),
        format!("{name}/"),
        format!("{name}\0"),
        format!(" {name}"),
        name.replace("users/", "providers/"),
        name.replace("users/", ""),
        format!("users/../{name}"),
        name.replace('-', ""),
        "x".repeat(60 * 1024),
    ]
}

async fn bad_sign_ups_are_told_by_field(world: World) {
    let good = sign_up(Role::Customer);
    let before = world.state().await;
    let try_to = async |change: &dyn Fn(&mut SignUpRequest)| {
        let mut request = good.clone();
        change(&mut request);
        world.auth().sign_up(request).await
    };
    invalid(
        try_to(&|r| *r = SignUpRequest::default()).await,
        &["display_name", "email", "password", "role", "time_zone"],
    );
    for bad in bad_names() {
        invalid(try_to(&|r| r.display_name.clone_from(&bad)).await, &["display_name"]);
    }
    for bad in bad_passwords() {
        invalid(try_to(&|r| r.password.clone_from(&bad)).await, &["password"]);
    }
    for bad in [0, Role::Admin.into(), 99, -1, i32::MAX, i32::MIN] {
        invalid(try_to(&|r| r.role = bad).await, &["role"]);
    }
    for bad in bad_zones() {
        invalid(try_to(&|r| r.time_zone.clone_from(&bad)).await, &["time_zone"]);
    }
    for bad in bad_ids() {
        invalid(try_to(&|r| r.request_id.clone_from(&bad)).await, &["request_id"]);
    }
    let all = |r: &mut SignUpRequest| {
        r.display_name = "\u{202e}".to_owned();
        r.email = "ada".to_owned();
        r.password = "short".to_owned();
        r.role = 99;
        r.time_zone = "Atlantis".to_owned();
        r.request_id = "1".to_owned();
    };
    invalid(
        try_to(&all).await,
        &["display_name", "email", "password", "role", "time_zone", "request_id"],
    );
    assert_eq!(world.state().await, before);
}

async fn odd_addresses_are_refused_wherever_one_is_given(world: World) {
    let before = world.state().await;
    let long = format!("{}@example.org", "a".repeat(65));
    let longer = format!("a@{}example.org", "b.".repeat(130));
    let longest = "x".repeat(60 * 1024);
    for odd in [
        "",
        " ",
        "ada",
        "@example.org",
        "ada@",
        "ada@example",
        "ada@@example.org",
        "ada@localhost",
        "ada@127.0.0.1",
        "ada@[127.0.0.1]",
        "ada@example.org.",
        "a..b@example.org",
        "\"a b\"@example.org",
        "ada @example.org",
        "ada@example.org\0",
        "a\0da@example.org",
        "ada@example.org\r\nBcc: eve@example.org",
        "Ada <ada@example.org>",
        // Cyrillic a, bidi, zero width, soft hyphen, an emoji, a lone combining mark.
        "\u{430}da@example.org",
        "ada\u{202e}@example.org",
        "ada\u{200b}@example.org",
        "a\u{ad}da@example.org",
        "\u{1f600}@example.org",
        "\u{301}@example.org",
        "ada@exa mple.org",
        "ada@-example.org",
        "ada@xn--\u{fc}.example",
        &long,
        &longer,
        &longest,
    ] {
        let request = SignUpRequest { email: odd.to_owned(), ..sign_up(Role::Customer) };
        invalid(world.auth().sign_up(request).await, &["email"]);
        let request = LogInRequest {
            email: odd.to_owned(),
            password: PASSWORD.to_owned(),
            ..LogInRequest::default()
        };
        invalid(world.auth().log_in(request).await, &["email"]);
    }
    assert_eq!(world.state().await, before);
}

async fn the_longest_and_oddest_valid_values_are_taken(world: World) {
    // Four bytes each, and no two neighbours alike.
    let odd = |number: u32| char::from_u32(0x1_f300 + number * 37 % 251).unwrap();
    let password: String = (0..256).map(odd).collect();
    let request = SignUpRequest {
        display_name: "\u{e9}".repeat(100),
        email: format!("{}@example.org", "a".repeat(64)),
        password: password.clone(),
        time_zone: "America/Argentina/ComodRivadavia".to_owned(),
        // The canonical form in upper case is a UUID too.
        request_id: "01980000-ABCD-7000-8000-000000000000".to_owned(),
        ..sign_up(Role::Customer)
    };
    let made = world.auth().sign_up(request.clone()).await.unwrap().into_inner().user.unwrap();
    assert_eq!(made.display_name, request.display_name);
    assert_eq!(made.time_zone, request.time_zone);
    let log_in = LogInRequest { email: request.email, password, ..LogInRequest::default() };
    world.auth().log_in(log_in).await.unwrap();
    // All that can be seen is a password, and every character of it counts.
    let mut odd = sign_up(Role::Customer);
    odd.password = " \u{1f9d1}\u{200d}\u{1f680} \u{2764}\u{fe0f}x\u{301}qab".to_owned();
    world.auth().sign_up(odd.clone()).await.unwrap();
    let log_in =
        LogInRequest { email: odd.email, password: odd.password, ..LogInRequest::default() };
    world.auth().log_in(log_in.clone()).await.unwrap();
    let close = log_in.password.strip_suffix('b').unwrap().to_owned();
    let close = LogInRequest { password: close, ..log_in };
    refused(world.auth().log_in(close).await, "LOG_IN_FAILED");
}

async fn bad_log_ins_are_told_by_field(world: World) {
    let person = world.customer().await;
    let email = person.user.email;
    invalid(world.auth().log_in(LogInRequest::default()).await, &["email", "password"]);
    for bad in ["".to_owned(), "x".repeat(257), "\u{1d11e}".repeat(257), "x".repeat(60 * 1024)] {
        let request =
            LogInRequest { email: email.clone(), password: bad, ..LogInRequest::default() };
        invalid(world.auth().log_in(request).await, &["password"]);
    }
    // Shorter than any password is only wrong.
    let request = LogInRequest { email, password: "x".to_owned(), ..LogInRequest::default() };
    refused(world.auth().log_in(request).await, "LOG_IN_FAILED");
}

async fn bad_profiles_are_told_by_field(world: World) {
    let (person, other) = (world.customer().await, world.customer().await);
    let before = world.state().await;
    let good = User { display_name: "Ada".to_owned(), ..Default::default() };
    let try_to = async |change: &dyn Fn(&mut User)| {
        let mut user = good.clone();
        change(&mut user);
        let request = UpdateMeRequest { user: Some(user), ..Default::default() };
        world.auth().update_me(person.asks(request)).await
    };
    for bad in bad_names().into_iter().skip(1) {
        invalid(try_to(&|u| u.display_name.clone_from(&bad)).await, &["user.display_name"]);
    }
    for bad in bad_zones().into_iter().skip(1) {
        invalid(try_to(&|u| u.time_zone.clone_from(&bad)).await, &["user.time_zone"]);
    }
    for bad in bad_etags() {
        invalid(try_to(&|u| u.etag.clone_from(&bad)).await, &["user.etag"]);
    }
    for bad in [&other.user.name, "users/x", "\0"] {
        invalid(try_to(&|u| bad.clone_into(&mut u.name)).await, &["user.name"]);
    }
    invalid(try_to(&|u| u.display_name.clear()).await, &["user"]);
    for bad in bad_ids() {
        let user = Some(good.clone());
        let request = UpdateMeRequest { user, request_id: bad, ..Default::default() };
        invalid(world.auth().update_me(person.asks(request)).await, &["request_id"]);
    }
    let user = User {
        name: other.user.name.clone(),
        display_name: "\0".to_owned(),
        time_zone: "Atlantis".to_owned(),
        etag: "1".to_owned(),
        ..Default::default()
    };
    let request =
        UpdateMeRequest { user: Some(user), request_id: "1".to_owned(), ..Default::default() };
    invalid(
        world.auth().update_me(person.asks(request)).await,
        &["user.name", "user.display_name", "user.time_zone", "user.etag", "request_id"],
    );
    assert_eq!(world.state().await, before);
}

async fn bad_masks_are_told(world: World) {
    let person = world.customer().await;
    let before = world.state().await;
    let good = User { display_name: "Ada".to_owned(), ..Default::default() };
    let ask = async |user: Option<User>, paths: &[&str], request_id: &str| {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let request = UpdateMeRequest {
            user,
            update_mask: Some(FieldMask { paths }),
            request_id: request_id.to_owned(),
        };
        world.auth().update_me(person.asks(request)).await
    };
    let long = "x".repeat(60 * 1024);
    for bad in [
        &[][..],
        &[""],
        &["*", "display_name"],
        &["display_name.*"],
        &["role"],
        &["email"],
        &["disabled"],
        &["displayName"],
        &["display_name", "password_hash"],
        &["user.display_name"],
        &["display_name\0"],
        &[&long],
    ] {
        invalid(ask(Some(good.clone()), bad, "").await, &["update_mask"]);
    }
    // What is named must be there.
    invalid(
        ask(Some(User::default()), &["display_name", "time_zone"], "").await,
        &["user.display_name", "user.time_zone"],
    );
    invalid(ask(None, &["display_name"], "").await, &["user"]);
    invalid(ask(None, &["role"], "1").await, &["user", "update_mask", "request_id"]);
    assert_eq!(world.state().await, before);
}

async fn bad_passwords_are_told_by_field(world: World) {
    let person = world.customer().await;
    let before = world.state().await;
    let ask = async |current: &str, new: &str, request_id: &str| {
        let request = ChangePasswordRequest {
            current_password: current.to_owned(),
            new_password: new.to_owned(),
            request_id: request_id.to_owned(),
        };
        world.auth().change_password(person.asks(request)).await
    };
    for bad in bad_passwords() {
        invalid(ask(PASSWORD, &bad, "").await, &["new_password"]);
    }
    for bad in [String::new(), "x".repeat(257), "x".repeat(60 * 1024)] {
        invalid(ask(&bad, "a new password", "").await, &["current_password"]);
    }
    for bad in bad_ids() {
        invalid(ask(PASSWORD, "a new password", &bad).await, &["request_id"]);
    }
    invalid(ask("", "", "\0").await, &["current_password", "new_password", "request_id"]);
    assert_eq!(world.state().await, before);
    world.log_in(&person.user.email).await;
}

async fn bad_names_of_users_are_told(world: World) {
    let (admin, person) = (world.admin().await, world.customer().await);
    let before = world.state().await;
    for bad in bad_users(&person) {
        let request = GetUserRequest { name: bad.clone() };
        invalid(world.auth().get_user(admin.asks(request)).await, &["name"]);
        let role = Role::Provider.into();
        let request = SetUserRoleRequest { name: bad.clone(), role, ..Default::default() };
        invalid(world.auth().set_user_role(admin.asks(request)).await, &["name"]);
        let request = DisableUserRequest { name: bad.clone(), ..Default::default() };
        invalid(world.auth().disable_user(admin.asks(request)).await, &["name"]);
        let request = EnableUserRequest { name: bad, ..Default::default() };
        invalid(world.auth().enable_user(admin.asks(request)).await, &["name"]);
    }
    assert_eq!(world.state().await, before);
}

async fn bad_changes_by_admins_are_told_by_field(world: World) {
    let (admin, person) = (world.admin().await, world.customer().await);
    let before = world.state().await;
    let name = person.user.name.clone();
    let role = async |role: i32, name: &str, etag: &str, request_id: &str| {
        let request = SetUserRoleRequest {
            name: name.to_owned(),
            role,
            etag: etag.to_owned(),
            request_id: request_id.to_owned(),
        };
        world.auth().set_user_role(admin.asks(request)).await
    };
    let disable = async |name: &str, etag: &str, request_id: &str| {
        let (name, etag) = (name.to_owned(), etag.to_owned());
        let request = DisableUserRequest { name, etag, request_id: request_id.to_owned() };
        world.auth().disable_user(admin.asks(request)).await
    };
    let enable = async |name: &str, etag: &str, request_id: &str| {
        let (name, etag) = (name.to_owned(), etag.to_owned());
        let request = EnableUserRequest { name, etag, request_id: request_id.to_owned() };
        world.auth().enable_user(admin.asks(request)).await
    };
    for bad in [0, 4, 99, -1, i32::MIN] {
        invalid(role(bad, &name, "", "").await, &["role"]);
    }
    for bad in bad_etags() {
        invalid(role(2, &name, &bad, "").await, &["etag"]);
        invalid(disable(&name, &bad, "").await, &["etag"]);
        invalid(enable(&name, &bad, "").await, &["etag"]);
    }
    for bad in bad_ids() {
        invalid(role(2, &name, "", &bad).await, &["request_id"]);
        invalid(disable(&name, "", &bad).await, &["request_id"]);
        invalid(enable(&name, "", &bad).await, &["request_id"]);
    }
    invalid(role(99, "x", "x", "x").await, &["name", "role", "etag", "request_id"]);
    invalid(disable("x", "x", "x").await, &["name", "etag", "request_id"]);
    invalid(enable("x", "x", "x").await, &["name", "etag", "request_id"]);
    assert_eq!(world.state().await, before);
}

async fn bad_pages_of_users_are_told(world: World) {
    let admin = world.admin().await;
    let ask = async |page_size: i32, page_token: &str| {
        let request = ListUsersRequest { page_size, page_token: page_token.to_owned() };
        world.auth().list_users(admin.asks(request)).await
    };
    for bad in [-1, i32::MIN] {
        invalid(ask(bad, "").await, &["page_size"]);
    }
    for bad in ["x", "AAAA", "=", "\0", "\u{202e}", &"A".repeat(60 * 1024)] {
        invalid(ask(1, bad).await, &["page_token"]);
    }
    invalid(ask(-1, "x").await, &["page_size", "page_token"]);
}

async fn a_mebibyte_in_any_field_is_too_large(world: World) {
    let (admin, person) = (world.admin().await, world.customer().await);
    let before = world.state().await;
    let much = || "x".repeat(1 << 20);
    let mut auth = world.auth();
    for request in [
        SignUpRequest { display_name: much(), ..sign_up(Role::Customer) },
        SignUpRequest { email: much(), ..sign_up(Role::Customer) },
        SignUpRequest { password: much(), ..sign_up(Role::Customer) },
        SignUpRequest { time_zone: much(), ..sign_up(Role::Customer) },
        SignUpRequest { request_id: much(), ..sign_up(Role::Customer) },
    ] {
        refused(auth.sign_up(request).await, "MESSAGE_TOO_LARGE");
    }
    let request = LogInRequest {
        email: person.user.email.clone(),
        password: much(),
        ..LogInRequest::default()
    };
    refused(auth.log_in(request).await, "MESSAGE_TOO_LARGE");
    let request =
        LogInRequest { email: much(), password: PASSWORD.to_owned(), ..LogInRequest::default() };
    refused(auth.log_in(request).await, "MESSAGE_TOO_LARGE");
    let user = Some(User { display_name: much(), ..Default::default() });
    let request = person.asks(UpdateMeRequest { user, ..Default::default() });
    refused(auth.update_me(request).await, "MESSAGE_TOO_LARGE");
    let request = ChangePasswordRequest { new_password: much(), ..Default::default() };
    refused(auth.change_password(person.asks(request)).await, "MESSAGE_TOO_LARGE");
    let request = admin.asks(ListUsersRequest { page_token: much(), page_size: 1 });
    refused(auth.list_users(request).await, "MESSAGE_TOO_LARGE");
    let request = admin.asks(GetUserRequest { name: much() });
    refused(auth.get_user(request).await, "MESSAGE_TOO_LARGE");
    let request = SetUserRoleRequest { etag: much(), ..Default::default() };
    refused(auth.set_user_role(admin.asks(request)).await, "MESSAGE_TOO_LARGE");
    let request = DisableUserRequest { name: much(), ..Default::default() };
    refused(auth.disable_user(admin.asks(request)).await, "MESSAGE_TOO_LARGE");
    let request = EnableUserRequest { request_id: much(), ..Default::default() };
    refused(auth.enable_user(admin.asks(request)).await, "MESSAGE_TOO_LARGE");
    assert_eq!(world.state().await, before);
}
