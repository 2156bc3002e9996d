//! Log-ins that go on: refreshing, retries, theft, ending.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use daybook::grpc::proto::auth::{
    AuditEvent, ChangePasswordRequest, DisableUserRequest, EnableUserRequest, GetMeRequest,
    ListAuditEventsRequest, ListSessionsRequest, LogInRequest, LogInResponse, LogOutRequest,
    RefreshTokensRequest, RefreshTokensResponse, RevokeAllSessionsRequest, RevokeSessionRequest,
    Role, Session, SetUserRoleRequest, audit_event::Kind,
};
use futures_util::future::join_all;
use tonic::{Code, Request, Status};

use super::behaviours;
use crate::support::{
    Engine, World,
    dump::{digits, dump, from_digits},
    people::{PASSWORD, Person, with_token},
    refusal::{invalid, refused},
};

behaviours!(
    refreshing_goes_on_for_as_long_as_the_session_lasts,
    sixty_four_uses_of_one_token_get_one_successor,
    an_answer_that_was_lost_is_given_again_for_thirty_seconds,
    a_token_that_comes_late_ends_the_session,
    each_older_token_leads_to_the_present_one_for_thirty_seconds,
    an_older_token_that_comes_late_ends_the_session,
    what_is_kept_of_used_tokens_is_bounded,
    tokens_that_were_never_given_out_end_nothing,
    logging_out_ends_the_session_and_no_other,
    sessions_are_listed_and_revoked,
    others_sessions_are_nobodys_business,
    all_sessions_are_revoked_but_one,
    changes_of_the_account_end_sessions,
    a_session_ends_when_it_is_idle_and_when_it_is_old,
    nothing_that_is_stored_is_a_token,
    an_account_has_at_most_a_hundred_sessions,
    the_trail_tells_what_happened,
);

async fn begin(world: &World, email: &str) -> LogInResponse {
    let mut request = Request::new(LogInRequest {
        email: email.to_owned(),
        password: PASSWORD.to_owned(),
        ..LogInRequest::default()
    });
    request.metadata_mut().insert("x-user-agent", "a browser".parse().unwrap());
    world.auth().log_in(request).await.unwrap().into_inner()
}

async fn somebody(world: &World) -> (Person, LogInResponse) {
    let person = world.customer().await;
    world.forward(TimeDelta::seconds(1));
    let session = begin(world, &person.user.email).await;
    (person, session)
}

async fn refresh(world: &World, token: &str) -> Result<RefreshTokensResponse, Status> {
    let request = RefreshTokensRequest { refresh_token: token.to_owned() };
    Ok(world.auth().refresh_tokens(request).await?.into_inner())
}

async fn works(world: &World, access_token: &str) -> bool {
    let answer = world.auth().get_me(with_token(GetMeRequest {}, access_token)).await;
    answer.is_ok_and(|answer| answer.into_inner().user.is_some())
}

async fn sessions(world: &World, access_token: &str) -> Vec<Session> {
    let request = with_token(ListSessionsRequest::default(), access_token);
    world.auth().list_sessions(request).await.unwrap().into_inner().sessions
}

async fn trail(world: &World, admin: &Person, user: &str) -> Vec<AuditEvent> {
    let request = ListAuditEventsRequest { user: user.to_owned(), ..Default::default() };
    let answer = world.auth().list_audit_events(admin.asks(request)).await.unwrap();
    answer.into_inner().audit_events
}

fn kinds(trail: &[AuditEvent]) -> Vec<Kind> {
    trail.iter().map(AuditEvent::kind).collect()
}

async fn refreshing_goes_on_for_as_long_as_the_session_lasts(world: World) {
    let (_, first) = somebody(&world).await;
    let mut token = first.refresh_token.clone();
    for _ in 0..20 {
        world.forward(TimeDelta::hours(1));
        let next = refresh(&world, &token).await.unwrap();
        assert_ne!(next.refresh_token, token);
        assert!(works(&world, &next.access_token).await);
        token = next.refresh_token;
    }
    let listed = sessions(&world, &refresh(&world, &token).await.unwrap().access_token).await;
    assert!(listed.iter().any(|session| session.name == first.session && session.current));
}

async fn sixty_four_uses_of_one_token_get_one_successor(world: World) {
    let (_, first) = somebody(&world).await;
    let other = world.beside().await;
    let uses = (0..64).map(|number| {
        let (world, token) = (if number % 2 == 0 { &world } else { &other }, &first.refresh_token);
        refresh(world, token)
    });
    let answers = join_all(uses).await;
    let successor = answers[0].as_ref().unwrap().refresh_token.clone();
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!(answer.refresh_token, successor);
        assert!(works(&world, &answer.access_token).await);
    }
    refresh(&world, &successor).await.unwrap();
}

async fn an_answer_that_was_lost_is_given_again_for_thirty_seconds(world: World) {
    let (_, first) = somebody(&world).await;
    let lost = refresh(&world, &first.refresh_token).await.unwrap();
    world.forward(TimeDelta::seconds(30) - TimeDelta::microseconds(1));
    let again = refresh(&world, &first.refresh_token).await.unwrap();
    assert_eq!(again.refresh_token, lost.refresh_token);
    refresh(&world, &again.refresh_token).await.unwrap();
}

async fn a_token_that_comes_late_ends_the_session(world: World) {
    let (person, first) = somebody(&world).await;
    let admin = world.admin().await;
    let next = refresh(&world, &first.refresh_token).await.unwrap();
    world.forward(TimeDelta::seconds(30));
    refused(refresh(&world, &first.refresh_token).await, "REFRESH_REFUSED");
    // Neither the thief nor the owner goes on, and no other log-in is touched.
    refused(refresh(&world, &next.refresh_token).await, "REFRESH_REFUSED");
    assert!(!works(&world, &next.access_token).await);
    assert!(works(&world, &person.token).await);
    let found = trail(&world, &admin, &person.user.name).await;
    let reused = found.iter().find(|event| event.kind() == Kind::RefreshTokenReused).unwrap();
    assert_eq!(reused.session, first.session);
    assert_eq!(reused.actor, "");
}

async fn each_older_token_leads_to_the_present_one_for_thirty_seconds(world: World) {
    let (_, first) = somebody(&world).await;
    let other = world.beside().await;
    // Used for the first time at 0, 10 and 20 seconds, on two servers.
    let mut tokens = vec![first.refresh_token];
    for (number, server) in [&world, &other, &world].into_iter().enumerate() {
        if number > 0 {
            world.forward(TimeDelta::seconds(10));
            other.forward(TimeDelta::seconds(10));
        }
        tokens.push(refresh(server, &tokens[number]).await.unwrap().refresh_token);
    }
    let present = tokens.pop().unwrap();
    world.forward(TimeDelta::seconds(10) - TimeDelta::microseconds(1));
    other.forward(TimeDelta::seconds(10) - TimeDelta::microseconds(1));
    for token in &tokens {
        for server in [&world, &other] {
            let again = refresh(server, token).await.unwrap();
            assert_eq!(again.refresh_token, present);
            assert!(works(server, &again.access_token).await);
        }
    }
    // The second one has ten seconds more than the first, whatever the first was used for meanwhile.
    world.forward(TimeDelta::seconds(10));
    assert_eq!(refresh(&world, &tokens[1]).await.unwrap().refresh_token, present);
    refresh(&world, &present).await.unwrap();
}

async fn an_older_token_that_comes_late_ends_the_session(world: World) {
    let (_, first) = somebody(&world).await;
    let second = refresh(&world, &first.refresh_token).await.unwrap();
    world.forward(TimeDelta::seconds(20));
    let third = refresh(&world, &second.refresh_token).await.unwrap();
    world.forward(TimeDelta::seconds(10));
    // The second one would still be good, the first one is not.
    refused(refresh(&world, &first.refresh_token).await, "REFRESH_REFUSED");
    for token in [&second.refresh_token, &third.refresh_token] {
        refused(refresh(&world, token).await, "REFRESH_REFUSED");
    }
    assert!(!works(&world, &third.access_token).await);
    // So does one of which nothing is kept any more.
    let (_, first) = somebody(&world).await;
    let mut token = first.refresh_token.clone();
    for _ in 0..3 {
        world.forward(TimeDelta::minutes(1));
        token = refresh(&world, &token).await.unwrap().refresh_token;
    }
    refused(refresh(&world, &first.refresh_token).await, "REFRESH_REFUSED");
    refused(refresh(&world, &token).await, "REFRESH_REFUSED");
}

async fn what_is_kept_of_used_tokens_is_bounded(world: World) {
    let (_, first) = somebody(&world).await;
    let mut token = first.refresh_token.clone();
    for _ in 0..256 {
        let next = refresh(&world, &token).await.unwrap().refresh_token;
        assert_ne!(next, token);
        token = next;
    }
    assert_eq!(refresh(&world, &token).await.unwrap().refresh_token, token);
    assert_eq!(refresh(&world, &first.refresh_token).await.unwrap().refresh_token, token);
    world.forward(TimeDelta::seconds(30));
    assert_ne!(refresh(&world, &token).await.unwrap().refresh_token, token);
    let kept = "SELECT CAST(max(coalesce(length(former), 0)) AS bigint) FROM sessions";
    assert_eq!(world.count(kept).await, 0);
}

async fn tokens_that_were_never_given_out_end_nothing(world: World) {
    let (_, first) = somebody(&world).await;
    invalid(world.auth().refresh_tokens(RefreshTokensRequest::default()).await, &["refresh_token"]);
    let token = &first.refresh_token;
    let changed = |at: usize| {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    // All but the end, which only proves that what was used up was given out once.
    let mut bad: Vec<String> = (0..85).map(changed).collect();
    bad.extend([first.access_token.clone(), token[1..].to_owned(), format!("{token}A")]);
    bad.extend(["x".to_owned(), "\u{0}".to_owned(), "A".repeat(60_000)]);
    for bad in bad {
        let status = refused(refresh(&world, &bad).await, "REFRESH_REFUSED");
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    assert!(!works(&world, token).await, "a refresh token is no access token");
    refresh(&world, token).await.unwrap();
}

async fn logging_out_ends_the_session_and_no_other(world: World) {
    let (person, first) = somebody(&world).await;
    world.auth().log_out(with_token(LogOutRequest {}, &first.access_token)).await.unwrap();
    assert!(!works(&world, &first.access_token).await);
    refused(refresh(&world, &first.refresh_token).await, "REFRESH_REFUSED");
    assert!(works(&world, &person.token).await);
    let again = world.auth().log_out(with_token(LogOutRequest {}, &first.access_token)).await;
    refused(again, "NOT_AUTHENTICATED");
}

async fn sessions_are_listed_and_revoked(world: World) {
    let (person, first) = somebody(&world).await;
    world.forward(TimeDelta::minutes(1));
    let second = begin(&world, &person.user.email).await;
    let listed = sessions(&world, &second.access_token).await;
    assert_eq!(listed.len(), 3);
    assert_eq!((&listed[0].name, listed[0].current), (&second.session, true));
    assert_eq!(
        (listed[0].address.as_str(), listed[0].user_agent.as_str()),
        ("127.0.0.1", "a browser")
    );
    assert_eq!((&listed[1].name, listed[1].current), (&first.session, false));
    assert!(listed[0].expire_time.unwrap().seconds > listed[0].create_time.unwrap().seconds);

    let revoke = |name: &str| {
        let request = RevokeSessionRequest { name: name.to_owned() };
        with_token(request, &second.access_token)
    };
    world.auth().revoke_session(revoke(&first.session)).await.unwrap();
    world.auth().revoke_session(revoke(&first.session)).await.unwrap();
    assert!(!works(&world, &first.access_token).await);
    refused(refresh(&world, &first.refresh_token).await, "REFRESH_REFUSED");
    assert_eq!(sessions(&world, &second.access_token).await.len(), 2);
    let unknown = format!("{}/sessions/{}", person.user.name, uuid::Uuid::nil());
    refused(world.auth().revoke_session(revoke(&unknown)).await, "NOT_FOUND");
    for bad in ["", "users/x/sessions/y", &person.user.name, &first.session.to_uppercase()] {
        invalid(world.auth().revoke_session(revoke(bad)).await, &["name"]);
    }
}

async fn others_sessions_are_nobodys_business(world: World) {
    let (person, first) = somebody(&world).await;
    let stranger = world.person(Role::Provider).await;
    let admin = world.admin().await;
    let list = || ListSessionsRequest { parent: person.user.name.clone() };
    let one = || RevokeSessionRequest { name: first.session.clone() };
    let all = || RevokeAllSessionsRequest { parent: person.user.name.clone(), keep_current: false };
    refused(world.auth().list_sessions(stranger.asks(list())).await, "NOT_FOUND");
    refused(world.auth().revoke_session(stranger.asks(one())).await, "NOT_FOUND");
    refused(world.auth().revoke_all_sessions(stranger.asks(all())).await, "NOT_FOUND");
    let trail = stranger.asks(ListAuditEventsRequest::default());
    refused(world.auth().list_audit_events(trail).await, "ROLE_NOT_ALLOWED");
    assert!(works(&world, &first.access_token).await);

    let seen = world.auth().list_sessions(admin.asks(list())).await.unwrap().into_inner();
    assert_eq!(seen.sessions.len(), 2);
    world.auth().revoke_session(admin.asks(one())).await.unwrap();
    assert!(!works(&world, &first.access_token).await);
    world.auth().revoke_all_sessions(admin.asks(all())).await.unwrap();
    assert!(!works(&world, &person.token).await);
}

async fn all_sessions_are_revoked_but_one(world: World) {
    let (person, first) = somebody(&world).await;
    let second = begin(&world, &person.user.email).await;
    let request = RevokeAllSessionsRequest { keep_current: true, ..Default::default() };
    let request = with_token(request, &second.access_token);
    world.auth().revoke_all_sessions(request).await.unwrap();
    assert!(!works(&world, &first.access_token).await);
    assert!(!works(&world, &person.token).await);
    refused(refresh(&world, &first.refresh_token).await, "REFRESH_REFUSED");
    assert!(works(&world, &second.access_token).await);
    let next = refresh(&world, &second.refresh_token).await.unwrap();
    assert!(works(&world, &next.access_token).await);
    assert_eq!(sessions(&world, &next.access_token).await.len(), 1);
    let request = with_token(RevokeAllSessionsRequest::default(), &next.access_token);
    world.auth().revoke_all_sessions(request).await.unwrap();
    assert!(!works(&world, &next.access_token).await);
    refused(refresh(&world, &next.refresh_token).await, "REFRESH_REFUSED");
}

async fn changes_of_the_account_end_sessions(world: World) {
    let admin = world.admin().await;
    // A changed password ends all but the session that changed it.
    let (person, first) = somebody(&world).await;
    let second = begin(&world, &person.user.email).await;
    let request = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: PASSWORD.to_owned(),
        ..Default::default()
    };
    world.auth().change_password(with_token(request, &second.access_token)).await.unwrap();
    refused(refresh(&world, &first.refresh_token).await, "REFRESH_REFUSED");
    let second = refresh(&world, &second.refresh_token).await.unwrap();
    assert!(works(&world, &second.access_token).await);
    // A changed role ends all, and the next log-in has the new one.
    world.promote(&admin, &person, Role::Provider).await;
    refused(refresh(&world, &second.refresh_token).await, "REFRESH_REFUSED");
    // So does disabling; and letting in again brings no old session back.
    let third = begin(&world, &person.user.email).await;
    let name = person.user.name.clone();
    let request = DisableUserRequest { name: name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(request)).await.unwrap();
    refused(refresh(&world, &third.refresh_token).await, "REFRESH_REFUSED");
    let request = EnableUserRequest { name, ..Default::default() };
    world.auth().enable_user(admin.asks(request)).await.unwrap();
    refused(refresh(&world, &third.refresh_token).await, "REFRESH_REFUSED");
}

async fn a_session_ends_when_it_is_idle_and_when_it_is_old(world: World) {
    let (_, idle) = somebody(&world).await;
    let (_, used) = somebody(&world).await;
    let mut token = used.refresh_token;
    // 14 days idle, 90 days in all.
    for _ in 0..9 {
        world.forward(TimeDelta::days(9));
        token = refresh(&world, &token).await.unwrap().refresh_token;
    }
    refused(refresh(&world, &idle.refresh_token).await, "REFRESH_REFUSED");
    world.forward(TimeDelta::days(9) - TimeDelta::seconds(1));
    let last = refresh(&world, &token).await.unwrap();
    // The last access token does not outlive the session.
    assert!(last.expire_time.unwrap().seconds <= last.refresh_expire_time.unwrap().seconds);
    world.forward(TimeDelta::seconds(1));
    refused(refresh(&world, &last.refresh_token).await, "REFRESH_REFUSED");
}

async fn nothing_that_is_stored_is_a_token(world: World) {
    let (_, first) = somebody(&world).await;
    let next = refresh(&world, &first.refresh_token).await.unwrap();
    let stored = dump(&world).await;
    let hash = world.text(match world.engine {
        Engine::Sqlite => "SELECT lower(hex(token_hash)) FROM sessions LIMIT 1",
        Engine::Postgres => "SELECT encode(token_hash, 'hex') FROM sessions LIMIT 1",
    });
    let hash = hash.await;
    // What is there is found.
    assert!(stored.contains(&hash));
    let is_stored = |bytes: &[u8]| stored.contains(&digits(bytes));
    for token in [&first.refresh_token, &next.refresh_token] {
        // Behind the ids of the account and the session.
        let secret = &URL_SAFE_NO_PAD.decode(token).unwrap()[32..64];
        assert!(!is_stored(token.as_bytes()) && !is_stored(secret), "{token}");
    }
    for token in [&first.access_token, &next.access_token] {
        let signature = token.rsplit('.').next().unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(!is_stored(signature.as_bytes()) && !is_stored(&bytes), "{token}");
    }
    // Whoever reads the table and presents what is there gets nothing: neither as it stands there nor in the place of the
    // secret in a token.
    refused(refresh(&world, &hash).await, "REFRESH_REFUSED");
    let mut token = URL_SAFE_NO_PAD.decode(&next.refresh_token).unwrap();
    token.splice(32..64, from_digits(&hash));
    let forged = URL_SAFE_NO_PAD.encode(token);
    assert_eq!(forged.len(), next.refresh_token.len());
    refused(refresh(&world, &forged).await, "REFRESH_REFUSED");
    // What is not stored is good all the same.
    refresh(&world, &next.refresh_token).await.unwrap();
}

async fn an_account_has_at_most_a_hundred_sessions(world: World) {
    let (person, first) = somebody(&world).await;
    let mut last = String::new();
    for _ in 0..99 {
        last = begin(&world, &person.user.email).await.access_token;
    }
    assert_eq!(sessions(&world, &last).await.len(), 100);
    // Of the two that were there before, the older one made room.
    assert!(!works(&world, &person.token).await);
    assert!(works(&world, &first.access_token).await);
    refresh(&world, &first.refresh_token).await.unwrap();
}

async fn the_trail_tells_what_happened(world: World) {
    let admin = world.admin().await;
    let (person, first) = somebody(&world).await;
    world.forward(TimeDelta::seconds(1));
    world.auth().log_out(with_token(LogOutRequest {}, &first.access_token)).await.unwrap();
    world.forward(TimeDelta::seconds(1));
    let request = SetUserRoleRequest {
        name: person.user.name.clone(),
        role: Role::Provider.into(),
        ..Default::default()
    };
    world.auth().set_user_role(admin.asks(request)).await.unwrap();
    world.forward(TimeDelta::seconds(1));
    world.log_in(&person.user.email).await;
    let found = trail(&world, &admin, &person.user.name).await;
    // The sign-up and the first log-in are of one instant, and in no order.
    let (made, found): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|event| event.kind() == Kind::AccountCreated);
    assert_eq!(made.len(), 1);
    let expected =
        [Kind::LoggedIn, Kind::RoleChanged, Kind::LoggedOut, Kind::LoggedIn, Kind::LoggedIn];
    assert_eq!(kinds(&found), expected);
    assert_eq!(found[1].actor, admin.user.name);
    assert_eq!(
        (found[2].session.as_str(), found[2].address.as_str()),
        (&*first.session, "127.0.0.1")
    );
    // By kind and in pages.
    let mut request = ListAuditEventsRequest {
        user: person.user.name.clone(),
        kind: Kind::LoggedIn.into(),
        page_size: 2,
        ..Default::default()
    };
    let page = world.auth().list_audit_events(admin.asks(request.clone())).await.unwrap();
    let page = page.into_inner();
    assert_eq!(page.audit_events, [found[0].clone(), found[3].clone()]);
    request.page_token = page.next_page_token;
    let rest = world.auth().list_audit_events(admin.asks(request)).await.unwrap().into_inner();
    assert_eq!((rest.audit_events, rest.next_page_token.as_str()), (vec![found[4].clone()], ""));
    let bad = ListAuditEventsRequest {
        user: "users/me".to_owned(),
        kind: 99,
        page_size: -1,
        page_token: "x".to_owned(),
        ..Default::default()
    };
    let answer = world.auth().list_audit_events(admin.asks(bad)).await;
    invalid(answer, &["user", "kind", "page_size", "page_token"]);
}
